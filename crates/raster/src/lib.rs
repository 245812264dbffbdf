//! Differentiable mesh rendering: rasterisation, texture sampling, glTF shading, silhouettes.

pub mod kernels;
pub mod modular;
pub mod render;
pub mod shading;
pub mod stochastic;
pub mod surface;
pub mod texture;

pub use render::{Aov, Bindings, Camera, Frame, Options, Rendered, Renderer};

/// Errors of rendering.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// From the scene.
    #[error(transparent)]
    Scene(#[from] lumigrad_scene::Error),
}

/// Result of rendering.
pub type Result<T> = std::result::Result<T, Error>;
