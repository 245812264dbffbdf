//! `fit video`: a sequence of pictures as a field of place and time.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::frames::{FrameKeys, Frames, picture, to_byte};
use super::{Fit, FitKeys, given};
use crate::Result;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Encoding, Field};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

job_keys! {
    /// Fit a field of place and time to a sequence of pictures, and sample it at any time.
    FitVideoJob {
        include fit: FitKeys;
        include written: FrameKeys;
        /// Folder of the frames: PNG, JPEG or WebP of one size, in the order of their names, numbers in them by value.
        folder: Option<PathBuf>, Path, example "\"frames\"";
        /// Bound of the longer side; frames are reduced to it.
        max_size: Option<usize>, Count(1), example "320";
        /// Frames that are fitted, from the first. Without it all.
        max_frames: Option<usize>, Count(1), example "100";
        /// Distance of two frames in time, in pixels: how unlike they are.
        frame_step: f64, Amount, default "4.0";
        /// Frames that are written. Without it as many as there are; more are between those.
        frames: Option<usize>, Count(1), example "64";
    }
}

pub const FIT: Fit =
    Fit { name: "fit video", about: FitVideoJob::ABOUT[0], positional: &["folder"], keys: FitVideoJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "hash",
    sine: (256, 4),
    omega: 30.0,
    sine_rate: 5e-4,
    grid: (12, 17, 16, 320),
    activation: Activation::Relu,
};
const BATCH: usize = 1 << 14;
/// Frames that are scored during the run, and shown on the page.
const SCORED: usize = 8;
const SHOWN: usize = 6;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitVideoJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let folder = given(&job.folder, &FIT, "FOLDER", "give a folder of frames: lumigrad fit video frames/")?;
    let frames = Frames::load(&folder, job.max_size, job.max_frames)?;
    let (levels, rows, base, _) = DEFAULTS.grid;
    let finest = frames.width.max(frames.height).max(2 * base);
    let defaults = Defaults { grid: (levels, rows, base, finest), ..DEFAULTS };
    let field = describe::field(&job.fit, 3, frames.channels, &defaults)?;
    let named = (
        format!("{} ({} frames of {}×{})", folder.display(), frames.count, frames.width, frames.height),
        run_name("video", &folder),
    );
    let setup = Setup::of_field(
        &job.fit,
        named,
        (&field, &DEFAULTS),
        if field.encoding == Encoding::Identity { 2000 } else { 5000 },
        &device,
    )?;
    let places = super::image::centres(frames.width, frames.height);
    let batch = job.fit.run.batch.unwrap_or(BATCH);
    let mut task = VideoTask { frames, places, field, batch, device, job: job.clone() };
    drive(setup, &mut task, document, stop, observer)
}

struct VideoTask {
    frames: Frames,
    /// Centres of a frame's pixels.
    places: Vec<f32>,
    field: Field,
    batch: usize,
    device: Device,
    job: FitVideoJob,
}

impl VideoTask {
    /// The time of a frame, or between two. Long sequences are pressed into [−1, 1].
    fn time(&self, frame: f64) -> f32 {
        let last = (self.frames.count - 1) as f64;
        let longest = self.frames.width.max(self.frames.height) as f64;
        let step = (2.0 * self.job.frame_step / longest).min(2.0 / last.max(1.0));
        ((frame - 0.5 * last) * step) as f32
    }

    /// The field at a time.
    fn sampled(&self, values: &[Tensor], frame: f64) -> Result<Vec<f32>> {
        let t = self.time(frame);
        let points: Vec<f32> = self.places.chunks_exact(2).flat_map(|p| [p[0], p[1], t]).collect();
        Ok(self.field.sample(values, &points, &Arc::new(Derivatives::none()))?.remove(0))
    }

    /// PSNR of bytes over every n-th frame.
    fn score(&self, values: &[Tensor], stride: usize) -> Result<f64> {
        let n = self.frames.pixels() * self.frames.channels;
        let (mut sum, mut count) = (0u64, 0u64);
        for frame in (0..self.frames.count).step_by(stride) {
            let found = self.sampled(values, frame as f64)?;
            let target = &self.frames.data[frame * n..(frame + 1) * n];
            sum += found.iter().zip(target).map(|(&x, &b)| u64::from(to_byte(x).abs_diff(b)).pow(2)).sum::<u64>();
            count += n as u64;
        }
        Ok(10.0 * (255.0 * 255.0 * count as f64 / (sum as f64).max(1e-9)).log10())
    }
}

impl Task for VideoTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (n, channels) = (self.frames.pixels() * self.frames.count, self.frames.channels);
        let (mut points, mut targets) = (Vec::with_capacity(3 * self.batch), Vec::with_capacity(channels * self.batch));
        for k in 0..self.batch as u64 {
            let at = (random::hash(self.job.fit.run.common.seed, step * self.batch as u64 + k) % n as u64) as usize;
            let (frame, pixel) = (at / self.frames.pixels(), at % self.frames.pixels());
            points.extend([self.places[2 * pixel], self.places[2 * pixel + 1], self.time(frame as f64)]);
            targets.extend(self.frames.data[at * channels..(at + 1) * channels].iter().map(|&b| b as f32 / 255.0));
        }
        let points = Tensor::from_slice(&self.device, &points, &[self.batch, 3])?;
        let targets = Tensor::from_slice(&self.device, &targets, &[self.batch, channels])?;
        Ok(self.field.value(parameters, &points.into())?.sub(&targets.into())?.square()?.mean()?)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.score(values, self.frames.count.div_ceil(SCORED))?))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let psnr = self.score(values, 1)?;
        output.figure("psnr", "PSNR of all frames", psnr, 2, " dB");
        let size = format!("{}x{}", self.frames.width, self.frames.height);
        let facts = [
            ("kind", "video".to_owned()),
            ("transfer", "srgb".to_owned()),
            ("size", size),
            ("frames", self.frames.count.to_string()),
            ("first_time", self.time(0.0).to_string()),
            ("last_time", self.time((self.frames.count - 1) as f64).to_string()),
        ];
        let facts: BTreeMap<String, String> = facts.map(|(k, v)| (k.to_owned(), v)).into();
        output.model(&self.field, values, facts)?;
        let n = self.job.frames.unwrap_or(self.frames.count);
        output.frames(n, &self.job.written, |k| {
            // The first and the last stay what they are.
            let at = if n == 1 { 0.0 } else { k as f64 * (self.frames.count - 1) as f64 / (n - 1) as f64 };
            Ok(picture(self.frames.width, self.frames.height, self.sampled(values, at)?))
        })?;
        let shown = SHOWN.min(self.frames.count);
        for k in 0..shown {
            let frame = if shown == 1 { 0 } else { k * (self.frames.count - 1) / (shown - 1) };
            let target = self.frames.picture(frame);
            let mut found =
                super::image::clamped(picture(target.width, target.height, self.sampled(values, frame as f64)?));
            found.data.iter_mut().for_each(|x| *x = to_byte(*x) as f32 / 255.0);
            let psnr = lumigrad_metrics::psnr(&found.data, &target.data)?;
            let errors = super::image::errors(&found, &target);
            let states = vec![("frame", target), ("field", found), ("error ×10", errors)];
            output.slider(&format!("frame {frame}"), format!("{psnr:.2} dB"), states)?;
        }
        Ok(())
    }
}
