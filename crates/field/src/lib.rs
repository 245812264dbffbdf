//! Neural fields with derivatives that are right.

mod activation;
mod derivatives;
mod encoding;
mod error;
mod field;
mod file;
pub mod init;
mod jet;
mod kernels;
mod mlp;
mod training;

pub use activation::{ACTIVATIONS, Activation};
pub use derivatives::{Derivatives, Second, Stream};
pub use encoding::{Encoding, Grid, Interpolation, Storage};
pub use error::{Error, Result};
pub use field::{Field, Parameter};
pub use file::Model;
pub use init::Omega;
pub use jet::Jet;
pub use kernels::KERNELS;
pub use mlp::Mlp;
pub use training::{Rates, Step, Training};
