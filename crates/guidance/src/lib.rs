//! Guidance: priors over pictures, and what pulls renders towards them.
//!
//! A [`DiffusionPrior`] answers one question: which noise ε̂ is in x_t = a·x + σ·ε? Priors of any parameterisation are
//! converted at their edge ([`Parameterisation`]), and any [`Level`] (a, σ) is answered, because x_t can be rescaled: only
//! σ/a counts.
//!
//! Pictures are batches [n, height, width, channels] in the prior's own range ([`PriorInfo::range`], usually [−1, 1]).
//! Levels and conditions come as slices with one entry for each picture, or a single one for all.

pub mod analytic;
mod combine;
mod condition;
mod cosine;
pub mod distill;
mod error;
pub mod factors;
pub mod file;
pub mod infinite;
pub mod latent;
mod level;
pub mod modify;
mod noise;
mod parameterisation;
mod prior;
pub mod sample;
mod synchronise;
mod tiled;
mod together;
pub mod trained;
pub mod unet;

pub use combine::combine;
pub use condition::{Condition, Subject, View};
pub use cosine::CosineMixture;
pub use error::{Error, Result};
pub use file::{open, open_changed};
pub use infinite::InfinitePrior;
pub use latent::LatentPrior;
pub use level::{Level, Schedule};
pub use noise::{keyed_noise, noise};
pub use parameterisation::Parameterisation;
pub use prior::{Capability, DiffusionPrior, PriorInfo, Student};
pub use synchronise::{
    Agreement, Canvas, Decoded, Estimate, Pinned, Sampling, Shown, Synchrony, TextureSpace, one_by_one, synchronised,
    texel_noise,
};
pub use tiled::Tiled;
pub use together::Together;
pub use trained::{Objective, Trainable, TrainedPrior};

/// The entry of picture `i` in a slice with one entry for each picture or one for all.
pub fn of_picture<T>(entries: &[T], i: usize) -> &T {
    if entries.len() == 1 { &entries[0] } else { &entries[i] }
}
