//! Gaussian splatting: scenes of Gaussians on the host, and their files.

mod gaussians;

pub use gaussians::{Gaussians, Kernel, MAX_SH_DEGREE};
