//! What can go wrong with guidance.

use crate::Capability;

/// Errors of priors and of what uses them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// Something in an optimiser.
    #[error(transparent)]
    Optim(#[from] lumigrad_optim::Error),
    /// The prior cannot do what a method needs: choose another prior or another method.
    #[error("{prior} cannot {capability}{needed}; choose another prior or another method")]
    Unsupported {
        /// The prior.
        prior: String,
        /// What it lacks.
        capability: Capability,
        /// Who needs it, with a leading blank; may be empty.
        needed: String,
    },
    /// A batch of pictures does not fit the prior.
    #[error("{what} has shape {found:?}, expected {expected}")]
    Shape {
        /// Name of the tensor.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// What the prior needs.
        expected: String,
    },
    /// A level of noise that does not exist.
    #[error("a noise level of a = {a}, sigma = {sigma} does not exist: {reason}")]
    Level {
        /// Factor of the picture.
        a: f64,
        /// Factor of the noise.
        sigma: f64,
        /// What was expected.
        reason: &'static str,
    },
    /// A label, prompt or view that the prior does not know.
    #[error("{0}")]
    Condition(String),
    /// Settings that make no sense.
    #[error("{0}")]
    Setting(String),
    /// A prior's file is missing, truncated or of another kind.
    #[error("{file}: {reason}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// Guidance diverged and could not be brought back.
    #[error("{0}")]
    Diverged(String),
}

/// Result of work with priors.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A shape error.
    pub fn shape(what: &str, found: &[usize], expected: impl Into<String>) -> Self {
        Self::Shape { what: what.into(), found: found.to_vec(), expected: expected.into() }
    }
}
