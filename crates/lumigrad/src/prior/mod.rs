//! `prior`: priors over pictures, trained on a folder, sampled and described.

mod baseline;
mod describe;
mod draw;
mod folder;
mod frechet;
mod pages;
mod sample;
mod score;
mod task;

pub use describe::{PriorInfoJob, info};
pub use sample::{PriorSampleJob, sample};

use crate::fit::Fit;

/// Training is a fit like others.
pub(crate) const TRAIN: Fit = task::FIT;
