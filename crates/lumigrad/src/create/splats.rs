//! The `create splats` command: Gaussians pulled from noise towards a prior's subject.

use super::cameras::ring;
use super::judge::Judge;
use super::keys::CreateSplatsJob;
use super::model::Model;
use super::report::{Told, report, write_views};
use crate::run::job::Document;
use crate::run::{Array, Checkpoint};
use crate::run::{
    Budget, Event, Observer, Record, RunFolder, Saves, Stop, Summary, USUAL, peak_memory_bytes, require_memory,
};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::distill::Weighting;
use lumigrad_guidance::distill::{Brightness, Consistency, Distiller, Divergence, Method, Options, Times, Verdict};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::sample::{Method as Sampler, ratio_levels, sample};
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, View as Direction, noise};
use lumigrad_splat::formats;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Renders around the object that are judged.
const JUDGED: usize = 32;
/// Views and moments that the report shows.
const SHOWN: usize = 6;
const MOMENTS: [f64; 5] = [0.0, 0.05, 0.2, 0.5, 1.0];
/// Steps between states that a run can go back to, and how often it may.
const KEPT_EVERY: usize = 25;
const RETURNS: usize = 3;
/// Bytes that a step takes for a Gaussian and for a pixel of a view, roughly.
const SPLAT_BYTES: u64 = 300;
const PIXEL_BYTES: u64 = 400;
/// Default elevations, degrees.
const ELEVATION: [f64; 2] = [15.0, 25.0];

/// Checks everything that can be before anything is computed.
struct Plan {
    prior: Arc<dyn DiffusionPrior>,
    condition: Condition,
    side: usize,
    options: Options,
    judge: Option<(Judge, usize)>,
    /// Radians.
    elevation: [f64; 2],
}

impl Plan {
    fn new(job: &CreateSplatsJob) -> Result<Self> {
        let path = job.prior.clone().ok_or_else(|| {
            let help = "give a file or folder: --prior assets/guidance/shapes.safetensors";
            Error::usage("create splats", "the prior is missing", help)
        })?;
        let prior: Arc<dyn DiffusionPrior> = lumigrad_guidance::open(&path)?.into();
        let info = prior.info();
        // Latents have other sizes than pictures, which a latent prior tells by itself.
        let side = match info.size {
            _ if info.can(Capability::Encode) => 256,
            Some([h, w]) if h == w && info.channels == 3 => h,
            None if info.channels == 3 => 64usize.next_multiple_of(info.multiple.max(1)),
            _ => {
                let found = format!("pictures of size {:?} with {} channels", info.size, info.channels);
                return Err(Error::file(path.display(), found, "create needs square pictures with 3 channels"));
            }
        };
        let condition = info.condition(&job.subject)?;
        let negative = match job.negative.as_str() {
            "" => None,
            words => Some(info.condition(words)?),
        };
        let guidance = Guidance { scale: job.scale, tangential: job.tangential, negative, ..Default::default() };
        let times = job.times.unwrap_or([0.05, 0.7]);
        let method = match job.distillation.as_str() {
            "vsd" => Method::Vsd,
            "dsd" => Method::Dsd { condition: job.scale, variation: 1.0 },
            "gcs" => Method::Consistency(Consistency {
                scale: job.scale,
                times,
                pixels: if info.can(Capability::Encode) { 0.0 } else { Consistency::default().pixels },
                ..Default::default()
            }),
            _ => Method::Sds,
        };
        let divergence = Divergence::from_name(&job.divergence).filter(|d| *d != Divergence::ReverseKl);
        if divergence.is_some() && !matches!(method, Method::Vsd | Method::Dsd { .. }) {
            let message = format!("{} weights the difference to a student", job.divergence);
            return Err(Error::usage("--divergence", message, "--distillation vsd or dsd"));
        }
        let options = Options {
            method,
            weighting: Weighting::from_name(&job.weighting).unwrap_or_default(),
            times: Times { least: times[0], most: times[1], most_at_end: job.time_at_end.max(times[0]).min(times[1]) },
            guidance,
            divergence,
            clip_norm: job.clip.unwrap_or(f64::INFINITY),
            ..Default::default()
        };
        let judge = match &job.judge {
            None => None,
            Some(path) => {
                let judge = Judge::load(path)?;
                if side < judge.side {
                    let message = format!("it sees {0}x{0} pixels, the prior's pictures have {side}", judge.side);
                    return Err(Error::file(path.display(), message, "take another judge or prior"));
                }
                let class = judge.labels.iter().position(|l| *l == job.subject).ok_or_else(|| {
                    let known = judge.labels.join(", ");
                    Error::usage("--judge", format!("it knows no {:?}; it knows {known}", job.subject), "leave it out")
                })?;
                Some((judge, class))
            }
        };
        let elevation = job.elevation.unwrap_or(ELEVATION);
        if !(elevation[0] <= elevation[1] && elevation.iter().all(|e| e.abs() < 90.0)) {
            return Err(Error::usage("--elevation", format!("{elevation:?} is no range within -90 to 90"), "15,25"));
        }
        Ok(Self { prior, condition, side, options, judge, elevation: elevation.map(f64::to_radians) })
    }

