//! Neural fields with derivatives that are right.

mod activation;
mod derivatives;
mod error;
pub mod init;
mod jet;
mod mlp;

pub use activation::{ACTIVATIONS, Activation};
pub use derivatives::{Derivatives, Second, Stream};
pub use error::{Error, Result};
pub use init::Omega;
pub use jet::Jet;
pub use mlp::Mlp;
