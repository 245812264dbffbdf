//! The steps of a run, in one or several stages, with its checkpoints.

use super::TextureJob;
use crate::guiding::Guide;
use crate::run::{Array, Checkpoint, Event, Observer, Saves, Stop};
use crate::{Error, Result};
use lumigrad_core::Tensor;
use lumigrad_core::ops::slice_tensor;
use lumigrad_guidance::{Agreement, Capability, Condition, Level, Sampling, Together, of_picture, one_by_one};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Moments of a stage that the page shows.
const MOMENTS: usize = 4;
/// Arrays of a checkpoint.
const NOISY: &str = "noisy";
const CLEAN: &str = "clean";
const BASE: &str = "texels";
/// Numbers of a checkpoint: steps in all, and the stage it is in.
const STEPS: &str = "steps";
const STAGE: &str = "stage";

/// A stage: views that are denoised through levels.
pub struct Stage<'a> {
    /// Number of the stage, from 0.
    pub number: usize,
    /// What it does.
    pub title: &'a str,
    /// x_t at the first level.
    pub noisy: Tensor,
    /// Falling levels.
    pub levels: &'a [Level],
    /// What views agree by.
    pub agreement: Option<&'a dyn Agreement>,
    /// What each is asked for.
    pub conditions: &'a [Condition],
    /// Colours of texels that the stage began with; none for the first one.
    pub base: Option<&'a [f32]>,
}

/// What stages share.
pub struct Runner<'a> {
    job: &'a TextureJob,
    guide: &'a Guide,
    /// The same with views that see each other, and the part of a stage's steps for which they do.
    together: Option<(Guide, f64)>,
    /// What is done, and where.
    what: (String, String),
    fingerprint: String,
    pub saves: Saves,
    stop: &'a Stop,
    pub observer: &'a mut dyn Observer,
    found: Option<Checkpoint>,
    /// Steps of the stages before.
    before: usize,
    began: Instant,
    /// Steps of this process.
    taken: usize,
    /// The first view on the way: when, and what it looked like.
    pub moments: Vec<(String, Vec<f32>)>,
    /// Where the run is.
    pub end: Checkpoint,
}

impl<'a> Runner<'a> {
    /// A run that will be in `place`; it goes on where a checkpoint is wanted and found.
    ///
    /// # Errors
    /// A checkpoint of another job; a prior whose pictures cannot see each other where they must.
    pub fn new(
        (job, guide): (&'a TextureJob, &'a Guide),
        what: (String, String),
        (place, fingerprint): (&Path, String),
        stop: &'a Stop,
        observer: &'a mut dyn Observer,
    ) -> Result<Self> {
        let saves = Saves::new(place, job.checkpoint_every);
        let found = if job.resume { saves.latest(place, &fingerprint)? } else { None };
        if let Some(c) = &found {
            let steps: usize = c.facts.get(STEPS).and_then(|s| s.parse().ok()).unwrap_or(0);
            if steps != job.iterations {
                let message = format!("the checkpoint is of {steps} steps, the job of {}", job.iterations);
                return Err(Error::usage(
                    "--iterations",
                    message,
                    "levels depend on it: leave --resume out to start anew",
                ));
            }
        }
        let part = together(job, guide);
        let together = match part > 0.0 {
            true => {
                let prior = Together::new(guide.prior.clone(), " (needed by --together)")?;
                Some((Guide { prior: Arc::new(prior), ..guide.clone() }, part))
            }
            false => None,
        };
        let (began, end) = (Instant::now(), found.clone().unwrap_or_default());
        let moments = vec![];
        Ok(Self {
            job,
            guide,
            together,
            what,
            fingerprint,
            saves,
            stop,
            observer,
            found,
            before: 0,
            began,
            taken: 0,
            moments,
            end,
        })
    }

    /// Tells how many steps there will be.
    pub fn started(&mut self, steps: usize) {
        let (what, device) = self.what.clone();
        self.observer.event(&Event::Started { what, device, iterations: Some(steps), seconds: None });
    }

    /// Whether a checkpoint is past this stage.
    pub fn is_past(&self, stage: usize) -> bool {
        self.found.as_ref().is_some_and(|c| stage_of(c) > stage)
    }

    /// Colours of texels that the checkpoint's stage began with.
    ///
    /// # Errors
    /// Of another number of texels.
    pub fn base(&self, texels: usize) -> Result<Option<Vec<f32>>> {
        self.found.as_ref().map(|c| Ok(c.f32(BASE, &[texels, 3])?.to_vec())).transpose()
    }

