//! Surfaces: welding, topology, remeshing, Laplacian solves, distances and overlap of meshes, signed distances, surfaces of
//! sampled fields, points and curvature of surfaces.

mod atlas;
mod bvh;
mod chamfer;
mod curvature;
mod flexicubes;
mod folds;
mod holes;
mod iou;
mod isosurface;
mod laplacian;
mod orient;
mod parts;
mod random;
mod remesh;
mod sampling;
#[cfg(test)]
mod shapes;
mod signed_distance;
mod simplify;
mod slices;
mod topology;
mod tsdf;
mod weld;
mod winding;

pub use atlas::{Atlas, AtlasOptions, Texels, fill_gaps};
pub use bvh::{Bvh, Nearest};
pub use chamfer::{Comparison, Sample, Surface, compare};
pub use curvature::{NormalWeights, mean_curvature, vertex_normals};
pub use flexicubes::{Cut, FlexiCubes, FlexiSurface};
pub use folds::mean_fold;
pub use holes::{Closed, close_holes};
pub use iou::volume_iou;
pub use isosurface::{
    Border, Dual, Method, SampleGrid, dual_contouring, dual_marching_cubes, extract, grid_tangents, marching_cubes,
    marching_tetrahedra,
};
pub use laplacian::LaplacianSolver;
pub use parts::{Keep, Subset, compact, keep_parts, parts};
pub use remesh::remesh;
pub use sampling::{SurfacePoint, SurfaceSampler};
pub use signed_distance::SignedDistance;
pub use simplify::simplify;
pub use slices::{Plane, Region, Slice, Slices, trace};
pub use topology::Topology;
pub use tsdf::{DepthView, Fused, Tsdf, Unseen};
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
    /// A surface that is not watertight encloses no volume.
    #[error("{name} is not watertight: {border} edges have one triangle, {crowded} have more than two")]
    Open {
        /// Name of the surface.
        name: String,
        /// Edges of one triangle.
        border: usize,
        /// Edges of three triangles or more.
        crowded: usize,
    },
    /// A position is NaN or infinite.
    #[error("vertex {vertex} has a position that is not finite")]
    NotFinite {
        /// Number of the vertex.
        vertex: usize,
    },
    /// Edges of more than two triangles, triangles that face opposite sides of one surface or name a vertex twice, or
    /// vertices where surfaces touch.
    #[error(
        "the surface is not manifold: {} edges have more than two triangles, {} separate triangles that face opposite \
         sides, {} vertices are pinched, {} triangles name a vertex twice",
        .0.n_crowded_edges, .0.n_turned_edges, .0.n_pinched_vertices, .0.n_degenerate
    )]
    NotManifold(Topology),
    /// The edge length to remesh to is not positive or makes too many triangles.
    #[error("edges of length {target} need about {expected:.0} triangles; choose a positive length for at most 2e7")]
    EdgeLength {
        /// The length.
        target: f64,
        /// Triangles expected.
        expected: f64,
    },
    /// Two lists of triangles that should be one differ in length.
    #[error("{found} triangles, expected {expected}")]
    Triangles {
        /// Triangles given.
        found: usize,
        /// Triangles known.
        expected: usize,
    },
    /// A grid and its samples disagree in number.
    #[error("{found} samples for a grid of {} x {} x {}", .size[0], .size[1], .size[2])]
    Samples {
        /// Samples given.
        found: usize,
        /// Samples along x, y and z.
        size: [usize; 3],
    },
    /// A grid has no extent or no place.
    #[error("a grid at {origin:?} with spacings {spacing:?}; spacings must be positive, all numbers finite")]
    Spacing {
        /// Where the first sample is.
        origin: [f64; 3],
        /// Distances of neighbouring samples.
        spacing: [f64; 3],
    },
    /// A surface has more vertices than indices tell apart.
    #[error("the surface has {vertices} vertices, more than 2^32; choose a coarser grid")]
    TooLarge {
        /// Vertices it would have.
        vertices: usize,
    },
    /// A texture atlas of a size that there is none of, or that its charts do not fit in.
    #[error(
        "a texture atlas of {size} x {size} texels with {charts} charts at least {gutter} apart: choose a larger size up to \
         16384, a smaller gutter, or a surface of fewer pieces"
    )]
    Atlas {
        /// Rows and columns.
        size: usize,
        /// Texels between charts.
        gutter: usize,
        /// Charts of the surface, 0 where it was not cut yet.
        charts: usize,
    },
    /// A text file that says something else than its format.
    #[error("line {line}: {message}")]
    Text {
        /// The line, from 1.
        line: usize,
        /// What was found and what was expected.
        message: String,
    },
    /// From the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
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
