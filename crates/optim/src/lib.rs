//! Losses, Adam, Levenberg–Marquardt, schedules: what turns gradients into better parameters.
//!
//! [`Loss`] compares pictures, [`Adam`] steps groups of arrays with their own rates and bounds, [`Schedule`] shrinks the
//! rates over a run.
//! [`LevenbergMarquardt`] minimises sums of squares with few, large steps. [`method`] offers these and other published
//! optimisers behind one interface, by name.

mod adam;
mod conjugate_gradients;
mod correlation;
mod implicit;
pub mod kernels;
mod lm;
pub mod loss;
pub mod method;
pub mod pose;
pub mod schedule;
mod spectrum;
mod vectors;

pub use adam::{Adam, AdamInfo, Clip, Group, gradient_square};
pub use conjugate_gradients::conjugate_gradients;
pub use correlation::correlation;
pub use implicit::{NeumannOptions, inverse_hessian_product, weight_derivative};
pub use lm::{
    Covariance, Damping, LevenbergMarquardt, LmOptions, LmStep, MAX_COVARIANCE_PARAMETERS, Residuals, covariance,
};
pub use loss::mesh::MeshRegularizer;
pub use loss::perimeter::{PERIMETER, PhaseField, SegmentOptions};
pub use loss::texture::{total_variation, total_variation_residuals};
pub use loss::{LOSSES, Loss};
pub use method::{METHODS, Method, Objective, Plan, Sample};
pub use schedule::Schedule;
pub use spectrum::largest_singular_value;

/// Errors of optimisation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// From the core.
    #[error(transparent)]
    Core(#[from] lumigrad_core::Error),
    /// A loss that does not exist: choose one of the list.
    #[error("unknown loss {name:?}, expected one of {known}")]
    UnknownLoss {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// An optimiser that does not exist: choose one of the list.
    #[error("unknown optimiser {name:?}, expected one of {known}")]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The function that is minimised cannot be evaluated.
    #[error("{0}")]
    Objective(Box<dyn std::error::Error + Send + Sync>),
    /// A numerical method cannot go on.
    #[error("{what}: {reason}")]
    Numeric {
        /// The method.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A step was given arrays for another number of groups.
    #[error("{found} arrays were given for {expected} groups")]
    Groups {
        /// Arrays given.
        found: usize,
        /// Groups.
        expected: usize,
    },
}

/// Result of optimisation.
pub type Result<T> = std::result::Result<T, Error>;
