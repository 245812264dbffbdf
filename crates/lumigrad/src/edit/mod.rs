//! `edit voxels`: a part of a voxel grid changes until its pictures are what a prior is asked for (Vox-E, Sella et al. 2023).

mod attention;
mod crops;
mod measure;
mod model;
mod pages;
mod region;
mod task;
#[cfg(test)]
mod tests;

use crate::fit::{Fit, RunKeys};
use crate::guiding::PriorKeys;
use crate::run::job::Kind::*;
use crate::run::job::{Size, job_keys};
use std::path::PathBuf;

job_keys! {
    /// Change a part of a voxel grid until its pictures are what a prior is asked for.
    EditVoxelsJob {
        include run: RunKeys;
        include guide: PriorKeys;
        /// What is edited: a run folder or grid.safetensors of lumigrad train voxels, or a closed mesh, of which a grey grid is
        /// made.
        model: Option<PathBuf>, Path, example "\"runs/voxels\"";
        /// The box outside of which nothing changes: least and largest x, y, z in the world. Without it and a mask, everything
        /// may change.
        region: Option<[f64; 6]>, Numbers(6), example "[-1.0, 0.0, -1.0, 1.0, 1.0, 1.0]";
        /// A closed mesh in the world outside of which nothing changes.
        mask: Option<PathBuf>, Path, example "\"hat.glb\"";
        /// Let the edit's border follow the borders of colours and densities near that of the region (graph cut).
        refine: bool, Flag, default "false";
        /// Word of what the edit adds, for priors with attention: at the end only what attends to it more than to `object_word`
        /// keeps the edit.
        edit_word: Option<String>, Text, example "\"hat\"";
        /// Word of what is edited.
        object_word: Option<String>, Text, example "\"dog\"";
        /// What may change.
        change: String, Choice(&["colour", "both"]), default "\"both\"";
        /// Weight of 1 − the correlation of densities before and after: keeps the shape.
        correlation: f64, Amount, default "200.0";
        /// Columns and rows of the views that crops for the prior are taken from. Without it views of the prior's own size, seen
        /// whole.
        size: Option<Size>, Size, example "\"96x96\"";
        /// Views or crops of a step.
        pictures: usize, Count(1), default "8";
        /// Cameras around the model that they are taken from.
        cameras: usize, Count(1), default "64";
        /// Times of the prior's schedule that noise is drawn from at the start: 0 is a picture, 1 noise.
        times: [f64; 2], Numbers(2), default "[0.02, 0.98]";
        /// Longest pull at a picture (norm of its cotangent); longer ones are scaled down.
        clip: Option<f64>, Amount, example "1.0";
        /// Learning rate of the grids at the start.
        lr: f64, Amount, default "0.05";
        /// What stands behind the model in views: white, black, random or R,G,B.
        background: String, Text, default "\"random\"";
        /// Corners along the longest side of a grid that is made of a mesh.
        resolution: usize, Count(8), default "48";
        /// Views that before and after are compared in.
        views: usize, Count(1), default "8";
    }
}

/// The command.
pub const EDIT: Fit = Fit {
    name: "edit voxels",
    about: EditVoxelsJob::ABOUT[0],
    positional: &["model"],
    keys: EditVoxelsJob::keys,
    run: task::run,
};
