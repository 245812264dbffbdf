//! Keys of everything that a prior guides.

use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use std::path::PathBuf;

job_keys! {
    /// Keys of what changes a prior.
    ChangeKeys {
        /// Low-rank files (LoRA) of a latent diffusion model's U-Net and text encoder, of diffusers, peft or kohya-ss, as FILE or
        /// FILE:SCALE; several add up.
        lora: Vec<PathBuf>, Paths, example "[\"style.safetensors:0.8\"]";
    }
}

job_keys! {
    /// Keys of a prior, and of what is asked of it.
    PriorKeys {
        include changes: ChangeKeys;
        /// The prior over pictures: a file, or a folder that lumigrad prior train wrote.
        prior: Option<PathBuf>, Path, example "\"materials.safetensors\"";
        /// What pictures should show: a label of the prior (several with commas between), or a text where it reads texts.
        /// Without it anything that the prior knows.
        prompt: Option<String>, Text, example "\"moss\"";
        /// What they should not show; the unconditional prediction is replaced by it.
        negative_prompt: Option<String>, Text, example "\"stone\"";
        /// How much the prediction for the prompt is exaggerated against that for anything: ε = ε_u + s·(ε_c − ε_u). 1: not at all.
        guidance_scale: f64, Amount, default "1.0";
    }
}