    /// Whether the run shall end.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_requested()
    }

    /// Steps that stages which are left out would have taken.
    pub fn skip(&mut self, steps: usize) {
        self.before += steps;
    }

    /// Milliseconds of a step.
    pub fn pace(&self) -> f64 {
        1e3 * self.began.elapsed().as_secs_f64() / self.taken.max(1) as f64
    }

    /// Steps of all stages up to now.
    pub fn steps(&self) -> usize {
        self.before
    }

    /// Denoises a stage's views as far as nobody stops it: their clean estimates.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn run(&mut self, stage: Stage) -> Result<Tensor> {
        self.observer.event(&Event::Phase(stage.title.into()));
        let mut sampling = match self.found.take().filter(|c| stage_of(c) == stage.number) {
            Some(c) => {
                let (device, shape) = (stage.noisy.device(), stage.noisy.shape());
                let array =
                    |name: &str| -> Result<Tensor> { Ok(Tensor::from_slice(device, c.f32(name, shape)?, shape)?) };
                let steps = (c.step as usize).saturating_sub(self.before);
                Sampling::resumed(array(NOISY)?, array(CLEAN)?, steps, stage.levels)?
            }
            None => Sampling::resumed(stage.noisy.clone(), stage.noisy.clone(), 0, stage.levels)?,
        };
        let n = stage.levels.len();
        let every = ((n - 1) / MOMENTS).max(1);
        while !self.stop.is_requested() {
            let progress = sampling.steps() as f64 / n as f64;
            let mut predict = |x: &Tensor, level| self.predict(x, level, stage.conditions, progress);
            if !sampling.step(stage.agreement, &mut predict)? {
                break;
            }
            self.taken += 1;
            let done = sampling.steps();
            if done == 1 || done % every == 0 {
                let first = slice_tensor(sampling.clean(), 0, 0, 1)?;
                let shown = self.guide.shown(&self.guide.pictures(&first)?)?;
                self.moments.push((format!("{}, step {done}", stage.title), shown));
            }
            let (iteration, seconds) = (self.before + done, self.began.elapsed().as_secs_f64());
            self.observer.event(&Event::Step { iteration, seconds, loss: sampling.apart() });
            let (run, before) = ((self.job, self.fingerprint.as_str()), self.before);
            if let Err(e) = self.saves.save_when_due(|| checkpoint(run, before, &sampling, &stage)) {
                self.observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
            }
        }
        self.end = checkpoint((self.job, &self.fingerprint), self.before, &sampling, &stage)?;
        self.before += sampling.steps();
        Ok(sampling.clean().clone())
    }

    /// The same views each by itself; `None` where somebody stops it.
    ///
    /// # Errors
    /// Those of the prior.
    pub fn alone(&mut self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Option<Tensor>> {
        self.observer.event(&Event::Phase("denoising each view by itself".into()));
        let mut alone = Sampling::resumed(noisy.clone(), noisy.clone(), 0, levels)?;
        let mut predict = |x: &Tensor, level| predict(self.guide, x, level, conditions);
        while !self.stop.is_requested() && alone.step(None, &mut predict)? {}
        Ok((!self.stop.is_requested()).then(|| alone.clean().clone()))
    }

    fn predict(
        &self,
        x: &Tensor,
        level: Level,
        seen: &[Condition],
        progress: f64,
    ) -> lumigrad_guidance::Result<Tensor> {
        match &self.together {
            Some((guide, until)) if progress < *until => guide.predict_seen(x, level, seen),
            _ => predict(self.guide, x, level, seen),
        }
    }
}

/// A stage on its way, with `before` steps of those before it.
fn checkpoint(
    (job, fingerprint): (&TextureJob, &str),
    before: usize,
    sampling: &Sampling,
    stage: &Stage,
) -> Result<Checkpoint> {
    let (step, seed) = ((before + sampling.steps()) as u64, job.common.seed);
    let mut c = Checkpoint { step, seed, job: fingerprint.into(), ..Checkpoint::default() };
    c.facts.insert(STEPS.into(), job.iterations.to_string());
    c.facts.insert(STAGE.into(), stage.number.to_string());
    for (name, tensor) in [(NOISY, sampling.noisy()), (CLEAN, sampling.clean())] {
        c.insert(name, tensor.shape(), Array::F32(tensor.to_vec::<f32>()?));
    }
    if let Some(base) = stage.base {
        c.insert(BASE, &[base.len() / 3, 3], Array::F32(base.to_vec()));
    }
    Ok(c)
}

/// Part of the steps in which views see each other: what the job says, else all of them in texture space where the prior can.
fn together(job: &TextureJob, guide: &Guide) -> f64 {
    let usual = job.method == super::GENESIS && guide.info().can(Capability::Share);
    job.together.unwrap_or(if usual { 1.0 } else { 0.0 })
}

fn stage_of(c: &Checkpoint) -> usize {
    c.facts.get(STAGE).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// ε̂ of views; one after another where the prior is slow.
fn predict(guide: &Guide, x: &Tensor, level: Level, seen: &[Condition]) -> lumigrad_guidance::Result<Tensor> {
    match guide.is_slow() {
        true => one_by_one(x, |i, z| {
            let own = of_picture(seen, i);
            guide.predict_seen(z, level, std::slice::from_ref(own))
        }),
        false => guide.predict_seen(x, level, seen),
    }
}
