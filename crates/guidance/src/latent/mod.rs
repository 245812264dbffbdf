//! The networks of latent diffusion models: Stable Diffusion 1 and 2 in the folders that diffusers writes.
//!
//! - [`TextEncoder`] makes contexts of texts,
//! - [`Denoiser`] predicts noise (or velocity) in latents, told a step and a context,
//! - [`Autoencoder`] makes latents of pictures and pictures of latents.
//!
//! Each is a description of which parameter is used where, beside the weights that were read: `apply` takes any parameters of
//! the same shapes, so recorded ones, or weights with low-rank changes added. Pictures and latents have channels last.
//! No weights come with lumigrad.

mod adapter;
mod config;
mod folder;
mod layers;
mod lora;
mod placed;
mod prior;
mod scheduler;
mod text;
mod tokenizer;
mod unet;
mod vae;
mod weights;

pub use folder::is_latent;
pub use prior::LatentPrior;
pub use scheduler::Scheduler;
pub use text::TextEncoder;
use tokenizer::Tokenizer;
pub use unet::{Ask, Denoiser, DenoiserConfig, Seen};
pub use vae::Autoencoder;
use weights::Weights;
