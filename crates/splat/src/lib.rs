//! Gaussian splatting: scenes of [`Gaussians`] on the host, their pictures ([`render`]), and their training on pictures
//! with known cameras ([`Trainer`]). All of it runs on the CPU. [`device`] has the same on any device, on a tape; [`raycast`]
//! lets light fade in Gaussians along rays, of which no order is visible.

mod aov;
mod composite;
pub mod device;
mod error;
pub mod formats;
mod frame;
mod gaussians;
mod importance;
mod init;
mod lanes;
mod lm;
mod loss;
mod project;
pub mod raycast;
mod render;
#[cfg(test)]
mod render_tests;
mod robust;
mod rows;
mod sh;
mod smoothing;
mod strategy;
mod train;
mod update;
mod view;

pub use error::Error;
pub use gaussians::{Gaussians, Kernel, MAX_SH_DEGREE};
pub use importance::importance;
pub use init::C0;
pub use lm::LmTrainer;
pub use render::{Renderer, render, render_views};
pub use robust::{Robust, RobustTrainer};
pub use strategy::Strategy;
pub use train::{Background, Remembered, StepReport, Train, TrainOptions, TrainState, Trainer, TrainingPicture};
pub use view::{Image, Projection, RenderOptions, Shutter, Technique, View};
