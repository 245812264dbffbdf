//! `prior train`: a prior over the patches of a folder's pictures.

use super::folder::{CHANNELS, Folder, Part};
use super::score::Trial;
use crate::fit::drive::{Output, Setup, Task, drive, run_name};
use crate::fit::{Fit, RunKeys, given};
use crate::run::job::Document;
use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Parameter, Rates};
use lumigrad_guidance::unet::{PointConfig, UNetConfig};
use lumigrad_guidance::{CosineMixture, InfinitePrior, Objective, Trainable, TrainedPrior, combine};
use lumigrad_optim::Schedule;
use std::path::PathBuf;

job_keys! {
    /// Train a prior over the pictures of a folder, cut into patches; subfolders are labels.
    PriorTrainJob {
        include run: RunKeys;
        /// The folder: PNG, JPEG, WebP, EXR or HDR files, or subfolders of them. Every fourth by name is held out, beginning
        /// with the first.
        folder: Option<PathBuf>, Path, example "\"photographs\"";
        /// How it is trained: iadb on straight paths from noise to pictures, ncsn on scores at geometric levels of noise, infinite
        /// on functions that are known at some points, so that pictures of other sizes can be drawn too.
        kind: String, Choice(&["iadb", "ncsn", "infinite"]), default "\"iadb\"";
        /// Pixels of a patch along a side.
        patch: usize, Count(2), default "16";
        /// Gaussians of the mixture that the network starts from: kinds of patches by their colour and by how strong waves are.
        /// One for --kind infinite.
        components: usize, Count(1), default "48";
        /// Channels of the network's finest level; each coarser one has half as many again.
        width: usize, Count(4), default "64";
        /// Levels of the network, each of half the resolution. Without it so many that the coarsest has at least 4 pixels along a
        /// side, at most three.
        levels: Option<usize>, Count(1), example "2";
        /// Residual blocks of a level, on the way down and on the way up.
        blocks: usize, Count(1), default "1";
        /// Leave self-attention at the coarsest level out.
        no_attention: bool, Flag, default "false";
        /// Learning rate at its highest.
        lr: f64, Amount, default "2e-3";
        /// Patches of the pictures that are held out on which the prior is judged.
        test_patches: usize, Count(1), default "4096";
        /// Pictures drawn from the prior and from the Gaussian to compare their distances to the trained ones. 0: none.
        drawn: usize, Count(0), default "1024";
        /// Steps by which pictures are drawn for that, by Heun's method.
        steps: usize, Count(2), default "32";
    }
}

pub const FIT: Fit = Fit {
    name: "prior train",
    about: PriorTrainJob::ABOUT[0],
    positional: &["folder"],
    keys: PriorTrainJob::keys,
    run,
};

/// Patches of a step.
const BATCH: usize = 64;
/// Steps without a limit.
const STEPS: usize = 1500;
/// Patches that Gaussians are estimated from and neighbours looked for in, and numbers that these have at most.
const ESTIMATED: (usize, usize) = (16_384, 1 << 24);
/// Least share of the newest parameters in the average that becomes the prior.
const SHARE: f64 = 0.005;
/// Patches that the prior is judged on during the run.
const GLANCE: usize = 512;

pub struct PriorTask {
    pub job: PriorTrainJob,
    pub folder: Folder,
    pub prior: Box<dyn Trainable>,
    pub device: Device,
    /// The mean of the parameters over the last steps.
    average: Vec<Tensor>,
    step: u64,
    glance: Trial,
    /// Held-out loss during the run, by step.
    pub seen: Vec<(f64, f64)>,
}

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: PriorTrainJob = document.parse()?;
    let device = Device::from_name(&job.run.common.device)?;
    let path = given(&job.folder, &FIT, "FOLDER", "give a folder: lumigrad prior train photographs")?;
    let infinite = job.kind == "infinite";
    if infinite && !job.patch.is_multiple_of(4) {
        let message = format!("{} pixels have no coarse grid of half as many, and half of that", job.patch);
        return Err(Error::usage("--patch", message, "a multiple of 4 for --kind infinite"));
    }
    let network = network(&job, if infinite { job.patch / 2 } else { job.patch }, infinite)?;
    let folder = Folder::load(&path, job.patch)?;
    let seed = job.run.common.seed;
    let estimated = folder.draw(Part::Trained, many(job.patch), !seed, &Device::cpu())?;
    let gaussian = CosineMixture::estimate(&estimated.pictures, if infinite { 1 } else { job.components })?;
    drop(estimated);
    let objective = if job.kind == "ncsn" { Objective::NCSN } else { Objective::Iadb };
    let name = format!("the prior of {}", path.display());
    let (labels, start) = (folder.labels.clone(), (seed, &device));
    let prior: Box<dyn Trainable> = if infinite {
        let (size, width, blocks) = (job.patch, job.width, job.blocks);
        let network = PointConfig { size, width, blocks, coarse: size / 2, inner: network };
        Box::new(InfinitePrior::new(&name, network, gaussian, labels, start)?)
    } else {
        Box::new(TrainedPrior::new(&name, network, gaussian, labels, objective, start)?)
    };
    let parameters = (prior.shapes().into_iter().zip(prior.values()))
        .map(|((name, _), value)| Parameter { name, value: value.clone(), rate: 1.0, sparse: false })
        .collect();
    let counts = (folder.len(Part::Trained), folder.len(Part::HeldOut));
    let setup = Setup {
        keys: &job.run.clone(),
        title: format!("{} ({} pictures, {} held out)", path.display(), counts.0, counts.1),
        name: run_name("prior", &path),
        parameters,
        rates: Rates { rate: job.lr, table_rate: 0.0, clip: Some(1.0) },
        schedule: Schedule::Cosine { end: 0.01 },
        warm_up: 0.02,
        iterations: STEPS,
    };
    folder.warnings.iter().for_each(|w| observer.event(&crate::run::Event::Warning(w.clone())));
    let glance = Trial::new(&folder, Part::HeldOut, GLANCE, seed, &device)?;
    let average = prior.values().to_vec();
    let mut task = PriorTask { job, folder, prior, device, average, step: 0, glance, seen: vec![] };
    let mut summary = drive(setup, &mut task, document, stop, observer)?;
    summary.warnings.splice(0..0, task.folder.warnings);
    Ok(summary)
}

