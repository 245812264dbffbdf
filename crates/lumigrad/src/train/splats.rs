//! The `train splats` command: from posed photographs to a run folder with Gaussians, figures and report.

use super::dataset::{self, Dataset, Shot};
use super::pulled;
use super::report::report;
use super::start::initial;
use super::state::{checkpoint, restored};
use super::views::{aligned_psnr, moved, scores, write_views};
use crate::run::job::Document;
use crate::run::job::commands::TrainSplatsJob;
use crate::run::{
    Budget, Event, Observer, Record, RunFolder, Saves, Stop, Summary, USUAL, background, fixed, peak_memory_bytes,
    technique,
};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_optim::method::{Entry, find};
use lumigrad_scene::views::Options;
use lumigrad_splat::{
    Background, Gaussians, Image, Kernel, LmTrainer, MAX_SH_DEGREE, RenderOptions, Robust, RobustTrainer, Shutter,
    Strategy, Technique, Train, TrainOptions, TrainState, Trainer, TrainingPicture,
    device::{DeviceRobustTrainer, DeviceTrainer, LeastSquares, MethodTrainer},
    formats,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How long a run is, and how many Gaussians it may make, where the job does not say.
struct Preset {
    name: &'static str,
    /// Steps without a limit of either kind.
    iterations: usize,
    /// Gaussians at most, as a multiple of those of the start, but no fewer than `least`.
    growth: usize,
    least: usize,
}

const PRESETS: [Preset; 3] = [
    Preset { name: "quick", iterations: 2000, growth: 4, least: 10_000 },
    Preset { name: "standard", iterations: 7000, growth: 10, least: 20_000 },
    Preset { name: "best", iterations: 30_000, growth: 20, least: 100_000 },
];

/// Part of a run with `adam+lm` after which Levenberg-Marquardt takes up.
const LM_FROM: f64 = 0.75;

/// Trains, and writes the run folder.
///
/// # Errors
/// Data, settings or devices that cannot be used; files that cannot be written.
pub fn splats(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let start = Instant::now();
    let job: TrainSplatsJob = document.parse()?;
    let device = Device::from_name(&job.common.device)?;
    let data = job.data.clone().ok_or_else(|| {
        Error::usage("train splats", "DATA is missing", "give a folder of posed pictures: lumigrad train splats DIR")
    })?;
    let background = background(&job.background)?;
    let mut summary = Summary::new("train splats", device.to_string(), job.common.seed);
    observer.event(&Event::Phase("loading".into()));
    let mut dataset = Dataset::load(&data, &Options { downscale: job.downscale, max_size: job.max_size, hdr: false })?;
    let most = most(&job)?;
    let gaussians = initial(&job, &dataset, most.unwrap_or(usize::MAX))?;
    let preset = PRESETS.iter().find(|p| p.name == job.preset).expect("a name of the list");
    let cap = most.unwrap_or((preset.growth * gaussians.len()).max(preset.least));
    let strategy = match job.strategy.as_str() {
        "mcmc" => Strategy::Mcmc { cap },
        "adc" => Strategy::Adc { cap, absgrad: false },
        "absgrad" => Strategy::Adc { cap, absgrad: true },
        _ => Strategy::Fixed,
    };
    // What explores must fall where no picture needs it.
    let weight = if job.strategy == "mcmc" { 0.01 } else { 0.0 };
    let technique = technique(&job.renderer);
    let options = TrainOptions {
        seed: job.common.seed,
        background,
        strategy,
        opacity_weight: weight,
        scale_weight: weight,
        refine_poses: job.refine_poses,
        pose_rate: job.pose_rate as f32,
        exposures: job.exposures,
        bilateral_grid: job.bilateral_grid,
        depth_weight: job.depth_weight as f32,
        normal_map_weight: job.normal_map_weight as f32,
        smoothing: job.smoothing,
        distortion_weight: job.distortion_weight as f32,
        normal_weight: job.normal_weight as f32,
        ..TrainOptions::of(technique)
    };
    // Training pictures are held once, but where they are what is scored.
    let keep = dataset.test.is_empty();
    let pictures: Arc<[TrainingPicture]> = dataset.train.iter_mut().map(|shot| training(shot, keep)).collect();
    if job.smoothing && job.kernel != "mip" {
        return Err(Error::usage("--smoothing", "is the 3-D filter of the mip kernel", "add --kernel mip"));
    }
    let surfels = job.kernel == "surfel";
    let cast = technique == Technique::Raycast;
    if cast && surfels {
        return Err(Error::usage(
            "--renderer",
            "surfels (2DGS) have no density to cast rays through",
            "--kernel classic or mip",
        ));
    }
    if cast && job.smoothing {
        return Err(Error::usage("--renderer", "smoothed Gaussians are splatted only", "leave --smoothing out"));
    }
    if cast && ["adc", "absgrad"].contains(&job.strategy.as_str()) {
        let message = format!("{} counts pulls at splatted means only", job.strategy);
        return Err(Error::usage("--strategy", message, "mcmc or fixed, or --renderer splat"));
    }
    if surfels && ["adc", "absgrad"].contains(&job.strategy.as_str()) {
        let message = format!("{} counts pulls at ellipsoids only", job.strategy);
        return Err(Error::usage("--strategy", message, "mcmc or fixed"));
    }
    let name = dataset::name(&data).unwrap_or_else(|| "splats".into());
    let place = job.out.clone().unwrap_or_else(|| Path::new("runs").join(&name));
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, job.checkpoint_every);
    let found = if job.resume { saves.latest(&place, &fingerprint)? } else { None };
    let mut spent = 0.0;
    let term = pulled::term(&job.prior, &dataset, &gaussians, (fixed(background), job.common.seed), &device)?;
    let start_state = match &found {
        Some(c) => {
            spent = c.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
            restored(c, &gaussians)?
        }
        None => TrainState::new(gaussians),
    };
    let cameras = job.refine_poses || job.exposures || job.bilateral_grid;
    let depths = job.depth_weight > 0.0 && pictures.iter().any(|p| !p.depth.is_empty());
    let normals = job.normal_map_weight > 0.0 && pictures.iter().any(|p| !p.normals.is_empty());
    let rolling = pictures.iter().any(|p| p.view.shutter != Shutter::Global);
    // What the host trains by itself; the tape trains the rest.
    let by_host = device.is_cpu() && term.is_none() && !cameras && !depths && !normals && !rolling && !surfels;
    // Least squares take up where Adam ends; a checkpoint tells where that was.
    let squares = |state: TrainState| -> Result<Box<dyn Train>> {
        let damping = state.damping;
        if by_host && !cast {
            let trainer = Trainer::resume(state, pictures.clone(), options.clone()).map_err(unusable)?;
            return Ok(Box::new(LmTrainer::new(trainer, damping).map_err(unusable)?));
        }
        let trainer = DeviceTrainer::new(state, &pictures, options.clone(), &device).map_err(unusable)?;
        Ok(Box::new(LeastSquares::new(trainer, damping).map_err(unusable)?))
    };
    let squared = start_state.damping.is_some();
    let robust = match job.robust.as_str() {
        "dual" => Some(Robust::Dual),
        "ema" => Some(Robust::Ema),
        _ => None,
    };
    let iterations = if job.seconds.is_some() { job.iterations } else { job.iterations.or(Some(preset.iterations)) };
    if term.is_some() && (job.optimizer != "adam" || job.robust != "none" || cast) {
        let help = "--optimizer adam, without --robust, --renderer splat";
        return Err(Error::usage("--prior", "pulls in Adam's steps of one model that is splatted", help));
    }
    let by_adam = ["adam", "adam+lm", "lm"].contains(&job.optimizer.as_str());
    if normals && cast {
        let help = "--normal-map-weight 0 leaves them out, --renderer splat takes them";
        return Err(Error::usage("--renderer", "rays find no normals for the data set's normal maps", help));
    }
    if rolling && cast {
        let message = "the data set's cameras have rolling shutters (transform_matrix_end), which rays do not follow";
        return Err(Error::usage("--renderer", message, "--renderer splat"));
    }
    if rolling && robust.is_some() && device.is_cpu() && !surfels {
        let message = "two models do not follow the data set's rolling shutters on the CPU";
        return Err(Error::usage("--robust", message, "none, or a GPU"));
    }
    for (guided, what, flag) in [(depths, "depth", "--depth-weight"), (normals, "normal", "--normal-map-weight")] {
        if guided && robust.is_some() && device.is_cpu() && !surfels {
            let message = format!("does not look at the data set's {what} maps on the CPU");
            let help = format!("{flag} 0 leaves them out; a GPU takes both");
            return Err(Error::usage("--robust", message, help));
        }
    }
    if cameras && !(by_adam && robust.is_none()) {
        let flags = [(job.refine_poses, "--refine-poses"), (job.exposures, "--exposures")];
        let flag = flags.iter().find(|f| f.0).map_or("--bilateral-grid", |f| f.1);
        return Err(Error::usage(flag, "is learnt by Adam's steps of one model", "--optimizer adam, without --robust"));
    }
    let mut trainer: Box<dyn Train> = match (start_state.damping, device.is_cpu()) {
        (Some(_), _) => squares(start_state)?,
        _ if !by_adam => {
            let entry = method(&job)?;
            let remembered = start_state.method.clone();
            let trainer = DeviceTrainer::new(start_state, &pictures, options.clone(), &device).map_err(unusable)?;
            let steps = iterations.unwrap_or(preset.iterations);
            Box::new(MethodTrainer::new(trainer, entry, steps, remembered).map_err(unusable)?)
        }
        (None, true)
            if let Some(mode) = robust
                && !surfels =>
        {
            Box::new(RobustTrainer::new(mode, start_state, pictures.clone(), options.clone()).map_err(unusable)?)
        }
        (None, _) if let Some(mode) = robust => Box::new(
            DeviceRobustTrainer::new(mode, start_state, &pictures, options.clone(), &device).map_err(unusable)?,
        ),
        (None, _) if by_host => {
            Box::new(Trainer::resume(start_state, pictures.clone(), options.clone()).map_err(unusable)?)
        }
        _ => {
            let trainer = DeviceTrainer::new(start_state, &pictures, options.clone(), &device).map_err(unusable)?;
            Box::new(match term {
                Some(term) => trainer.with_term(term),
                None => trainer,
            })
        }
    };
    let first = found.as_ref().map_or(0, |c| c.step as usize);
    let folder = RunFolder::create(&place)?;
    let budget = Budget { iterations, seconds: job.seconds, stop_loss: job.stop_loss };
    observer.event(&Event::Started {
        what: format!("{} ({} pictures)", data.display(), dataset.train.len()),
        device: device.to_string(),
        iterations,
        seconds: job.seconds,
    });
    let lm_from = match job.optimizer.as_str() {
        "adam+lm" => LM_FROM,
        "lm" => 0.0,
        _ => 1.0,
    };
    let mut run = Run {
        dataset: &dataset,
        background,
        technique,
        history: vec![],
        times: vec![],
        first,
        spent,
        lm_from,
        squared,
        squares: &squares,
    };
    let interrupted = run.train(&mut trainer, &budget, job.eval_every, stop, &mut |trainer, record, spent| {
        if let Err(e) = saves.save_when_due(|| checkpoint(trainer, &fingerprint, job.common.seed, spent)) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
        observer.event(&Event::Step { iteration: record.iteration, seconds: record.seconds, loss: record.loss });
        if let Some(psnr) = record.test_psnr {
            observer.event(&Event::Eval { iteration: record.iteration, psnr });
        }
    })?;
    observer.event(&Event::Phase("writing".into()));
    let state = trainer.state().map_err(unusable)?;
    let gaussians = trainer.gaussians().map_err(unusable)?;
    let rendered = run.pictures(&gaussians, dataset.scored())?;
    let (psnr, ssim) = scores(&rendered, dataset.scored(), background)?;
    summary.metric("test_psnr", psnr);
    summary.metric("test_ssim", ssim);
    if job.exposures || job.bilateral_grid {
        summary.metric("test_psnr_aligned", aligned_psnr(&rendered, dataset.scored(), background)?);
    }
    let loss = run.history.last().map_or(0.0, |r| r.loss);
    summary.metric("loss", loss);
    summary.metric("n_splats", gaussians.len() as f64);
    let mut times = run.times.clone();
    times.sort_by(f64::total_cmp);
    summary.metric("ms_per_iteration", times.get(times.len() / 2).copied().unwrap_or(0.0));
    summary.iterations = state.step;
    summary.history = run.history.clone();
    let file = formats::write(Path::new("splats.ply"), &gaussians).map_err(|e| Error::job(e.message))?;
    summary.metric("model_bytes", file.len() as f64);
    folder.write("splats.ply", &file)?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    checkpoint(&*trainer, &fingerprint, job.common.seed, run.spent)?.save(&folder.path("checkpoint.safetensors"))?;
    if let Some(poses) = trainer.poses() {
        summary.metric("poses_moved_degrees", moved(&mut dataset.train, &poses));
    }
    write_views(&folder.path("views"), &dataset, &rendered, background)?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let page = report(&name, &dataset, &rendered, fixed(background), &summary, document)?;
    let files = [&[("splats", "splats.ply")], &USUAL[..], &[("views", "views")]].concat();
    folder.close(&files, &page, &mut summary, &saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted });
    Ok(summary)
}

