//! What can go wrong in a job.

/// Errors of jobs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// From reading or writing scenes, pictures and data sets.
    #[error(transparent)]
    Scene(#[from] lumigrad_scene::Error),
    /// From rendering.
    #[error(transparent)]
    Raster(#[from] lumigrad_raster::Error),
    /// From optimisation.
    #[error(transparent)]
    Optim(#[from] lumigrad_optim::Error),
    /// From neural fields.
    #[error(transparent)]
    Field(#[from] lumigrad_field::Error),
    /// From priors and guidance.
    #[error(transparent)]
    Guidance(#[from] lumigrad_guidance::Error),
    /// From volume rendering.
    #[error(transparent)]
    Volume(#[from] lumigrad_volume::Error),
    /// From voxel grids.
    #[error(transparent)]
    Voxel(#[from] lumigrad_voxel::Error),
    /// From geometry processing.
    #[error(transparent)]
    Geometry(#[from] lumigrad_geometry::Error),
    /// From comparing pictures.
    #[error(transparent)]
    Metrics(#[from] lumigrad_metrics::Error),
    /// The job asks for what cannot be done; the message says what to change.
    #[error("{0}")]
    Job(String),
    /// A flag, a key or a value that is wrong as it is written: correct it.
    #[error("{location}: {message}{}", remedy(help))]
    Usage {
        /// The flag, or file and line.
        location: String,
        /// What was found and what was expected.
        message: String,
        /// What the user can do; may be empty.
        help: String,
    },
    /// A file that the job needs does not hold what it should.
    #[error("{location}: {message}{}", remedy(help))]
    File {
        /// The file, and the place in it.
        location: String,
        /// What was found and what was expected.
        message: String,
        /// What the user can do; may be empty.
        help: String,
    },
    /// Reading or writing a file.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Result of jobs.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A job that cannot be done.
    pub fn job(message: impl Into<String>) -> Self {
        Self::Job(message.into())
    }

    /// A wrong flag, key or value at `location`.
    pub fn usage(location: impl std::fmt::Display, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { location: location.to_string(), message: message.into(), help: help.into() }
    }

    /// A file at `location` with wrong contents.
    pub fn file(location: impl std::fmt::Display, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::File { location: location.to_string(), message: message.into(), help: help.into() }
    }

    /// Where it happened: a file and the place in it, or a flag; may be empty.
    pub fn location(&self) -> String {
        match self {
            Self::Scene(e) => e.location(),
            Self::Raster(lumigrad_raster::Error::Scene(e)) => e.location(),
            Self::Usage { location, .. } | Self::File { location, .. } => location.clone(),
            Self::Io { path, .. } => path.clone(),
            _ => String::new(),
        }
    }

    /// What the user can do about it; may be empty.
    pub fn help(&self) -> String {
        match self {
            Self::Scene(e) => e.help().to_owned(),
            Self::Raster(lumigrad_raster::Error::Scene(e)) => e.help().to_owned(),
            Self::Usage { help, .. } | Self::File { help, .. } => help.clone(),
            _ => String::new(),
        }
    }

    /// True where the command itself was wrong, not what it met: exit code 2.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }

    /// A file that cannot be read or written.
    pub fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

fn remedy(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("; {help}") }
}
