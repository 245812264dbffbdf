//! The keys of the `create` commands.

use crate::guiding::ChangeKeys;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use lumigrad_guidance::distill::{Divergence, Weighting};
use std::path::PathBuf;

/// Names of ways to distil.
pub const DISTILLATIONS: &[&str] = &["sds", "vsd", "dsd", "gcs"];

job_keys! {
    /// Keys of all `create` commands.
    CreateKeys {
        include common: Common;
        include changes: ChangeKeys;
        /// The prior: the file or folder of one, square pictures with 3 channels.
        prior: Option<PathBuf>, Path, example "\"assets/guidance/shapes.safetensors\"";
        /// What is created: a label of the prior, or a text where it reads texts.
        subject: String, Text, default "\"\"";
        /// What it should not look like; its prediction stands for the unconditional one.
        negative: String, Text, default "\"\"";
        /// A second prior that is told from where it looks (by views, or by words after a text): it rules behind the object, the
        /// first one at the front, where a prior that knows of no views is right. Pulls are composed as Vista3D's.
        view_prior: Option<PathBuf>, Path, example "\"shapes.safetensors\"";
        /// What that prior is asked for. Without it the subject, or anything where it knows neither labels nor texts.
        view_subject: Option<String>, Text, example "\"chair\"";
        /// Largest ratio of that prior's pull to the first one's, at the start and at the end of the run.
        view_upper: [f64; 2], Numbers(2), default "[100.0, 10.0]";
        /// Least ratio, for views from the back half. Vista3D has 10,1, for latent priors whose pulls differ in size.
        view_lower: [f64; 2], Numbers(2), default "[1.0, 1.0]";
        /// How the prior pulls: sds is plain score distillation; vsd subtracts what a student of the renders predicts, dsd
        /// weights condition and student apart; gcs compares ways through the noise.
        distillation: String, Choice(DISTILLATIONS), default "\"sds\"";
        /// Scale of classifier-free guidance; 1 is the condition alone.
        scale: f64, Amount, default "1.0";
        /// Dampen the unconditional prediction across the conditional one (TCFG).
        tangential: bool, Flag, default "false";
        /// Weight of levels of noise.
        weighting: String, Choice(Weighting::NAMES), default "\"variance\"";
        /// Divergence that falls; others than reverse-kl need a student and densities of prior and student.
        divergence: String, Choice(Divergence::NAMES), default "\"reverse-kl\"";
        /// Least and most time of the noise, of the prior's schedule from 0 to 1.
        times: Option<[f64; 2]>, Numbers(2), example "[0.05, 0.7]";
        /// Most time at the end of the run.
        time_at_end: f64, Amount, default "0.3";
        /// Largest norm of a view's pull. Without it none; what explodes is always scaled down.
        clip: Option<f64>, Amount, example "10.0";
        /// Damp colours where renders are too bright (BEG).
        equalise: bool, Flag, default "false";
        /// Steps.
        iterations: usize, Count(0), default "600";
        /// Time limit of the steps.
        seconds: Option<f64>, Amount, example "60.0";
        /// Views per step.
        batch: usize, Count(1), default "4";
        /// A picture of what is created, cut out (opaque where the thing is): the creation looks like it from +Z, and the prior
        /// makes up the rest. Metric image_psnr.
        image: Option<PathBuf>, Path, example "\"hamburger_rgba.png\"";
        /// How much a difference to that picture weighs against the prior's pull.
        image_weight: f64, Amount, default "10.0";
        /// Degrees above the horizon from which the picture was taken.
        image_elevation: f64, Number, default "10.0";
        /// Pixels along a side of the renders, for priors of any size. Without it what the prior was made for, or 64.
        side: Option<usize>, Count(8), example "256";
        /// Lowest and highest view, degrees above the horizon.
        elevation: Option<[f64; 2]>, Numbers(2), example "[15.0, 25.0]";
        /// The classifier that tells what renders show: metric recognised. Without it none.
        judge: Option<PathBuf>, Path, example "\"assets/guidance/judge.safetensors\"";
        /// Go on from the checkpoint in `out`, or from the one beside it that a killed run left; without one, start anew.
        resume: bool, Flag, default "false";
        /// Seconds between checkpoints of a run, kept beside `out` until it ends.
        checkpoint_every: f64, Amount, default "30.0";
        /// Run folder that is written; an existing run is replaced when this one succeeds. Without it runs/create-SUBJECT.
        out: Option<PathBuf>, Path, example "\"runs/chair\"";
    }
}

job_keys! {
    /// Keys of Gaussians that are pulled.
    CloudKeys {
        /// Gaussians.
        splats: usize, Count(1), default "1200";
        /// Rate of means, metres a step at the start; it falls to a tenth. Others follow it.
        rate: f64, Amount, default "0.01";
        /// Weight of opacity: Gaussians that no view needs fade.
        opacity_weight: f64, Amount, default "0.02";
    }
}

job_keys! {
    /// Create Gaussian splats that a prior takes for what it knows: from noise, by score distillation.
    CreateSplatsJob {
        include create: CreateKeys;
        include cloud: CloudKeys;
    }
}

job_keys! {
    /// Keys of a surface whose normals are polished.
    PolishKeys {
        /// Part of the steps after which the surface goes on on a finer grid, and its normals are polished. 1: never.
        polish: f64, Amount, default "0.8";
        /// Cells of that grid along its longest side.
        fine_resolution: usize, Count(8), default "48";
        /// Weight of how much normals of neighbouring pixels differ. Sharp edges stay.
        smooth_weight: f64, Amount, default "20.0";
        /// A prior whose pictures are normals of a view (x right, y up, z towards it; ½ + ½n over white), asked for the subject.
        normal_prior: Option<PathBuf>, Path, example "\"assets/guidance/normals.safetensors\"";
        /// Weight of its pull.
        normal_weight: f64, Amount, default "1.0";
    }
}

job_keys! {
    /// Create a mesh with a texture that a prior takes for what it knows, by score distillation: Gaussians from noise, then a
    /// signed distance grid of what they show, through FlexiCubes and the rasteriser; at last its normals are polished.
    CreateMeshJob {
        include create: CreateKeys;
        include cloud: CloudKeys;
        include polished: PolishKeys;
        /// Part of the steps after which the Gaussians become a surface.
        coarse: f64, Amount, default "0.5";
        /// Cells along the longest side of the signed distance grid.
        resolution: usize, Count(8), default "32";
        /// Factor of the rates of the grid; they fall to a tenth.
        surface_rate: f64, Amount, default "0.3";
        /// Weight of the part of the pictures that the surface covers: what no view needs is taken away.
        cover_weight: f64, Amount, default "5.0";
        /// Rows and columns of the texture. Without it what suits the number of triangles.
        texture_size: Option<usize>, Count(16), example "512";
    }
}
