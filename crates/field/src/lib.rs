//! Neural fields with derivatives that are right.

mod activation;
pub mod arrays;
mod derivatives;
mod encoding;
mod equation;
mod error;
mod field;
mod file;
mod hyper;
pub mod init;
mod jet;
mod kernels;
mod mlp;
mod polyfit;
mod radiance;
pub mod surface;
mod training;

pub use activation::{ACTIVATIONS, Activation};
pub use derivatives::{Derivatives, Second, Stream};
pub use encoding::{Encoding, Grid, Interpolation, Storage};
pub use equation::{Equation, Names};
pub use error::{Error, Result};
pub use field::{Field, Parameter};
pub use file::{Description, Model};
pub use hyper::{Hyper, prior};
pub use init::Omega;
pub use jet::Jet;
pub use kernels::KERNELS;
pub use mlp::{Mlp, Precision};
pub use polyfit::{Fitted, PolyFit};
pub use radiance::Radiance;
pub use training::{Rates, State, Step, Training};
