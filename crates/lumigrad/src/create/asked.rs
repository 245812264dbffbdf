//! A prior, what it is asked for, and how it pulls.

use super::keys::CreateKeys;
use crate::{Error, Result};
use lumigrad_guidance::distill::{Consistency, Divergence, Method, Options, Times, Weighting};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, PriorInfo, View as Direction};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A prior of colour pictures that is asked for something.
#[derive(Clone)]
pub struct Asked {
    /// What pulls.
    pub prior: Arc<dyn DiffusionPrior>,
    condition: Condition,
    /// How it pulls.
    pub options: Options,
}

impl Asked {
    /// The prior at a path, with low-rank changes of files, asked for what `words` say, with the other settings of a job.
    ///
    /// # Errors
    /// Priors or words that cannot be used; settings that fit no prior, or not this one.
    pub fn new(path: &Path, words: &str, (job, changes): (&CreateKeys, &[PathBuf])) -> Result<Self> {
        Self::of(lumigrad_guidance::open_changed(path, changes)?.into(), path, words, job)
    }

    /// The prior at a path, asked for the subject of a job, or for anything where it knows neither labels nor texts.
    ///
    /// # Errors
    /// As [`Self::new`]'s.
    pub fn named(path: &Path, job: &CreateKeys) -> Result<Self> {
        let prior: Arc<dyn DiffusionPrior> = lumigrad_guidance::open(path)?.into();
        let speaks = prior.info().can(Capability::Labels) || prior.info().can(Capability::Text);
        Self::of(prior, path, if speaks { &job.subject } else { "" }, job)
    }

    fn of(prior: Arc<dyn DiffusionPrior>, path: &Path, words: &str, job: &CreateKeys) -> Result<Self> {
        let info = prior.info();
        if !info.is_colour() {
            let found = format!("pictures with {} channels", info.channels);
            return Err(Error::file(path.display(), found, "create needs square pictures with 3 channels"));
        }
        let condition = info.condition(words)?;
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
        Ok(Self { prior, condition, options })
    }

    /// What the prior is.
    pub fn info(&self) -> &PriorInfo {
        self.prior.info()
    }

    /// What is wanted of views from some directions.
    pub fn conditions(&self, directions: &[Direction]) -> Vec<Condition> {
        directions.iter().map(|d| self.info().seen_from(&self.condition, *d)).collect()
    }
}
