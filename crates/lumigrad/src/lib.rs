//! Differentiable graphics: recover scenes from pictures, render them, compare and convert them.
//!
//! This crate holds the jobs of the command line as functions, and gives access to the crates below it: [`core`] (devices,
//! tensors, the tape), [`scene`] (glTF and its parameters), [`raster`] (rendering), [`splat`] (Gaussian splatting), [`field`] (neural fields), [`volume`] (light along rays), [`voxel`] (voxel grids), [`guidance`] (priors over pictures), [`optim`], [`geometry`] and
//! [`metrics`].

pub use lumigrad_core as core;
pub use lumigrad_field as field;
pub use lumigrad_geometry as geometry;
pub use lumigrad_guidance as guidance;
pub use lumigrad_metrics as metrics;
pub use lumigrad_optim as optim;
pub use lumigrad_raster as raster;
pub use lumigrad_scene as scene;
pub use lumigrad_splat as splat;
pub use lumigrad_volume as volume;
pub use lumigrad_voxel as voxel;

pub mod bench;
pub mod create;
pub mod edit;
mod error;
pub mod fields;
pub mod files;
pub mod fit;
pub mod guiding;
pub mod optimize;
pub mod prior;
pub mod run;
pub mod texture;
pub mod train;

pub use error::{Error, Result};
