//! What all media that give light in space share: how they are trained on photographs, rendered and kept in files.

mod file;
mod keys;
mod occupied;
mod pixels;
mod rig;
mod scene;
mod space;
mod surface;

pub(crate) use file::{Opened, Trained, to_bytes};
pub use keys::SpaceKeys;
pub use occupied::Occupied;
pub use pixels::Batch;
pub use scene::{Light, Scene};
pub use space::{Space, nearest};

use crate::Result;
use crate::volume::{March, Occupancy, Rays, Samples, march};
use lumigrad_core::{Tensor, Var};
use lumigrad_field::Radiance;

/// A density and colours in the cube [−1, 1]³.
pub trait Medium {
    /// Densities at points [N, 3], per unit of the cube: [N, 1].
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var>;

    /// What colours see of directions, unit vectors [N, 3].
    fn encode_directions(&self, directions: &Var) -> Result<Var>;

    /// Densities [N, 1] and colours [N, 3], from 0 to 1, at points [N, 3] seen from encoded directions.
    fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)>;

    /// Samples along rays, shifted by parts of a step, where it is not empty.
    fn samples(&self, rays: &Rays, shifts: &Tensor, grid: &Occupancy, how: &March) -> Result<Samples> {
        Ok(march(rays, shifts, grid, how)?)
    }

    /// Least weight of a sample whose colour is worth looking at; samples of less are left out as if they were empty.
    fn least_weight(&self) -> f64 {
        0.0
    }

    /// Whether opacity jumps and colours are the same from all sides.
    fn is_binary(&self) -> bool {
        false
    }

    /// Rays of a pixel of a picture, whose mean it is.
    fn rays_per_pixel(&self) -> usize {
        1
    }
}

impl Medium for Radiance {
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        Ok(self.densities(parameters, points)?)
    }

    fn encode_directions(&self, directions: &Var) -> Result<Var> {
        Ok(self.encode_directions(directions)?)
    }

    fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)> {
        Ok(self.evaluate(parameters, points, directions)?)
    }
}
