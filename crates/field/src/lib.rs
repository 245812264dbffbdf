//! Neural fields with derivatives that are right.

mod activation;
mod derivatives;
mod encoding;
mod error;
pub mod init;
mod jet;
mod kernels;
mod mlp;

pub use activation::{ACTIVATIONS, Activation};
pub use derivatives::{Derivatives, Second, Stream};
pub use encoding::{Encoding, Grid, Interpolation, Storage};
pub use error::{Error, Result};
pub use init::Omega;
pub use jet::Jet;
pub use kernels::KERNELS;
pub use mlp::Mlp;
