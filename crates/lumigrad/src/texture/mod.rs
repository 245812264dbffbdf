//! `texture`: base colours of a mesh, colours of splats, or a panorama, from a prior over pictures, by denoising views of it together
//! (SyncTweedies, Kim et al. 2024), or as one texture (GenesisTex, Gao et al. 2024).

mod cloud;
mod compose;
mod execute;
mod pages;
mod painted;
mod panorama;
mod runner;
mod seams;
mod texels;
mod textures;
mod thing;
mod unwrap;

pub use execute::texture;

use crate::fit::Fit;
use crate::guiding::PriorKeys;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::{Size, job_keys};
use std::path::PathBuf;

/// Methods.
const METHODS: &[&str] = &["sync", GENESIS];
const GENESIS: &str = "genesis";

job_keys! {
    /// Paint a mesh, splats or a panorama with what a prior is asked for.
    TextureJob {
        include common: Common;
        include guide: PriorKeys;
        /// The scene: .glb, .gltf, .obj, .ply or .stl, which gets an atlas where it has no texture coordinates; or splats: a file
        /// of them, or a run folder.
        scene: Option<PathBuf>, Path, example "\"scene.glb\"";
        /// In place of a scene a panorama of so many columns and rows (2:1), of what is all around.
        panorama: Option<Size>, Size, example "\"256x128\"";
        /// How views become one thing. sync averages their clean estimates in each step of denoising. genesis denoises one texture
        /// that all views look at, lets views go little by little, makes up what no view saw, and refines from more views.
        method: String, Choice(METHODS), default "\"sync\"";
        /// Columns and rows of the views that are denoised. Without it what a prior with latents was made for, else 128x128.
        size: Option<Size>, Size, example "\"512x512\"";
        /// Views around the scene: all but two on a circle, and one from above and below each.
        views: usize, Count(3), default "10";
        /// Steps of denoising.
        iterations: usize, Count(1), default "30";
        /// Part of the steps after which views go on by themselves.
        until: f64, Amount, default "0.8";
        /// With genesis: part of the steps, before those, in which they are aligned less and less.
        fade: f64, Amount, default "0.3";
        /// With genesis: how much noise more views get to be refined from, as a time from 0 (none: leave it out) to 1.
        refine: f64, Amount, default "0.3";
        /// Part of the steps in which the prior's attention looks at all views at once, which makes them of one style. Without it all
        /// of them with genesis where the prior can do so, and none with sync.
        together: Option<f64>, Amount, example "0.5";
        /// Rows and columns of each texture. Without it so many that a texel is a little wider than a pixel of a view.
        texture_size: Option<usize>, Count(8), example "256";
        /// Pixels between patches, where the prior knows patches only. Without it half a patch.
        stride: Option<usize>, Count(1), example "4";
        /// How much more pixels count that see a surface straight: power of the angle's cosine.
        cosine_power: f64, Amount, default "4.0";
        /// Leave out the same views denoised each by itself, which the seams are compared with.
        no_comparison: bool, Flag, default "false";
        /// Go on from the checkpoint in `out`, or from the one beside it that a killed run left; without one, start anew.
        resume: bool, Flag, default "false";
        /// Seconds between checkpoints of a run, kept beside `out` until it ends.
        checkpoint_every: f64, Amount, default "30.0";
        /// Run folder that is written; an existing run is replaced when this one succeeds. Without it runs/texture-NAME.
        out: Option<PathBuf>, Path, example "\"runs/texture\"";
    }
}

/// The command.
pub const TEXTURE: Fit =
    Fit { name: "texture", about: TextureJob::ABOUT[0], positional: &["scene"], keys: TextureJob::keys, run: texture };
