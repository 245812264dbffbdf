//! Surfaces of media: where they are half opaque.

use super::Trained;
use crate::fields::place::Place;
use crate::fields::source::{Depths, Source};
use crate::volume::{Domain, Mapping};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::{Tensor, Var};
use lumigrad_scene::camera::View;

/// Depth up to which surfaces of forward-facing scenes are taken out, in parts of the nearest.
const FARTHEST: f64 = 8.0;
/// Points at a time.
const CHUNK: usize = 1 << 16;
/// Samples that are half opaque together where the surface is.
const SAMPLES: f64 = 8.0;
/// Steps of samples in half of what differences are taken over.
const REACH: f64 = 2.0;
/// Least opacity of a pixel that sees the surface.
const OPAQUE: f32 = 0.5;
/// Samples of a short ray along a normal.
const SHORT: usize = 9;
/// Least opacity of a short ray that says where the surface is.
const FOUND: f32 = 0.05;

impl Trained {
    /// Middle and half sides of the world's box that surfaces are taken out of: the domain's, or one around a forward-facing
    /// domain up to a depth.
    fn around_surface(&self) -> [DVec3; 2] {
        let Domain { centre, half, mapping } = self.domain;
        let Mapping::Forward(frustum) = mapping else { return [centre, half].map(DVec3::from) };
        let deepest = (-frustum.scale / (FARTHEST * self.domain.near()) - centre[2]) / half[2];
        let corner = |k: usize| {
            let sign = |bit: usize| if k >> bit & 1 == 1 { 1.0 } else { -1.0 };
            DVec3::from(self.domain.world([sign(0), sign(1), if k < 4 { -1.0 } else { deepest.min(1.0) }]))
        };
        let (lo, hi) = (1..8).map(corner).fold((corner(0), corner(0)), |(lo, hi), p| (lo.min(p), hi.max(p)));
        [0.5 * (lo + hi), 0.5 * (hi - lo)]
    }

    /// What points of the surface's domain, which is as large as the box but has the same unit along all axes, are in the
    /// cube; `None` outside of it.
    fn to_cube(&self) -> impl Fn([f32; 3]) -> Option<[f32; 3]> {
        let (place, domain) = (self.place(), self.domain);
        let forward = matches!(domain.mapping, Mapping::Forward(_));
        move |p| {
            let inside = domain.inside([0, 1, 2].map(|a| place.centre[a] + p[a] as f64 * place.scale));
            let is_in = !forward || inside.iter().all(|x| x.abs() <= 1.0);
            is_in.then(|| domain.cube(inside).map(|x| x as f32))
        }
    }

    /// Densities at points; 0 outside of a forward-facing box.
    fn densities(&self, points: &[[f32; 3]]) -> Result<Vec<f32>> {
        let cube = self.to_cube();
        let found = self.by_chunks(points, |parameters, cube, _| self.medium.densities(parameters, cube))?;
        Ok(points.iter().zip(found).map(|(p, d)| if cube(*p).is_some() { d } else { 0.0 }).collect())
    }

    /// Distance along rays in a unit of the surface's domain, at a point of it.
    fn rate(&self, p: [f32; 3], place: &Place) -> f32 {
        let Mapping::Forward(frustum) = self.domain.mapping else { return 1.0 };
        let [_, _, depth] = frustum.place([0, 1, 2].map(|a| place.centre[a] + p[a] as f64 * place.scale));
        (place.scale * frustum.scale / (depth.max(self.domain.near()).powi(2) * self.domain.unit())) as f32
    }

    /// Calls `f` with parameters and chunks of points in the cube; what it gives is put together.
    fn by_chunks(&self, points: &[[f32; 3]], f: impl Fn(&[Var], &Var, usize) -> Result<Var>) -> Result<Vec<f32>> {
        let parameters: Vec<Var> = self.values.iter().cloned().map(Var::from).collect();
        let (mut found, to_cube) = (vec![], self.to_cube());
        for (k, chunk) in points.chunks(CHUNK).enumerate() {
            let cube: Vec<f32> = chunk.iter().flat_map(|p| to_cube(*p).unwrap_or_default()).collect();
            let cube = Tensor::from_slice(&self.device, &cube, &[chunk.len(), 3])?;
            found.extend(f(&parameters, &cube.into(), k * CHUNK)?.tensor().to_vec::<f32>()?);
        }
        Ok(found)
    }
}

