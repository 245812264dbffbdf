//! Volume rendering: rays of cameras, where space is empty, samples along rays, and what light of them arrives.
//!
//! A [`Domain`] maps the part of the world that is modelled to the cube [−1, 1]³: a box, all space contracted, or what lies in
//! front of a rig of cameras ([`Frustum`]). [`Rays`] in it meet an [`Occupancy`] in
//! [`march`], which places [`Samples`]; a density at each gives [`Samples::weights`], with which colours, depths and other
//! numbers are added up along the rays ([`Samples::along`]). An [`Octree`] places samples where rays cross its leaves
//! ([`Octree::walk`]), and has numbers at its corners. Weights and sums are operators with both derivative modes on
//! both devices; where samples lie has no derivative.

mod domain;
mod error;
mod frustum;
mod kernels;
mod occupancy;
mod octree;
mod rays;
mod samples;
mod spread;
mod transmit;

pub use domain::{Domain, Mapping};
pub use error::{Error, Result};
pub use frustum::Frustum;
pub use kernels::KERNELS;
pub use occupancy::Occupancy;
pub use octree::{Adapted, Fate, Leaf, Octree, Walk};
pub use rays::Rays;
pub use samples::{March, Samples, march};
