//! What can go wrong with fields.

/// Errors of fields.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// Something in an optimiser.
    #[error(transparent)]
    Optim(#[from] lumigrad_optim::Error),
    /// A second derivative that is zero wherever it exists.
    #[error(
        "{wanted} of a field that is linear piece by piece is zero wherever it exists: choose a smooth activation (sine, \
         softplus, mish) or smoothstep interpolation"
    )]
    Flat {
        /// The derivative that was asked for.
        wanted: String,
    },
    /// A derivative that does not travel with the value.
    #[error("{wanted} was not asked for when the field was evaluated")]
    NotCarried {
        /// The derivative that was asked for.
        wanted: String,
    },
    /// A description that makes no field.
    #[error("{0}")]
    Description(String),
    /// A training that diverges again and again.
    #[error(
        "the training diverged at step {step} (loss {loss}) after {returns} returns with half the rate each time: \
         choose a smaller learning rate, or look for broken values in the data"
    )]
    Diverged {
        /// Steps done.
        step: usize,
        /// The loss that was found.
        loss: f64,
        /// Times that the run had been taken back.
        returns: u32,
    },
    /// A file that is no field.
    #[error("{0}")]
    File(String),
}

/// Result of work on fields.
pub type Result<T> = std::result::Result<T, Error>;
