//! The `create` commands: things that nobody photographed, pulled from noise towards what a prior knows.
//!
//! [`splats()`] pulls Gaussians, [`mesh()`] a surface. A [`Judge`], a classifier that knows nothing of the prior, tells what renders show.

mod asked;
mod cameras;
mod drive;
mod judge;
mod keys;
mod learnt;
mod mesh;
mod model;
mod plan;
mod polish;
mod pulls;
mod reference;
mod report;
mod splats;

pub use cameras::{camera, ring};
pub use judge::{Judge, NONE};
pub use keys::{CloudKeys, CreateKeys, CreateMeshJob, CreateSplatsJob, PolishKeys};
pub use mesh::mesh;
pub use splats::splats;

pub use crate::fields::textured::normals;
use crate::fit::Fit;

/// The commands.
pub const MESH: Fit =
    Fit { name: "create mesh", about: CreateMeshJob::ABOUT[0], positional: &[], keys: CreateMeshJob::keys, run: mesh };

/// Gaussians.
pub const SPLATS: Fit = Fit {
    name: "create splats",
    about: CreateSplatsJob::ABOUT[0],
    positional: &[],
    keys: CreateSplatsJob::keys,
    run: splats,
};
