//! Training of models on posed photographs.

mod dataset;
pub mod field;
pub mod mesh;
mod photos;
pub(crate) mod pulled;
pub(crate) mod radiance;
mod report;
mod splats;
mod start;
mod state;
pub(crate) mod views;
pub mod voxels;

pub(crate) use dataset::{Dataset, Shot, bilinear, name};
pub use photos::PhotoKeys;
pub use radiance::SpaceKeys;
pub use splats::splats;
pub(crate) use views::{camera, scores};

use crate::fit::Fit;
use crate::run::job::commands::TrainSplatsJob;

/// The command.
pub const SPLATS: Fit = Fit {
    name: "train splats",
    about: TrainSplatsJob::ABOUT[0],
    positional: &["data"],
    keys: TrainSplatsJob::keys,
    run: splats,
};