    /// Directions of a step, spread around the object from a random first one.
    fn directions(&self, seed: u64, step: u64, n: usize) -> Vec<Direction> {
        let key = random::hash(random::hash(seed, 22), step);
        let around = ring(n, 0.0, random::uniform(key, 0));
        let [lo, hi] = self.elevation;
        let height = |k: u64| lo + (hi - lo) * random::uniform(key, k + 1);
        around.into_iter().zip(0..).map(|(d, k)| Direction { elevation: height(k), ..d }).collect()
    }

    fn conditions(&self, directions: &[Direction]) -> Vec<Condition> {
        let views = self.prior.info().can(Capability::Views);
        let seen = |d: &Direction| if views { self.condition.seen_from(*d) } else { self.condition.told_from(*d) };
        directions.iter().map(seen).collect()
    }

    /// Part of the judged renders that show the subject.
    fn recognised(&self, model: &Model) -> Result<Option<f64>> {
        let Some((judge, class)) = &self.judge else { return Ok(None) };
        let middle = 0.5 * (self.elevation[0] + self.elevation[1]);
        let mut right = 0;
        for picture in shown(&model.renders(&ring(JUDGED, middle, 0.5), self.side)?)? {
            right += (judge.class(&picture, self.side, self.side)? == *class) as usize;
        }
        Ok(Some(right as f64 / JUDGED as f64))
    }

    /// Pictures that the prior makes by itself of the same subject, from some directions.
    fn samples(&self, directions: &[Direction], seed: u64, device: &Device) -> Result<Vec<Vec<f32>>> {
        let info = self.prior.info();
        if info.can(Capability::Encode) && !info.can(Capability::Decode) {
            return Ok(vec![]);
        }
        let [h, w] = info.size.unwrap_or([self.side; 2]);
        let shape = [directions.len(), h, w, info.channels];
        let start = noise(device, lumigrad_core::DType::F32, &shape, random::hash(seed, 23), 0)?;
        let conditions = self.conditions(directions);
        let levels = ratio_levels(80.0, 0.02, 7.0, 30)?;
        let mut ask = |x: &Tensor, l, k: usize| {
            let guided = self.options.guidance.predict(&*self.prior, x, &[l], &conditions, k as f64 / 30.0)?;
            Ok(guided.guided)
        };
        let x = sample(Sampler::DpmSolverPlusPlus, &levels, &start, seed, &mut ask, &mut |_, _, _| Ok(()))?;
        let x = if info.can(Capability::Decode) { self.prior.decode(&x)? } else { x };
        let [lo, hi] = info.range;
        let x = lumigrad_core::Var::from(x).offset(-lo)?.scale(1.0 / (hi - lo))?;
        shown(x.tensor())
    }
}

/// Pictures of a batch as they are shown, in [0, 1].
fn shown(batch: &Tensor) -> Result<Vec<Vec<f32>>> {
    let values: Vec<f32> = batch.to_vec::<f32>()?.into_iter().map(|x| x.clamp(0.0, 1.0)).collect();
    let n = batch.shape().first().copied().unwrap_or(0);
    Ok(values.chunks((values.len() / n.max(1)).max(1)).map(<[f32]>::to_vec).collect())
}

