//! Training of models on posed photographs.

mod dataset;
mod report;
mod splats;

pub use splats::splats;
