//! What can go wrong with volumes.

/// Errors of volumes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// A part of space that holds nothing.
    #[error("{0}")]
    Domain(String),
}

/// Result of work on volumes.
pub type Result<T> = std::result::Result<T, Error>;
