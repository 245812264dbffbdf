//! What a camera sees of a solid.

use super::solid::Solid;
use super::trace::{Ray, trace};
use crate::Result;
use glam::DVec3;
use lumigrad_scene::camera::View;
use lumigrad_scene::picture::{Picture, Transfer};
use rayon::prelude::*;

/// The pixels of a camera whose rays meet a solid.
pub struct Seen {
    size: (usize, usize),
    /// Numbers of the pixels.
    pixels: Vec<usize>,
    /// Points of the surface in the domain, three numbers each.
    pub points: Vec<f32>,
    /// Where rays go, of length one.
    pub directions: Vec<DVec3>,
    /// Depths along the camera's axis, in the world.
    pub depths: Vec<f32>,
}

impl Seen {
    /// Traces a ray through the centre of every pixel; `steepest` is the solid's.
    pub fn new(solid: &Solid, view: &View, steepest: f64) -> Result<Self> {
        let (centre, scale) = (DVec3::from(solid.place.centre), solid.place.scale);
        let ray = |pixel: usize| {
            let at = [(pixel % view.width) as f64 + 0.5, (pixel / view.width) as f64 + 0.5];
            let [from, to_depth_1] = view.ray(at)?.map(DVec3::from);
            let direction = to_depth_1.try_normalize()?;
            Some((pixel, Ray { origin: (from - centre) / scale, direction }, scale / to_depth_1.length()))
        };
        let cast: Vec<_> = (0..view.width * view.height).into_par_iter().filter_map(ray).collect();
        let rays: Vec<Ray> = cast.iter().map(|&(_, ray, _)| ray).collect();
        let mut seen = Self {
            size: (view.width, view.height),
            pixels: vec![],
            points: vec![],
            directions: vec![],
            depths: vec![],
        };
        for ((pixel, ray, depth), distance) in cast.iter().zip(trace(solid, &rays, steepest)?) {
            let Some(distance) = distance else { continue };
            seen.pixels.push(*pixel);
            seen.points.extend(ray.at(distance).as_vec3().to_array());
            seen.directions.push(ray.direction);
            seen.depths.push((distance * depth) as f32);
        }
        Ok(seen)
    }

    /// A picture with colours at the pixels that see the surface, transparent elsewhere.
    pub fn picture(&self, colours: &[[f32; 3]], transfer: Transfer) -> Picture {
        let data = self.spread(colours.iter().map(|c| [c[0], c[1], c[2], 1.0]));
        let (width, height) = self.size;
        Picture { width, height, channels: 4, data, transfer, premultiplied: true }
    }

    /// Numbers at the pixels that see the surface, 0 elsewhere.
    pub fn spread<const N: usize>(&self, numbers: impl Iterator<Item = [f32; N]>) -> Vec<f32> {
        let mut data = vec![0.0; N * self.size.0 * self.size.1];
        for (&pixel, own) in self.pixels.iter().zip(numbers) {
            data[N * pixel..N * (pixel + 1)].copy_from_slice(&own);
        }
        data
    }
}
