//! Several pictures that show one thing, denoised together: what they say of a place of it is averaged.
//!
//! A [`Canvas`] tells which place each pixel shows: a texel of a texture, a pixel of a panorama, a splat. [`Sampling`]
//! samples pictures that agree on it.

mod canvas;
mod sample;
#[cfg(test)]
mod tests;

pub use canvas::Canvas;
pub use sample::{Sampling, Synchrony, synchronised};
