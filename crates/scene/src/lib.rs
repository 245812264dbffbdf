//! Scenes as plain host data.

mod error;

pub use error::{Error, Result};