impl Source for Trained {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> Place {
        let [centre, half] = self.around_surface();
        Place { centre: centre.into(), scale: half.max_element() }
    }

    fn half(&self) -> DVec3 {
        let [_, half] = self.around_surface();
        half / half.max_element()
    }

    fn step(&self) -> f32 {
        // Trilinear gradients jump between cells: differences reach over one.
        let cell = REACH * self.march.step;
        (match self.domain.mapping {
            // As wide as cells are in the middle of the box.
            Mapping::Forward(_) => cell * self.domain.unit() * 2.0 * self.domain.near() / self.place().scale,
            _ => cell,
        }) as f32
    }

    /// Logarithms of how much thinner it is than where it is half opaque.
    fn values(&self, points: &[f32]) -> Result<Vec<f32>> {
        let level = (std::f64::consts::LN_2 / (SAMPLES * self.march.step)) as f32;
        let densities = self.densities(points.as_chunks::<3>().0)?;
        Ok(densities.into_iter().map(|d| level.ln() - d.max(1e-6 * level).ln()).collect())
    }

    fn depths(&self, view: &View) -> Result<Depths> {
        if let Mapping::Forward(_) = self.domain.mapping {
            let message = "fuses views from all around, and this scene is seen from one side";
            return Err(Error::usage("--method tsdf", message, "choose mc, mt or dc"));
        }
        let seen = self.scene().picture(&self.values, view, &self.device)?;
        let depth = |(d, a): (&f32, &f32)| if *a > OPAQUE { d / a } else { f32::INFINITY };
        Ok(Depths { depths: seen.depth.iter().zip(&seen.alpha).map(depth).collect(), colours: seen.colour })
    }

    fn is_binary(&self) -> bool {
        self.medium.is_binary()
    }

    /// Where a short ray from outside ends, as seen along it.
    fn skin(&self, points: &[[f32; 3]], normals: &[[f32; 3]], reach: f32) -> Result<Option<Vec<[f32; 3]>>> {
        // From outside to inside.
        let offset = |k: usize| reach * (1.0 - 2.0 * (k as f32 + 0.5) / SHORT as f32);
        let moved = |(p, n): (&[f32; 3], &[f32; 3]), by: f32| [0, 1, 2].map(|c| p[c] + by * n[c]);
        let (mut found, place) = (Vec::with_capacity(points.len()), self.place());
        for (points, normals) in points.chunks(CHUNK).zip(normals.chunks(CHUNK)) {
            let pairs = || points.iter().zip(normals);
            let along: Vec<[f32; 3]> = pairs().flat_map(|p| (0..SHORT).map(move |k| moved(p, offset(k)))).collect();
            let densities = self.densities(&along)?;
            let end = |densities: &[f32], rate: f32| {
                let (mut left, mut mean) = (1.0, 0.0);
                for (k, density) in densities.iter().enumerate() {
                    let weight = left * (1.0 - (-density * rate * 2.0 * reach / SHORT as f32).exp());
                    (left, mean) = (left - weight, mean + weight * offset(k));
                }
                if left < 1.0 - FOUND { mean / (1.0 - left) } else { 0.0 }
            };
            let ends = pairs().zip(densities.chunks_exact(SHORT));
            found.extend(ends.map(|(p, densities)| moved(p, end(densities, self.rate(*p.0, &place)))));
        }
        self.seen_along(&found, normals).map(Some)
    }

    /// As seen straight from outside.
    fn colours(&self, points: &[[f32; 3]]) -> Result<Option<Vec<[f32; 3]>>> {
        self.seen_along(points, &self.normals(points)?).map(Some)
    }
}

impl Trained {
    /// Colours at points, looked at against normals.
    fn seen_along(&self, points: &[[f32; 3]], normals: &[[f32; 3]]) -> Result<Vec<[f32; 3]>> {
        let colours = self.by_chunks(points, |parameters, cube, first| {
            let own = &normals[first..first + cube.shape()[0]];
            let views: Vec<f32> = own.iter().flat_map(|n| n.map(|x| -x)).collect();
            let views = Tensor::from_slice(&self.device, &views, cube.shape())?;
            Ok(self.medium.evaluate(parameters, cube, &self.medium.encode_directions(&views.into())?)?.1)
        })?;
        Ok(colours.as_chunks::<3>().0.to_vec())
    }
}
