//! Inverse rendering: textures, shape, light, materials and cameras of a glTF scene from pictures.

mod display;
mod estimator;
mod execute;
mod intrinsics;
mod objective;
mod poses;
mod problem;
mod remeshing;
mod run;
mod score;
mod settings;
mod start;
mod uncertainty;
mod variable;

pub use display::encode;
pub use execute::execute;
pub use problem::{Problem, Target, bounds, environment};
pub use run::{Optimizer, Outcome, mean_psnr, optimize, psnr};
pub use settings::{Init, ParamChoice, Settings, Source};
pub use start::own_parameters;
pub use variable::{Variable, default_rate};
