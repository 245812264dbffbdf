//! Inverse rendering: textures, shape, light, materials and cameras of a glTF scene from pictures.

mod diagnosis;
mod display;
mod drive;
mod estimator;
mod execute;
mod intrinsics;
mod landscape;
mod objective;
mod pages;
mod pictures;
mod poses;
mod problem;
mod range_test;
mod remeshing;
mod resume;
mod run;
mod score;
mod settings;
mod shape;
mod start;
mod tuning;
mod uncertainty;
mod variable;

pub use diagnosis::{Diagnosis, GroupHealth, diagnose};
pub use display::{encode, over};
pub use drive::{Outcome, mean_psnr, optimize, psnr};
pub use execute::execute;
pub use landscape::landscape;
pub(crate) use poses::angle;
pub use problem::{Problem, Target, bounds, environment};
pub use range_test::{RangeTest, range_test};
pub use run::Optimizer;
pub use settings::{Init, ParamChoice, Settings, Source};
pub use shape::ShapeWeights;
pub use start::own_parameters;
pub use variable::{Variable, default_rate};
