//! Gaussian splatting: scenes of Gaussians on the host, their pictures, and their files.

mod composite;
mod error;
mod gaussians;
mod project;
mod render;
mod sh;
mod view;

pub use error::Error;
pub use gaussians::{Gaussians, Kernel, MAX_SH_DEGREE};
pub use render::render;
pub use view::{Image, RenderOptions, View};
