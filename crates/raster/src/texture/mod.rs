//! Textures: mip chains as operators, sampling as expressions.

mod mip;
mod sample;

pub use mip::{Levels, mip_chain};
pub use sample::{Footprint, Sampling, TextureTable, sample};
pub(crate) use sample::{wrap_coordinate, wrap_index};
