//! The steps of a creation.

use super::cameras::ring;
use super::keys::{CreateKeys, PolishKeys};
use super::learnt::Pulled;
use super::model::Model;
use super::plan::{JUDGED, Plan, shown};
use super::pulls::Pulls;
use super::reference::Reference;
use super::report::{Told, report, write_views};
use crate::run::Checkpoint;
use crate::run::job::Document;
use crate::run::{Budget, Event, Observer, Record, RunFolder, Saves, Stop, Summary, USUAL, peak_memory_bytes};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_guidance::distill::{Brightness, Verdict};
use std::path::Path;
use std::time::Instant;

/// Views and moments that the report shows.
const SHOWN: usize = 6;
const MOMENTS: [f64; 5] = [0.0, 0.05, 0.2, 0.5, 1.0];
/// Steps between states that a run can go back to, and how often it may.
const KEPT_EVERY: usize = 25;
const RETURNS: usize = 3;

/// Makes a model for a plan.
type Builder<'a> = &'a mut dyn FnMut(&Plan, &Device) -> Result<Box<dyn Model>>;

/// Pulls a model, and writes the run folder; where normals are polished, there are keys for it.
///
/// # Errors
/// Priors, subjects or settings that cannot be used; guidance that diverges again and again; files that cannot be written.
pub fn drive(
    command: &str,
    (job, polish): (&CreateKeys, Option<&PolishKeys>),
    document: &Document,
    build: Builder,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let start = Instant::now();
    let device = Device::from_name(&job.common.device)?;
    let seed = job.common.seed;
    let mut summary = Summary::new(command, device.to_string(), seed);
    observer.event(&Event::Phase("loading".into()));
    let plan = Plan::new(command, job, polish)?;
    let mut pulls = Pulls::new(&plan, job)?;
    let reference = Reference::new(job, plan.side, &device)?;
    let mut model = build(&plan, &device)?;
    let name = if job.subject.is_empty() { "create".into() } else { format!("create-{}", job.subject) };
    let place = job.out.clone().unwrap_or_else(|| Path::new("runs").join(name.replace(['/', '\\', ' '], "_")));
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, job.checkpoint_every);
    let without = plan.recognised(&*model)?;
    let around = ring(SHOWN, plan.middle(), 0.0);
    let mut told = Told { side: plan.side, directions: around.clone(), ..Default::default() };
    let (mut first, mut spent) = (0, 0.0);
    if let Some(found) = if job.resume { saves.latest(&place, &fingerprint)? } else { None } {
        model.restore(&found)?;
        first = found.step as usize;
        spent = found.facts.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0);
        pulls.restore(&found, &device)?;
    }
    let folder = RunFolder::create(&place)?;
    let budget = Budget { iterations: Some(job.iterations), seconds: job.seconds, stop_loss: None };
    observer.event(&Event::Started {
        what: format!("{:?} by {}", job.subject, plan.asked.info().name),
        device: device.to_string(),
        iterations: Some(job.iterations),
        seconds: job.seconds,
    });
    let brightness = Brightness::default();
    let (mut step, mut slower, mut returns) = (first, 1.0, 0);
    let (mut good, mut interrupted) = (model.learnt().arrays.clone(), false);
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
        if model.refine(progress)? {
            good = model.learnt().arrays.clone();
        }
        let begun = Instant::now();
        let directions = plan.directions(seed, step as u64, job.batch);
        let recorded = model.record(&directions, plan.side, progress, reference.as_ref())?;
        let asked = Instant::now();
        let (mut guided, normals) = pulls.guide(&recorded, &directions, step as u64, progress)?;
        if let Some(reference) = &reference {
            guided.cotangent = reference.quieter(&guided.cotangent, &directions)?;
        }
        times[0] += asked.elapsed().as_secs_f64();
        match guided.verdict {
            Verdict::RollBack if returns == RETURNS => {
                let [not_finite, exploded] = pulls.counts();
                return Err(Error::job(format!(
                    "guidance diverged {RETURNS} times although steps became shorter: {not_finite} pulls were not finite, \
                     {exploded} exploded; lower --rate or --scale, or set --clip"
                )));
            }
            Verdict::RollBack => {
                returns += 1;
                slower *= 0.5;
                model.learnt_mut().go_back(good.clone());
                pulls.forget();
                let message = format!("guidance diverged at step {step}: back to the last good state, rates halved");
                observer.event(&Event::Warning(message.clone()));
                summary.warnings.push(message);
            }
            verdict => {
                if equalises(job) {
                    let factor = brightness.factor(recorded.renders.tensor(), progress)?;
                    if factor != 1.0 {
                        model.damp(factor)?;
                    }
                }
                let factor = slower * 0.1f64.powf(model.share(progress));
                let pulled = Pulled { renders: guided.cotangent, normals };
                model.learnt_mut().step(recorded, pulled, factor)?;
                if verdict == Verdict::Fine && step.is_multiple_of(KEPT_EVERY) {
                    good = model.learnt().arrays.clone();
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
        if let Err(e) = saves.save_when_due(|| checkpoint(&*model, &pulls, &fingerprint, seed, step, spent)) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
    }
    observer.event(&Event::Phase("writing".into()));
    let last = shown(&model.renders(&around, plan.side)?)?;
    told.moments.push((step, last));
    told.samples = plan.samples(&around, seed, &device)?;
    if let Some(recognised) = plan.recognised(&*model)? {
        summary.metric("recognised", recognised);
        summary.metric("recognised_without", without.unwrap_or(0.0));
    }
    if let Some(reference) = &reference {
        let (wanted, found) = (reference.pixels()?, reference.seen(&*model)?);
        summary.metric("image_psnr", lumigrad_metrics::psnr(&found, &wanted)?);
        told.reference = Some((wanted, found));
    }
    let tail = &told.norms[told.norms.len() - told.norms.len().min(50)..];
    summary.metric("guidance_norm", tail.iter().map(|n| n.1).sum::<f64>() / tail.len().max(1) as f64);
    let [not_finite, exploded] = pulls.counts();
    summary.metric("not_finite", not_finite as f64);
    summary.metric("exploded", exploded as f64);
    summary.metric("returns", returns as f64);
    let steps = (step - first).max(1) as f64;
    summary.metric("ms_per_iteration", 1e3 * times[1] / steps);
    summary.metric("ms_in_guidance", 1e3 * times[0] / steps);
    summary.iterations = step;
    let mut files = model.write(&folder, &mut summary)?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    checkpoint(&*model, &pulls, &fingerprint, seed, step, spent)?.save(&folder.path("checkpoint.safetensors"))?;
    let all = ring(JUDGED, plan.middle(), 0.5);
    write_views(&folder.path("views"), &all, &shown(&model.renders(&all, plan.side)?)?, plan.side)?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let page = report(&job.subject, plan.asked.info(), &told, &summary, document)?;
    files.extend(USUAL);
    files.push(("views", "views"));
    folder.close(&files, &page, &mut summary, &saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted });
    Ok(summary)
}

fn equalises(job: &CreateKeys) -> bool {
    job.equalise || job.distillation == "gcs"
}

fn checkpoint(model: &dyn Model, pulls: &Pulls, job: &str, seed: u64, step: usize, seconds: f64) -> Result<Checkpoint> {
    let mut out = Checkpoint { step: step as u64, seed, job: job.into(), ..Default::default() };
    out.facts.insert("seconds".into(), seconds.to_string());
    model.save(&mut out)?;
    pulls.save(&mut out)?;
    Ok(out)
}
