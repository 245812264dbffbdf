//! Training of models on posed photographs.

mod dataset;
pub mod field;
pub(crate) mod radiance;
mod report;
mod splats;
mod start;
mod state;
pub(crate) mod views;
pub mod voxels;

pub(crate) use dataset::{Dataset, Shot, bilinear, name};
pub use radiance::SpaceKeys;
pub use splats::splats;
pub(crate) use views::{camera, scores};
