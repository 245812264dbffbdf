//! Several pictures that show one thing, denoised together: what they say of a place of it is averaged.
//!
//! A [`Canvas`] tells which place each pixel shows: a texel of a texture, a pixel of a panorama; [`Pinned`] keeps some of its
//! places as they are. Other things that can be seen implement [`Shown`]. [`Sampling`] samples pictures that agree on one: by a
//! [`Synchrony`] of clean estimates, or in [`TextureSpace`].

mod canvas;
mod decoded;
mod pinned;
mod sample;
#[cfg(test)]
mod tests;
mod texture_space;

pub use canvas::Canvas;
pub use decoded::{Decoded, one_by_one};
pub use pinned::Pinned;
pub use sample::{Agreement, Estimate, Sampling, Synchrony, synchronised};
pub use texture_space::{TextureSpace, texel_noise};

use crate::Result;
use lumigrad_core::Tensor;

/// A thing that several pictures show.
pub trait Shown {
    /// What pictures [V, h, w, C] become when they all show one thing. What agrees already stays as it is, and so do pixels
    /// that show nothing of the thing.
    ///
    /// # Errors
    /// Pictures of other shapes.
    fn agreed(&self, pictures: &Tensor) -> Result<Tensor>;
}
