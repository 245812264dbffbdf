//! Voxel grids: numbers at the corners of a lattice over the cube [−1, 1]³, trilinear between them.
//!
//! [`Lattice::sample`] is an operator with both derivative modes on both devices; its cotangents touch only the rows around
//! the points that were asked for. A [`Sparse`] lattice keeps rows for some of its corners only. [`Lattice::resample`] takes a table to a finer lattice or another box, and
//! [`Lattice::roughness`] is total variation at some of the corners. A [`Split`] is the cheapest way to tell some corners from
//! the others.

mod cut;
mod error;
mod kernels;
mod lattice;
mod sample;
mod sparse;

pub use cut::Split;
pub use error::{Error, Result};
pub use kernels::KERNELS;
pub use lattice::Lattice;
pub use sparse::Sparse;
