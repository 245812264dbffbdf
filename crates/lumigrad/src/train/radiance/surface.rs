//! Surfaces of media: where they are half opaque.

use super::Trained;
use crate::Result;
use crate::fields::place::Place;
use crate::fields::source::{Depths, Source};
use glam::DVec3;
use lumigrad_core::{Tensor, Var};
use lumigrad_scene::camera::View;

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
    /// What a point of the surface's domain, which is as large as the box but has the same unit along all axes, is in the
    /// cube.
    fn cube(&self, p: [f32; 3]) -> [f32; 3] {
        let unit = self.domain.unit();
        let inside = [0, 1, 2].map(|a| p[a] as f64 * unit / self.domain.half[a]);
        self.domain.cube(inside).map(|x| x as f32)
    }

    /// Calls `f` with parameters and chunks of points in the cube; what it gives is put together.
    fn by_chunks(&self, points: &[[f32; 3]], f: impl Fn(&[Var], &Var, usize) -> Result<Var>) -> Result<Vec<f32>> {
        let parameters: Vec<Var> = self.values.iter().cloned().map(Var::from).collect();
        let mut found = vec![];
        for (k, chunk) in points.chunks(CHUNK).enumerate() {
            let cube: Vec<f32> = chunk.iter().flat_map(|p| self.cube(*p)).collect();
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
        Place { centre: self.domain.centre, scale: self.domain.unit() }
    }

    fn half(&self) -> DVec3 {
        DVec3::from(self.domain.half) / self.domain.unit()
    }

    fn step(&self) -> f32 {
        // Trilinear gradients jump between cells: differences reach over one.
        (REACH * self.march.step) as f32
    }

    /// Logarithms of how much thinner it is than where it is half opaque.
    fn values(&self, points: &[f32]) -> Result<Vec<f32>> {
        let level = (std::f64::consts::LN_2 / (SAMPLES * self.march.step)) as f32;
        let densities =
            self.by_chunks(points.as_chunks::<3>().0, |parameters, cube, _| self.medium.densities(parameters, cube))?;
        Ok(densities.into_iter().map(|d| level.ln() - d.max(1e-6 * level).ln()).collect())
    }

    fn depths(&self, view: &View) -> Result<Depths> {
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
        let mut found = Vec::with_capacity(points.len());
        for (points, normals) in points.chunks(CHUNK).zip(normals.chunks(CHUNK)) {
            let pairs = || points.iter().zip(normals);
            let along: Vec<[f32; 3]> = pairs().flat_map(|p| (0..SHORT).map(move |k| moved(p, offset(k)))).collect();
            let densities = self.by_chunks(&along, |parameters, cube, _| self.medium.densities(parameters, cube))?;
            let end = |densities: &[f32]| {
                let (mut left, mut mean) = (1.0, 0.0);
                for (k, density) in densities.iter().enumerate() {
                    let weight = left * (1.0 - (-density * 2.0 * reach / SHORT as f32).exp());
                    (left, mean) = (left - weight, mean + weight * offset(k));
                }
                if left < 1.0 - FOUND { mean / (1.0 - left) } else { 0.0 }
            };
            found.extend(pairs().zip(densities.chunks_exact(SHORT)).map(|(p, densities)| moved(p, end(densities))));
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
