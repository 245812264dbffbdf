//! Surfaces: welding, Laplacian solves, distances between meshes.

mod bvh;
mod chamfer;
mod laplacian;
mod weld;

pub use bvh::{Bvh, Nearest};
pub use chamfer::{Comparison, Surface, compare};
pub use laplacian::LaplacianSolver;
pub use weld::weld_positions;

/// Errors of geometry processing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A triangle names a vertex that does not exist.
    #[error("triangle {triangle} uses vertex {vertex}, the mesh has {vertices}")]
    Index {
        /// Number of the triangle.
        triangle: usize,
        /// The vertex it names.
        vertex: u32,
        /// Vertices that exist.
        vertices: usize,
    },
    /// A surface without area cannot be compared.
    #[error("{0} has no triangles with area; compare surfaces")]
    Empty(String),
    /// The factorisation failed.
    #[error("the Laplacian system of {0} vertices could not be factored: {1}")]
    Factor(usize, String),
}

/// Result of geometry processing.
pub type Result<T> = std::result::Result<T, Error>;

/// Fails when a triangle names a vertex that does not exist.
pub(crate) fn check_indices(n: usize, triangles: &[[u32; 3]]) -> Result<()> {
    for (k, t) in triangles.iter().enumerate() {
        if let Some(&v) = t.iter().find(|&&v| v as usize >= n) {
            return Err(Error::Index { triangle: k, vertex: v, vertices: n });
        }
    }
    Ok(())
}
