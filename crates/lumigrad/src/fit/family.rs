//! `fit family`: pictures that share one network, with a code for each.

use super::describe::{self, Defaults};
use super::drive::{Output, Setup, Task, drive, run_name};
use super::frames::{Frames, picture};
use super::image::{centres, clamped};
use super::{Fit, FitKeys, given};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::report::{Gallery, Image};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Activation, Derivatives, Hyper, Model, prior};
use lumigrad_optim::Schedule;
use lumigrad_scene::picture::Picture;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

job_keys! {
    /// Fit fields to all pictures of a folder by one hypernetwork, which makes each picture's field from a short code; codes in
    /// between give pictures in between.
    FitFamilyJob {
        include fit: FitKeys;
        /// Folder of pictures of one size.
        pictures: Option<PathBuf>, Path, example "\"faces\"";
        /// Bound of the longer side; pictures are reduced to it.
        max_size: usize, Count(1), default "64";
        /// Numbers of a code.
        code: usize, Count(1), default "32";
        /// Units of a hidden layer of the hypernetwork.
        hyper_width: usize, Count(1), default "128";
        /// Its hidden layers.
        hyper_depth: usize, Count(1), default "1";
        /// Weight of the priors of codes and of what is made from them (SIREN).
        prior_weight: f64, Amount, default "1e-4";
        /// Pictures of a step.
        members: usize, Count(1), default "4";
        /// Pictures between each two neighbours.
        between: usize, Count(0), default "3";
    }
}

pub const FIT: Fit =
    Fit { name: "fit family", about: FitFamilyJob::ABOUT[0], positional: &["pictures"], keys: FitFamilyJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (64, 3),
    omega: 30.0,
    sine_rate: 2e-4,
    grid: (4, 10, 8, 64),
    activation: Activation::Relu,
};
/// Pixels of a step, of each picture.
const BATCH: usize = 2048;
const ITERATIONS: usize = 3000;
/// Pictures on the page.
const SHOWN: usize = 12;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitFamilyJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.pictures, &FIT, "PICTURES", "give a folder of pictures: lumigrad fit family DIR")?;
    let frames = Frames::load(&path, Some(job.max_size), None)?;
    let field = describe::field(&job.fit, 2, frames.channels, &DEFAULTS)?;
    let (n_codes, code, width, depth) = (frames.count, job.code, job.hyper_width, job.hyper_depth);
    let hyper = Hyper { field, n_codes, code, width, depth };
    hyper.check().map_err(|e| Error::usage("the family", e.to_string(), "a smaller --width or --hyper-width"))?;
    let setup = Setup {
        keys: &job.fit.run,
        title: format!("{n_codes} pictures of {}", path.display()),
        name: run_name("family", &path),
        parameters: hyper.start(job.fit.run.common.seed, &device)?,
        rates: describe::rates(&job.fit, &hyper.field, &DEFAULTS),
        schedule: Schedule::Cosine { end: 0.01 },
        warm_up: 0.02,
        iterations: ITERATIONS,
    };
    let places = centres(frames.width, frames.height);
    let mut task = FamilyTask { frames, places, hyper, job: job.clone(), device };
    drive(setup, &mut task, document, stop, observer)
}

struct FamilyTask {
    frames: Frames,
    /// Centres of the pixels.
    places: Vec<f32>,
    hyper: Hyper,
    job: FitFamilyJob,
    device: Device,
}

impl FamilyTask {
    /// The picture of a code.
    fn picture(&self, vars: &[Var], code: &Var) -> Result<Picture> {
        let member = self.hyper.member(vars, code)?;
        let values: Vec<Tensor> = member.iter().map(|v| v.tensor().clone()).collect();
        let data = self.hyper.field.sample(&values, &self.places, &Arc::new(Derivatives::none()))?.remove(0);
        Ok(clamped(picture(self.frames.width, self.frames.height, data)))
    }

    fn code(&self, vars: &[Var], k: usize) -> Result<Var> {
        Ok(self.hyper.codes(vars).slice(0, k, k + 1)?)
    }