/// Creates, and writes the run folder.
///
/// # Errors
/// Priors, subjects or settings that cannot be used; guidance that diverges again and again; files that cannot be written.
pub fn splats(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let start = Instant::now();
    let job: CreateSplatsJob = document.parse()?;
    let device = Device::from_name(&job.common.device)?;
    let seed = job.common.seed;
    let mut summary = Summary::new("create splats", device.to_string(), seed);
    observer.event(&Event::Phase("loading".into()));
    let plan = Plan::new(&job)?;
    let (each, views, pixels) = (SPLAT_BYTES, job.batch as u64, (plan.side * plan.side) as u64);
    let needed = (job.splats as u64).saturating_mul(each.saturating_mul(views.saturating_add(2)));
    let needed = needed.saturating_add(views.saturating_mul(pixels.saturating_mul(PIXEL_BYTES)));
    require_memory(needed, "--splats", "fewer Gaussians (--splats) or views per step (--batch)")?;
    let mut distiller = Distiller::new(plan.prior.clone(), plan.options.clone(), seed)?;
    let mut model = Model::new(job.splats, seed, job.rate, &device)?;
    let name = if job.subject.is_empty() { "create".into() } else { format!("create-{}", job.subject) };
    let place = job.out.clone().unwrap_or_else(|| Path::new("runs").join(name.replace(['/', '\\', ' '], "_")));
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, job.checkpoint_every);
    let without = plan.recognised(&model)?;
    let middle = 0.5 * (plan.elevation[0] + plan.elevation[1]);
    let around = ring(SHOWN, middle, 0.0);
    let mut told = Told { side: plan.side, directions: around.clone(), ..Default::default() };
    let (mut first, mut spent) = (0, 0.0);
    if let Some(found) = if job.resume { saves.latest(&place, &fingerprint)? } else { None } {
        model.restore(&found)?;
        first = found.step as usize;
        spent = found.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
        restore_student(&mut distiller, &found, &device)?;
    }
    let folder = RunFolder::create(&place)?;
    let budget = Budget { iterations: Some(job.iterations), seconds: job.seconds, stop_loss: None };
    observer.event(&Event::Started {
        what: format!("{:?} by {}", job.subject, plan.prior.info().name),
        device: device.to_string(),
        iterations: Some(job.iterations),
        seconds: job.seconds,
    });
    let brightness = Brightness::default();
    let (mut step, mut slower, mut returns) = (first, 1.0, 0);
    let (mut good, mut interrupted) = (model.snapshot(), false);
    let mut times = [0.0f64; 2]; // seconds in the prior, and in all
    while !budget.is_spent(step, spent) {
        if stop.is_requested() {
            interrupted = true;
            break;
        }
        let progress = budget.progress(step, spent);
        if told.due(progress, &MOMENTS) {
            told.moments.push((step, shown(&model.renders(&around, plan.side)?)?));
        }
        let begun = Instant::now();
        let directions = plan.directions(seed, step as u64, job.batch);
        let conditions = plan.conditions(&directions);
        let views: Vec<u64> = (0..directions.len() as u64).collect();
        let recorded = model.record(&directions, plan.side)?;
        let asked = Instant::now();
        let guided = distiller.guide(recorded.renders.tensor(), &conditions, &views, step as u64, progress)?;
        times[0] += asked.elapsed().as_secs_f64();
        match guided.verdict {
            Verdict::RollBack if returns == RETURNS => {
                let counted = distiller.watch();
                return Err(Error::job(format!(
                    "guidance diverged {RETURNS} times although steps became shorter: {} pulls were not finite, {} exploded; \
                     lower --rate or --scale, or set --clip",
                    counted.not_finite, counted.exploded
                )));
            }
            Verdict::RollBack => {
                returns += 1;
                slower *= 0.5;
                model.go_back(good.clone());
                distiller.forget();
                let message = format!("guidance diverged at step {step}: back to the last good state, rates halved");
                observer.event(&Event::Warning(message.clone()));
                summary.warnings.push(message);
            }
            verdict => {
                if equalises(&job) {
                    let factor = brightness.factor(recorded.renders.tensor(), progress)?;
                    if factor != 1.0 {
                        model.damp(factor)?;
                    }
                }
                let factor = slower * 0.1f64.powf(progress);
                model.step(recorded, guided.cotangent, job.opacity_weight / job.splats as f64, factor)?;
                if verdict == Verdict::Fine && step.is_multiple_of(KEPT_EVERY) {
                    good = model.snapshot();
                }
            }
        }
        let took = begun.elapsed().as_secs_f64();
        (times[1], spent, step) = (times[1] + took, spent + took, step + 1);
        let norm = guided.norms.iter().sum::<f64>() / guided.norms.len().max(1) as f64;
        told.norms.push((step as f64, norm));
        if let Some(loss) = guided.student_loss {
            told.student.push((step as f64, loss));
        }
        let record = Record { iteration: step, seconds: spent, loss: norm, test_psnr: None };
        if step.is_multiple_of((job.iterations / 200).max(1)) {
            summary.history.push(record);
        }
        observer.event(&Event::Step { iteration: step, seconds: spent, loss: norm });
        if let Err(e) = saves.save_when_due(|| checkpoint(&model, &distiller, &fingerprint, seed, step, spent)) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
    }
    observer.event(&Event::Phase("writing".into()));
    let last = shown(&model.renders(&around, plan.side)?)?;
    told.moments.push((step, last));
    told.samples = plan.samples(&around, seed, &device)?;
    if let Some(recognised) = plan.recognised(&model)? {
        summary.metric("recognised", recognised);
        summary.metric("recognised_without", without.unwrap_or(0.0));
    }
    let tail = &told.norms[told.norms.len() - told.norms.len().min(50)..];
    summary.metric("guidance_norm", tail.iter().map(|n| n.1).sum::<f64>() / tail.len().max(1) as f64);
    summary.metric("not_finite", distiller.watch().not_finite as f64);
    summary.metric("exploded", distiller.watch().exploded as f64);
    summary.metric("returns", returns as f64);
    let steps = (step - first).max(1) as f64;
    summary.metric("ms_per_iteration", 1e3 * times[1] / steps);
    summary.metric("ms_in_guidance", 1e3 * times[0] / steps);
    let gaussians = model.gaussians()?;
    summary.metric("n_splats", gaussians.len() as f64);
    summary.iterations = step;
    let file = formats::write(Path::new("splats.ply"), &gaussians).map_err(|e| Error::job(e.message))?;
    folder.write("splats.ply", &file)?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    checkpoint(&model, &distiller, &fingerprint, seed, step, spent)?.save(&folder.path("checkpoint.safetensors"))?;
    let all = ring(JUDGED, middle, 0.5);
    write_views(&folder.path("views"), &all, &shown(&model.renders(&all, plan.side)?)?, plan.side)?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let page = report(&job.subject, plan.prior.info(), &told, &summary, document)?;
    let files = [&[("splats", "splats.ply")], &USUAL[..], &[("views", "views")]].concat();
    folder.close(&files, &page, &mut summary, &saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted });
    Ok(summary)
}

