//! `fit morph`: one picture turns into another, by a warp that carries landmarks to landmarks (Schardong et al. 2024).

mod blend;
mod landmarks;
mod pages;
mod task;
#[cfg(test)]
mod tests;
mod warp;

use super::describe::{self, Defaults};
use super::drive::{Setup, drive, run_name};
use super::frames::FrameKeys;
use super::image::{alike, opaque};
use super::{Fit, FitKeys, given};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use blend::Blend;
use landmarks::{Pair, corners};
use lumigrad_core::Device;
use lumigrad_field::Activation;
use lumigrad_optim::Schedule;
use lumigrad_scene::picture::Picture;
use std::path::PathBuf;
use task::{MorphTask, Side};
use warp::Warp;

job_keys! {
    /// Turn one picture into another by pairs of landmarks, with frames in between.
    FitMorphJob {
        include fit: FitKeys;
        include written: FrameKeys;
        /// The picture at the start: PNG, JPEG, WebP, EXR or HDR. Alpha is taken as over black.
        a: Option<PathBuf>, Path, example "\"a.png\"";
        /// The picture at the end. It may have another size: longer sides are laid on each other, and frames have the size of
        /// the first picture.
        b: Option<PathBuf>, Path, example "\"b.png\"";
        /// Pairs of landmarks, one a line: `xa ya xb yb`, pixels from the top left corner of each picture, with spaces or commas
        /// between; `#` begins a comment.
        landmarks: Option<PathBuf>, Path, example "\"landmarks.txt\"";
        /// Take the corners of the pictures as landmarks too, so that their edges stay about where they are.
        corners: bool, Flag, default "false";
        /// Bound of the longer side; pictures are reduced to it. Landmarks stay in pixels of the files.
        max_size: Option<usize>, Count(1), example "256";
        /// Frames that are written, from the first picture to the second.
        frames: usize, Count(2), default "17";
        /// What bending of the warp costs beside landmarks, in the first half of the run; then it falls to a hundredth. The
        /// higher, the smoother; the lower, the closer to landmarks.
        smoothness: f64, Amount, default "1.0";
        /// How colours of both pictures are mixed: linear is their mean; poisson takes the gradients of the picture that changes
        /// more, so that what only one of them shows does not fade, by a network that learns beside the warp.
        blend: String, Choice(&["linear", "poisson"]), default "\"linear\"";
        /// Part of the width and height, from the middle, over which gradients are mixed; outside it is the mean, and the border
        /// is seamless.
        region: f64, Amount, default "1.0";
    }
}

pub const FIT: Fit =
    Fit { name: "fit morph", about: FitMorphJob::ABOUT[0], positional: &["a", "b"], keys: FitMorphJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (128, 2),
    omega: 24.0,
    sine_rate: 1e-3,
    grid: (8, 14, 4, 64),
    activation: Activation::Mish,
};
/// Places of a step.
const BATCH: usize = 1024;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitMorphJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let example = "lumigrad fit morph a.png b.png --landmarks landmarks.txt";
    let a = given(&job.a, &FIT, "A", &format!("give two pictures: {example}"))?;
    let b = given(&job.b, &FIT, "B", &format!("give two pictures: {example}"))?;
    let list = job.landmarks.as_ref().ok_or_else(|| Error::usage("--landmarks", "it is missing", example))?;
    let sizes = [Picture::dimensions(&a)?, Picture::dimensions(&b)?];
    let mut pairs = landmarks::load(list, sizes)?;
    if job.corners {
        pairs.extend(corners(sizes));
    }
    let title = format!("{} to {} by {} landmarks", a.display(), b.display(), pairs.len());
    let first = opaque(&a, job.max_size)?;
    // Finer than the frames it would only sparkle.
    let second = opaque(&b, Some(first.width.max(first.height)))?;
    let (first, second) = alike(first, second);
    let warp = Warp { field: describe::field(&job.fit, 3, 2, &DEFAULTS)? };
    if !(job.region > 0.0 && job.region <= 1.0) {
        return Err(Error::usage("--region", format!("is {}", job.region), "a part above 0, up to 1"));
    }
    let blend = || Blend::new((first.width, first.height), first.channels, job.region);
    let blend = (job.blend == "poisson").then(blend);
    let seed = job.fit.run.common.seed;
    let mut parameters = warp.start(seed, &device)?;
    if let Some(blend) = &blend {
        parameters.extend(blend.start(seed, &device)?);
    }
    let setup = Setup {
        keys: &job.fit.run,
        title,
        name: run_name("morph", &a),
        parameters,
        rates: describe::rates(&job.fit, &warp.field, &DEFAULTS),
        schedule: Schedule::Cosine { end: 0.01 },
        warm_up: 0.05,
        iterations: 1500,
    };
    let sides = [Side::new(first, &device)?, Side::new(second, &device)?];
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let pairs: Vec<Pair> = pairs.into_iter().map(|pair| pair.inwards(sizes)).collect();
    let mut task = MorphTask::new((warp, blend), sides, &pairs, batch, job.clone(), device)?;
    drive(setup, &mut task, document, stop, observer)
}
