//! What can go wrong with voxels.

/// Errors of voxel grids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// A lattice that is none.
    #[error("{0}")]
    Lattice(String),
    /// Costs of a split that are none.
    #[error("minimum cut: {0}")]
    Split(String),
}

/// Result of work on voxels.
pub type Result<T> = std::result::Result<T, Error>;