fn equalises(job: &CreateSplatsJob) -> bool {
    job.equalise || job.distillation == "gcs"
}

fn checkpoint(
    model: &Model,
    distiller: &Distiller,
    job: &str,
    seed: u64,
    step: usize,
    seconds: f64,
) -> Result<Checkpoint> {
    let mut out = Checkpoint { step: step as u64, seed, job: job.into(), ..Default::default() };
    out.facts.insert("seconds".into(), seconds.to_string());
    model.save(&mut out)?;
    for (k, (name, tensor)) in distiller.student().map(|s| s.state()).unwrap_or_default().into_iter().enumerate() {
        out.facts.insert(format!("student.{k:05}"), name);
        out.insert(format!("student.{k:05}"), tensor.shape(), Array::F64(tensor.to_f64_vec()?));
    }
    Ok(out)
}

fn restore_student(distiller: &mut Distiller, found: &Checkpoint, device: &Device) -> Result<()> {
    let Some(student) = distiller.student_mut() else { return Ok(()) };
    let mut state = vec![];
    for (key, name) in found.facts.iter().filter(|(k, _)| k.starts_with("student.")) {
        if let Some((shape, Array::F64(data))) = found.tensors.get(key) {
            let host = Tensor::from_slice(&Device::cpu(), data, shape)?;
            let own = if name.starts_with("facts") {
                host
            } else {
                host.cast(lumigrad_core::DType::F32)?.to_device(device)?
            };
            state.push((name.clone(), own));
        }
    }
    Ok(student.restore(&state)?)
}
