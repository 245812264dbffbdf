//! The surface of splats.

use super::place::Place;
use super::source::{Depths, Source};
use crate::run::load_splats;
use crate::train::camera;
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_scene::camera::View;
use lumigrad_scene::smooth_normals;
use lumigrad_splat::{Gaussians, RenderOptions, Renderer};
use std::cell::RefCell;
use std::path::Path;

/// Least opacity of a pixel that sees the surface.
const OPAQUE: f32 = 0.5;

/// Opacity below which Gaussians say nothing of where the surface is: trainings scatter some.
const FAINT: f32 = 0.05;

/// Splats, of which views see depths: where half of the light is stopped.
pub struct SplatSource {
    name: String,
    place: Place,
    renderer: RefCell<Renderer>,
}

impl SplatSource {
    /// Reads a file of splats.
    ///
    /// # Errors
    /// It is missing, damaged, or holds none.
    pub fn load(path: &Path) -> Result<Self> {
        Self::new(&path.display().to_string(), &load_splats(path)?)
    }

    /// Of Gaussians, in the sphere that nearly all are in that are not faint.
    ///
    /// # Errors
    /// Gaussians that cannot be drawn.
    pub fn new(name: &str, gaussians: &Gaussians) -> Result<Self> {
        let least = (FAINT / (1.0 - FAINT)).ln();
        let seen: Vec<usize> = (0..gaussians.len()).filter(|&k| gaussians.opacity_logits[k] >= least).collect();
        let (centre, scale) = if seen.is_empty() { gaussians.sphere() } else { gaussians.select(&seen).sphere() };
        let renderer = RefCell::new(Renderer::new(gaussians).map_err(|e| Error::job(e.to_string()))?);
        Ok(Self { name: name.to_owned(), place: Place { centre, scale }, renderer })
    }
}

impl Source for SplatSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> Place {
        self.place
    }

    fn half(&self) -> DVec3 {
        DVec3::ONE
    }

    fn values(&self, _points: &[f32]) -> Result<Vec<f32>> {
        let message = "splats are seen, they have no values at points";
        Err(Error::usage("--method", message, "--method tsdf fuses what views see of them"))
    }

    fn surface_normals(&self, positions: &[[f32; 3]], triangles: &[[u32; 3]]) -> Result<Vec<[f32; 3]>> {
        Ok(smooth_normals(positions, triangles))
    }

    fn depths(&self, view: &View) -> Result<Depths> {
        let unusable = |e: lumigrad_splat::Error| Error::job(e.to_string());
        let (options, camera, mut renderer) = (RenderOptions::default(), camera(view), self.renderer.borrow_mut());
        let image = renderer.render(&camera, &options).map_err(unusable)?;
        let depths = renderer.median_depth(&camera, &options).map_err(unusable)?;
        let seen = |(d, a): (f32, &f32)| if *a > OPAQUE && d > 0.0 { d } else { f32::INFINITY };
        let straight = |(c, a): (&[f32; 3], &f32)| c.map(|x| if *a > 0.0 { (x / a).clamp(0.0, 1.0) } else { 0.0 });
        Ok(Depths {
            depths: depths.into_iter().zip(&image.alpha).map(seen).collect(),
            colours: image.colour.iter().zip(&image.alpha).map(straight).collect(),
        })
    }
}