/// So many patches as Gaussians are estimated from.
pub fn many(patch: usize) -> usize {
    ESTIMATED.0.min(ESTIMATED.1 / (patch * patch * CHANNELS)).max(64)
}

/// The network that a job describes, for pictures of `side` pixels; `whole` where it sees each of them.
fn network(job: &PriorTrainJob, side: usize, whole: bool) -> Result<UNetConfig> {
    let fold = if side.is_multiple_of(2) && !whole { 2 } else { 1 };
    let most = (side / fold).trailing_zeros() as usize + 1;
    let usual = (side / fold / 4).checked_ilog2().map_or(1, |l| l as usize + 1).min(3);
    let levels = job.levels.unwrap_or(usual.min(most));
    if levels > most {
        let message = format!("{levels} levels halve {side} pixels too often");
        return Err(Error::usage("--levels", message, format!("at most {most}, or another --patch")));
    }
    let mut widths = vec![job.width];
    (1..levels).for_each(|l| widths.push(widths[l - 1] * 3 / 2 / 4 * 4));
    let config = UNetConfig {
        inputs: 2 * CHANNELS,
        outputs: CHANNELS,
        fold,
        widths,
        blocks: job.blocks,
        embedding: 64,
        attention: !job.no_attention,
        labels: 0,
    };
    config
        .check()
        .map_err(|e| Error::usage("--width, --levels, --blocks", e.to_string(), "make the network smaller"))?;
    Ok(config)
}

impl PriorTask {
    /// The average with the newest parameters in it.
    fn averaged(&self, values: &[Tensor]) -> Result<Vec<Tensor>> {
        let share = SHARE.max(9.0 / (10.0 + self.step as f64));
        let blend = |(old, new): (&Tensor, &Tensor)| -> Result<Tensor> {
            let (old, new) = (Var::from(old.clone()), Var::from(new.clone()));
            Ok(combine(&[(&old, &[1.0 - share]), (&new, &[share])])?.tensor().clone())
        };
        self.average.iter().zip(values).map(blend).collect()
    }
}

impl Task for PriorTask {
    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        self.step = step;
        let values: Vec<Tensor> = parameters.iter().map(|v| v.tensor().clone()).collect();
        self.average = self.averaged(&values)?;
        let seed = random::hash(self.job.run.common.seed, step);
        let n = self.job.run.batch.unwrap_or(BATCH);
        let patches = self.folder.draw(Part::Trained, n, seed, &self.device)?;
        // Levels and noise have streams of their own.
        let key = random::hash(!self.job.run.common.seed, step);
        Ok(self.prior.loss(parameters, &patches.pictures, &patches.conditions, key)?)
    }

    fn psnr(&mut self, _values: &[Tensor]) -> Result<Option<f64>> {
        // What denoises has no PSNR of its own; the page shows how the loss on held-out pictures falls.
        self.prior.set_values(self.average.clone())?;
        self.seen.push((self.step as f64 + 1.0, self.glance.score(&*self.prior)?.loss));
        Ok(None)
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let flat = self.average.iter().flat_map(|t| t.to_vec::<f32>().unwrap_or_default()).collect();
        vec![("average", flat)]
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        let Some(flat) = find("average") else { return Ok(None) };
        let mut rest = flat.as_slice();
        for value in &mut self.average {
            let wrong =
                || Error::file("--resume", "the checkpoint's average has another size", "start anew without it");
            let (own, others) = rest.split_at_checked(value.len()).ok_or_else(wrong)?;
            *value = Tensor::from_slice(&self.device, own, value.shape())?;
            rest = others;
        }
        Ok(None)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        self.prior.set_values(self.averaged(values)?)?;
        self.prior.facts_mut().insert("pictures".into(), self.folder.len(Part::Trained).to_string());
        self.prior.facts_mut().insert("steps".into(), output.summary.iterations.to_string());
        let multiplications = self.prior.multiplications(self.job.patch);
        output.summary.metric("megaflops_per_patch", 2e-6 * multiplications as f64);
        debug_assert_eq!(self.prior.info().channels, CHANNELS);
        self.write(output)
    }
}
