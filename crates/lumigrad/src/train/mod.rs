//! Training of models on posed photographs.

mod dataset;
mod report;
mod splats;

pub(crate) use splats::camera;
pub use splats::splats;