/// A training while it goes on.
struct Run<'a> {
    dataset: &'a Dataset,
    background: Background,
    technique: Technique,
    history: Vec<Record>,
    /// Milliseconds of each step.
    times: Vec<f64>,
    /// Steps, and seconds of all steps, before a resumption.
    first: usize,
    spent: f64,
    /// Part of the run after which least squares take up, and how.
    lm_from: f64,
    /// Whether they have.
    squared: bool,
    squares: &'a dyn Fn(TrainState) -> Result<Box<dyn Train>>,
}

impl Run<'_> {
    /// Steps until the budget is spent; true where it was interrupted.
    fn train(
        &mut self,
        trainer: &mut Box<dyn Train>,
        budget: &Budget,
        eval_every: Option<usize>,
        stop: &Stop,
        each: &mut dyn FnMut(&dyn Train, &Record, f64),
    ) -> Result<bool> {
        let planned = budget.iterations.unwrap_or(usize::MAX);
        let often = eval_every.unwrap_or(if planned == usize::MAX { 2000 } else { (planned / 10).max(1) });
        let window = self.dataset.train.len();
        let mut recent = std::collections::VecDeque::with_capacity(window);
        let mut step = self.first;
        while !budget.is_spent(step, self.spent) {
            if stop.is_requested() {
                return Ok(true);
            }
            let start = Instant::now();
            let progress = budget.progress(step, self.spent);
            if progress >= self.lm_from && !self.squared {
                *trainer = (self.squares)(trainer.state().map_err(unusable)?)?;
                self.squared = true;
            }
            // Schedules of Adam end where least squares begin.
            let part = if self.lm_from > 0.0 { (progress / self.lm_from).min(1.0) } else { 1.0 };
            let loss = trainer.step(part).map_err(unusable)?.loss as f64;
            let took = start.elapsed().as_secs_f64();
            self.times.push(took * 1e3);
            self.spent += took;
            step += 1;
            if recent.len() == window {
                recent.pop_front();
            }
            recent.push_back(loss);
            let mean = recent.iter().sum::<f64>() / recent.len() as f64;
            let mut record = Record { iteration: step, seconds: self.spent, loss: mean, test_psnr: None };
            if step.is_multiple_of(often) {
                let rendered = self.pictures(&trainer.gaussians().map_err(unusable)?, self.dataset.scored())?;
                record.test_psnr = Some(scores(&rendered, self.dataset.scored(), self.background)?.0);
            }
            if record.test_psnr.is_some() || self.squared || step.is_multiple_of((often / 20).max(1)) {
                self.history.push(record.clone());
            }
            each(&**trainer, &record, self.spent);
            if recent.len() == window && budget.is_reached(mean) {
                break;
            }
        }
        Ok(false)
    }

    /// The pictures of some views.
    fn pictures(&self, gaussians: &Gaussians, shots: &[Shot]) -> Result<Vec<Image>> {
        let technique = self.technique;
        let options = RenderOptions { technique, background: fixed(self.background), ..RenderOptions::default() };
        let views: Vec<_> = shots.iter().map(Shot::camera).collect();
        lumigrad_splat::render_views(gaussians, &views, &options).map_err(unusable)
    }
}

