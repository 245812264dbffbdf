//! Files of Gaussians.

mod ply;
mod table;

use crate::Gaussians;

/// Logarithm of the third scale of surfels, which files leave out.
const FLAT: f32 = -14.0;

/// Why a file cannot be read or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl FormatError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The Gaussians in the bytes of a file of this name.
///
/// # Errors
/// Endings that are not known; files that are damaged.
pub fn read(name: &str, bytes: &[u8]) -> Result<Gaussians, FormatError> {
    match ending(name) {
        "ply" => ply::read(&table::Ply::read(bytes)?),
        other => Err(unknown(other)),
    }
}

/// The bytes of a file of this name.
///
/// # Errors
/// Endings that are not known.
pub fn write(name: &str, gaussians: &Gaussians) -> Result<Vec<u8>, FormatError> {
    match ending(name) {
        "ply" => Ok(ply::write(gaussians)),
        other => Err(unknown(other)),
    }
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |parts| parts.1)
}

fn unknown(ending: &str) -> FormatError {
    FormatError::new(format!("{ending:?} is no format of splats"), "endings: .ply")
}