    /// All pictures, and the mean of their PSNRs.
    fn all(&self, values: &[Tensor]) -> Result<(Vec<Picture>, f64)> {
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let (mut pictures, mut sum) = (vec![], 0.0);
        for k in 0..self.frames.count {
            let found = self.picture(&vars, &self.code(&vars, k)?)?;
            sum += lumigrad_metrics::psnr(&found.data, &self.frames.picture(k).data)?;
            pictures.push(found);
        }
        Ok((pictures, sum / self.frames.count as f64))
    }
}

impl Task for FamilyTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (pixels, channels) = (self.frames.pixels(), self.frames.channels);
        let n = pixels.min(self.job.fit.run.batch.unwrap_or(BATCH));
        let members = self.job.members.min(self.frames.count);
        let seed = random::hash(self.job.fit.run.common.seed, step);
        let mut loss: Option<Var> = None;
        for m in 0..members as u64 {
            // All in turn, from a place of the row that changes.
            let k = ((step * members as u64 + m) % self.frames.count as u64) as usize;
            let whole = n == pixels;
            let pixel = |i: u64| match whole {
                true => i as usize,
                false => (random::hash(seed, m * n as u64 + i) % pixels as u64) as usize,
            };
            let (mut points, mut wanted) = (Vec::with_capacity(2 * n), Vec::with_capacity(channels * n));
            for p in (0..n as u64).map(pixel) {
                points.extend_from_slice(&self.places[2 * p..2 * p + 2]);
                let at = (k * pixels + p) * channels;
                wanted.extend(self.frames.data[at..at + channels].iter().map(|&b| b as f32 / 255.0));
            }
            let points = Tensor::from_slice(&self.device, &points, &[n, 2])?;
            let wanted = Tensor::from_slice(&self.device, &wanted, &[n, channels])?;
            let code = self.code(parameters, k)?;
            let member = self.hyper.member(parameters, &code)?;
            let error = self.hyper.field.value(&member, &points.into())?.sub(&wanted.into())?.square()?.mean()?;
            let own = error.add(&prior(&code, &member)?.scale(self.job.prior_weight)?)?;
            loss = Some(match loss {
                Some(sum) => sum.add(&own)?,
                None => own,
            });
        }
        Ok(loss.expect("there is a picture").scale(1.0 / members as f64)?)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.all(values)?.1))
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let (pictures, psnr) = self.all(values)?;
        output.figure("psnr", "PSNR, mean over the pictures", psnr, 2, " dB");
        output.summary.metric("n_pictures", pictures.len() as f64);
        let size = format!("{}x{}", self.frames.width, self.frames.height);
        let facts = BTreeMap::from([("kind".to_owned(), "family".to_owned()), ("size".to_owned(), size)]);
        let bytes = Model { field: self.hyper.clone(), values: values.to_vec(), facts }.to_bytes()?;
        output.summary.metric("model_bytes", bytes.len() as f64);
        output.file("field", "field.safetensors", &bytes)?;
        for (k, found) in pictures.iter().enumerate() {
            output.folder.write(&format!("pictures/{k:04}.png"), &found.encode_png()?)?;
        }
        output.summary.output("pictures", &output.folder.final_path("pictures"));
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let (mut between, mut shown) = (0, vec![]);
        for k in 0..self.frames.count.saturating_sub(1) {
            let (a, b) = (self.code(&vars, k)?, self.code(&vars, k + 1)?);
            for j in 0..=self.job.between {
                let t = j as f64 / (self.job.between + 1) as f64;
                let found = self.picture(&vars, &a.scale(1.0 - t)?.add(&b.scale(t)?)?)?;
                if shown.len() < SHOWN {
                    shown.push((format!("{:.2}", k as f64 + t), Image::new(&found, 320)?));
                }
                output.folder.write(&format!("between/{between:04}.png"), &found.encode_png()?)?;
                between += 1;
            }
        }
        if between > 0 {
            output.summary.output("between", &output.folder.final_path("between"));
            let note = "pictures of codes between the first ones".into();
            output.report.galleries.push(Gallery { name: "between".into(), note, states: shown });
        }
        let stride = pictures.len().div_ceil(SHOWN).max(1);
        for (k, found) in pictures.into_iter().enumerate().step_by(stride) {
            output.slider(
                &format!("{k}"),
                String::new(),
                vec![("picture", self.frames.picture(k)), ("field", found)],
            )?;
        }
        Ok(())
    }
}
