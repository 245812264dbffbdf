//! Visibility: which triangle each pixel sees, lists of fragments, blended silhouettes.

mod antialias;
mod fragments;
mod place;
mod rasterize;
mod silhouettes;

pub use antialias::antialias;
pub(crate) use fragments::counting;
pub use fragments::{Fragments, fragments};
pub use place::place;
pub use rasterize::{Layer, rasterize};
pub use silhouettes::silhouettes;

use lumigrad_core::kernel::KernelSpec;

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[
    rasterize::RasterizeDepth::SPEC,
    rasterize::RasterizeTriangle::SPEC,
    silhouettes::Silhouettes::SPEC,
    crate::shading::environment::SparseRows::SPEC,
];
