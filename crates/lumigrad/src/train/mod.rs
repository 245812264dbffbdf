//! Training of models on posed photographs.

mod dataset;
mod report;
mod splats;
mod state;
mod views;

pub use splats::splats;
pub(crate) use views::camera;
