//! Surfaces of sampled fields: one interface, several methods.
//!
//! A field is sampled on a [`SampleGrid`]; its surface is where the samples, less `iso`, change their sign. [`extract`] takes
//! it out by any [`Method`]; each method is a function of its own too.

mod contouring;
mod dual;
mod dual_marching_cubes;
mod edges;
mod grid;
mod loops;
mod marching_cubes;
mod marching_tetrahedra;
mod qef;
mod signs;
mod table;
#[cfg(test)]
mod tests;

pub use contouring::{dual_contouring, grid_tangents};
pub use dual::Dual;
pub use dual_marching_cubes::dual_marching_cubes;
pub use grid::{Border, SampleGrid};
pub use marching_cubes::marching_cubes;
pub use marching_tetrahedra::marching_tetrahedra;

use crate::Error;
use grid::{Field, split};

/// Positions [V, 3] and triangles [T, 3].
pub type Indexed = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// A way to take the surface out of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Vertices on the edges of cells; manifold.
    MarchingCubes,
    /// Vertices on the edges of tetrahedra, six to a cell; manifold, three times the triangles.
    MarchingTetrahedra,
    /// A vertex per cell where the planes at its crossings meet: keeps edges and corners, may cross itself.
    DualContouring,
    /// A vertex per sheet of surface in a cell, at the mean of its crossings: FlexiCubes with its weights at rest, which is
    /// dual marching cubes; manifold, even triangles.
    FlexiCubes,
}

impl Method {
    /// Every method with its name on the command line.
    pub const ALL: [(&str, Self); 4] = [
        ("mc", Self::MarchingCubes),
        ("mt", Self::MarchingTetrahedra),
        ("dc", Self::DualContouring),
        ("flexicubes", Self::FlexiCubes),
    ];

    /// The method of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, method)| *method)
    }
}

/// The surface where samples of a field are `iso`, counter-clockwise from the positive side, by any method.
///
/// `tangents` gives the field and its gradient at points, for the methods that need them ([`Method::DualContouring`]);
/// [`grid_tangents`] makes them from the samples.
///
/// # Errors
/// As [`marching_cubes`]; those of `tangents`.
pub fn extract<E: From<Error>>(
    method: Method,
    samples: &[f32],
    grid: &SampleGrid,
    iso: f32,
    border: Border,
    tangents: impl FnOnce(&[[f32; 3]]) -> Result<Vec<[f32; 4]>, E>,
) -> Result<Indexed, E> {
    match method {
        Method::MarchingCubes => Ok(marching_cubes(samples, grid, iso, border)?),
        Method::MarchingTetrahedra => Ok(marching_tetrahedra(samples, grid, iso, border)?),
        Method::DualContouring => dual_contouring(samples, grid, iso, border, tangents),
        Method::FlexiCubes => Ok(dual_marching_cubes(samples, grid, iso, border)?),
    }
}