/// An optimiser that follows gradients.
fn method(job: &TrainSplatsJob) -> Result<&'static Entry> {
    if job.robust != "none" {
        return Err(Error::usage("--optimizer", format!("{} does not train two models", job.optimizer), "adam"));
    }
    if ["adc", "absgrad"].contains(&job.strategy.as_str()) {
        return Err(Error::usage(
            "--strategy",
            format!("{} counts in Adam's steps only", job.strategy),
            "mcmc or fixed",
        ));
    }
    if job.optimizer == "lm-gns" {
        return Err(Error::usage("--optimizer", "lm-gns takes all residuals at once, splats come in subsets", "lm"));
    }
    Ok(find(&job.optimizer)?)
}

pub fn unusable(e: lumigrad_splat::Error) -> Error {
    Error::job(e.to_string())
}

/// A photograph to train on; its pixels move there unless they are to be kept.
pub fn training(shot: &mut Shot, keep: bool) -> TrainingPicture {
    fn take<T: Clone>(from: &mut Vec<T>, keep: bool) -> Vec<T> {
        if keep { from.clone() } else { std::mem::take(from) }
    }
    TrainingPicture {
        view: shot.camera(),
        colour: take(&mut shot.colour, keep),
        alpha: take(&mut shot.alpha, keep),
        mask: take(&mut shot.mask, keep),
        depth: take(&mut shot.depth, keep),
        normals: take(&mut shot.normals, keep),
    }
}

/// Most Gaussians that the job allows: so many, or so many bytes of splats.ply.
fn most(job: &TrainSplatsJob) -> Result<Option<usize>> {
    let Some(bytes) = job.max_bytes else { return Ok(job.max_splats) };
    let size = |n: usize| {
        let points = vec![[0.0; 3]; n];
        let gaussians = Gaussians::from_points(&points, &points, job.sh_degree.min(MAX_SH_DEGREE), Kernel::Classic);
        formats::write(Path::new("splats.ply"), &gaussians).map(|file| file.len()).map_err(|e| Error::job(e.message))
    };
    // The header grows with the digits of the number.
    let (header, row) = (size(1)? + 16, size(3)? - size(2)?);
    match bytes.checked_sub(header).map(|rest| 1 + rest / row) {
        Some(n) => Ok(Some(job.max_splats.map_or(n, |most| most.min(n)))),
        None => {
            let message = format!("{bytes} bytes hold not even one Gaussian");
            Err(Error::usage("--max-bytes", message, "allow a larger file"))
        }
    }
}
