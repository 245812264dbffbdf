//! The crate's error: what is wrong, in which file and where in it, and what to do.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a scene, a picture or a data set could not be read, changed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The contents break the format's rules, or an argument does not fit the scene.
    #[error("{location}: {message}{}", remedy(help))]
    Invalid {
        /// File and place in it (JSON pointer, line, byte), for example `scene.glb#/meshes/0`.
        location: String,
        /// What was found and what was expected.
        message: String,
        /// What the user can do; may be empty.
        help: String,
    },
    /// The contents are valid but need something that lumigrad does not do.
    #[error("{location}: {feature} is not supported{}", remedy(help))]
    Unsupported {
        /// File and place in it.
        location: String,
        /// The missing feature, as the file names it.
        feature: String,
        /// What the user can do; may be empty.
        help: String,
    },
}

fn remedy(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("; {help}") }
}

impl Error {
    /// A broken rule at `location`, with the remedy `help` (may be empty).
    pub fn invalid(location: impl Display, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Invalid { location: location.to_string(), message: message.into(), help: help.into() }
    }

    /// Something at `location` that lumigrad does not do.
    pub fn unsupported(location: impl Display, feature: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Unsupported { location: location.to_string(), feature: feature.into(), help: help.into() }
    }

    /// Wraps an operating-system error, for `map_err(Error::io(path))`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// File and place in it, for machine-readable reports.
    pub fn location(&self) -> String {
        match self {
            Self::Io { path, .. } => path.display().to_string(),
            Self::Invalid { location, .. } | Self::Unsupported { location, .. } => location.clone(),
        }
    }

    /// What the user can do about it; may be empty.
    pub fn help(&self) -> &str {
        match self {
            Self::Io { .. } => "",
            Self::Invalid { help, .. } | Self::Unsupported { help, .. } => help,
        }
    }
}
