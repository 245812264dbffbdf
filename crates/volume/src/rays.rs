//! Rays of cameras.

use crate::{Domain, Result};
use glam::DVec3;
use lumigrad_core::{Device, Tensor};
use lumigrad_scene::camera::View;
use rayon::prelude::*;

/// Rays in box coordinates: x = origin + t·direction. Distances t are in units of the box's longest half side, so that
/// directions are unit vectors where the box is a cube of the world; in a forward-facing one distances are those across it
/// ([`Domain::ray`]).
#[derive(Clone, Debug)]
pub struct Rays {
    /// [R, 3].
    pub origins: Tensor,
    /// [R, 3]; zeros where a lens sees nothing, and where a ray never enters a forward-facing box.
    pub directions: Tensor,
    /// Directions as unit vectors of the world, [R, 3].
    pub views: Tensor,
}

/// Numbers of a ray: origin, direction, unit vector.
type Numbers = [[f32; 3]; 3];

impl Rays {
    /// Through places of pictures, in pixels (centres lie at +0.5).
    ///
    /// # Errors
    /// Memory.
    pub fn new(domain: &Domain, places: &[(&View, [f64; 2])], device: &Device) -> Result<Self> {
        let numbers: Vec<Numbers> = places.par_iter().map(|(view, place)| ray(domain, view, *place)).collect();
        Self::from_numbers(&numbers, device)
    }

    /// Through the centres of some pixels of a picture, row after row.
    ///
    /// # Errors
    /// Memory.
    pub fn of_pixels(domain: &Domain, view: &View, pixels: std::ops::Range<usize>, device: &Device) -> Result<Self> {
        let place = |i: usize| [(i % view.width) as f64 + 0.5, (i / view.width) as f64 + 0.5];
        let numbers: Vec<Numbers> = pixels.into_par_iter().map(|i| ray(domain, view, place(i))).collect();
        Self::from_numbers(&numbers, device)
    }

    fn from_numbers(numbers: &[Numbers], device: &Device) -> Result<Self> {
        let tensor = |k: usize| {
            let flat: Vec<f32> = numbers.iter().flat_map(|n| n[k]).collect();
            Tensor::from_slice(device, &flat, &[numbers.len(), 3])
        };
        Ok(Self { origins: tensor(0)?, directions: tensor(1)?, views: tensor(2)? })
    }

    /// Rays.
    pub fn len(&self) -> usize {
        self.origins.shape()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn ray(domain: &Domain, view: &View, place: [f64; 2]) -> Numbers {
    let numbers = view.ray(place).and_then(|[from, to_depth_1]| {
        let along = DVec3::from(to_depth_1).normalize_or_zero().to_array();
        let [origin, direction] = domain.ray(from, along)?;
        Some([origin, direction, along])
    });
    numbers.unwrap_or_default().map(|v| v.map(|x| x as f32))
}
