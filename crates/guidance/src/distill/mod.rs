//! Score distillation: a prior's pull at renders, as a cotangent.
//!
//! [`Distiller::guide`] takes renders and gives the cotangent that a tape sweeps back from them; [`pull()`] makes it a loss
//! term. No derivative of the prior is taken, but the encoder's of latent priors.
//!
//! Reduction: sums over pixels, divided by the batch (as the reference codes), so that the pull at a pixel does not depend on
//! the resolution.

mod angular;
mod consistency;
mod divergence;
mod pull;
mod student;
#[cfg(test)]
mod tests;
mod watch;

pub use angular::{AngularBounds, bounded, composed};
pub use consistency::{Brightness, Consistency};
pub use divergence::Divergence;
pub use pull::pull;
pub use student::GaussianStudent;
pub use watch::{Verdict, Watch};

use crate::modify::Guidance;
use crate::sample::weighted;
use crate::{Capability, Condition, DiffusionPrior, Error, Level, Result, Student, combine, keyed_noise};
use lumigrad_core::ops::random;
use lumigrad_core::{Tensor, Var};
use std::sync::Arc;

/// What difference of predictions pulls.
#[derive(Clone, Debug)]
pub enum Method {
    /// ε̂ − ε (DreamFusion, Poole et al. 2022).
    Sds,
    /// ε̂ − ε̂_φ with φ a student of the renders (ProlificDreamer, Wang et al. 2023).
    Vsd,
    /// λ₁(ε̂_c − ε̂_u) + λ₂(ε̂ − ε̂_φ) (DreamPolish, Cheng et al. 2024).
    Dsd {
        /// λ₁, of the condition.
        condition: f64,
        /// λ₂, of the variational difference.
        variation: f64,
    },
    /// Guided consistency (Li et al. 2024).
    Consistency(Consistency),
}

/// w(t).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weighting {
    /// 1 − ᾱ.
    #[default]
    Variance,
    /// 1.
    One,
    /// √ᾱ·(1 − ᾱ).
    Fantasia,
}

impl Weighting {
    /// Names in job files.
    pub const NAMES: &[&str] = &["variance", "one", "fantasia"];

    /// The weighting of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Variance, Self::One, Self::Fantasia].get(Self::NAMES.iter().position(|n| *n == name)?).copied()
    }

    /// w at a level; only σ/a counts.
    pub fn at(self, level: Level) -> f64 {
        let alpha_bar = level.alpha_bar();
        match self {
            Self::Variance => 1.0 - alpha_bar,
            Self::One => 1.0,
            Self::Fantasia => alpha_bar.sqrt() * (1.0 - alpha_bar),
        }
    }
}

/// From which times levels are drawn, times of the prior's schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Least time.
    pub least: f64,
    /// Most at the start of a run.
    pub most: f64,
    /// Most at its end: it falls with the square root of progress (`most` for none).
    pub most_at_end: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self { least: 0.02, most: 0.98, most_at_end: 0.98 }
    }
}

impl Times {
    /// The largest time at `progress`.
    pub fn most_at(self, progress: f64) -> f64 {
        (self.most - (self.most - self.most_at_end) * progress.clamp(0.0, 1.0).sqrt()).max(self.least)
    }

    fn check(self) -> Result<()> {
        let inside = |t: f64| t > 0.0 && t <= 1.0;
        match inside(self.least) && inside(self.most) && inside(self.most_at_end) && self.least <= self.most {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "times from {} to {} (at the end {}): expected 0 < least ≤ most ≤ 1",
                self.least, self.most, self.most_at_end
            ))),
        }
    }
}

/// How renders are pulled.
#[derive(Clone, Debug)]
pub struct Options {
    /// The difference that pulls.
    pub method: Method,
    /// Its weight.
    pub weighting: Weighting,
    /// Levels of noise.
    pub times: Times,
    /// Modifiers of the prediction; its `scale` is s of classifier-free guidance (100 for SDS, 7.5 for VSD).
    pub guidance: Guidance,
    /// Weight of another divergence than the reverse Kullback-Leibler one; needs densities of prior and student.
    pub divergence: Option<Divergence>,
    /// Largest absolute value of the cotangent at a number of a picture.
    pub clip_value: f64,
    /// Largest norm of a picture's cotangent.
    pub clip_norm: f64,
    /// Rank of the student's adapter, where it has one.
    pub rank: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::Sds,
            weighting: Weighting::default(),
            times: Times::default(),
            guidance: Guidance::default(),
            divergence: None,
            clip_value: f64::INFINITY,
            clip_norm: f64::INFINITY,
            rank: 4,
        }
    }
}

/// What a step of guidance gives.
pub struct Guided {
    /// Cotangent of the renders [n, height, width, channels].
    pub cotangent: Tensor,
    /// Norm of each picture's cotangent, 0 for one that was not finite.
    pub norms: Vec<f64>,
    /// Level of each picture.
    pub levels: Vec<Level>,
    /// Loss of the student, where there is one.
    pub student_loss: Option<f64>,
    /// What became of cotangents that were not finite or too large.
    pub verdict: Verdict,
}

/// A prior that pulls at renders.
pub struct Distiller {
    prior: Arc<dyn DiffusionPrior>,
    options: Options,
    student: Option<Box<dyn Student>>,
    watch: Watch,
    seed: u64,
}

impl Distiller {
    /// Checks that the prior can what the options need.
    ///
    /// # Errors
    /// Times, scales and clips that make no sense; capabilities that the prior lacks.
    pub fn new(prior: Arc<dyn DiffusionPrior>, options: Options, seed: u64) -> Result<Self> {
        options.times.check()?;
        options.guidance.check(&*prior)?;
        if !(options.clip_value > 0.0) || !(options.clip_norm > 0.0) {
            return Err(Error::Setting("clips of the cotangent must be more than 0".into()));
        }
        let varies = matches!(options.method, Method::Vsd | Method::Dsd { .. }) || options.divergence.is_some();
        let student = match varies {
            true => {
                prior.info().require(Capability::Adapt, " (needed by variational distillation)")?;
                Some(prior.adapt(options.rank, seed)?)
            }
            false => None,
        };
        if options.divergence.is_some() {
            prior.info().require(Capability::Density, " (needed by divergences other than the reverse one)")?;
        }
        if let Method::Consistency(c) = &options.method {
            c.check(&*prior)?;
        }
        Ok(Self { prior, options, student, watch: Watch::default(), seed })
    }

    /// The prior.
    pub fn prior(&self) -> &Arc<dyn DiffusionPrior> {
        &self.prior
    }

    /// The student, where there is one.
    pub fn student(&self) -> Option<&dyn Student> {
        self.student.as_deref()
    }

    /// The student, to take up a checkpoint.
    pub fn student_mut(&mut self) -> Option<&mut (dyn Student + 'static)> {
        self.student.as_deref_mut()
    }

    /// Counts of what went wrong.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Forgets what went wrong in a row, after the caller went back to a good state.
    pub fn forget(&mut self) {
        self.watch.forget();
    }

    /// Levels of some views in a step: drawn from counters keyed by (seed, step, view).
    pub fn levels(&self, step: u64, progress: f64, views: &[u64]) -> Vec<Level> {
        let (schedule, times) = (self.prior.info().schedule, self.options.times);
        let key = random::hash(random::hash(self.seed, 11), step);
        let most = times.most_at(progress);
        views.iter().map(|v| schedule.level(times.least + (most - times.least) * random::uniform(key, *v))).collect()
    }

    /// The pull at renders [n, height, width, channels] with values in [0, 1].
    ///
    /// `conditions` has an entry for each render or one for all, `views` a number for each: noise and level of a render are
    /// keyed by (seed, `step`, its number). `progress` goes from 0 to 1 over the run.
    ///
    /// Renders are taken to the prior's range and its latents; the cotangent is that of the renders. What is not finite
    /// pulls nothing, and is counted.
    ///
    /// # Errors
    /// Shapes and conditions that do not fit; those of the prior.
    pub fn guide(
        &mut self,
        renders: &Tensor,
        conditions: &[Condition],
        views: &[u64],
        step: u64,
        progress: f64,
    ) -> Result<Guided> {
        let prior = self.prior.clone();
        let info = prior.info();
        let latent = info.can(Capability::Encode);
        let &[n, _, _, _] = renders.shape() else {
            return Err(Error::shape("renders", renders.shape(), "[n, height, width, channels]"));
        };
        info.check_entries("conditions", n, conditions.len())?;
        if views.len() != n {
            return Err(Error::shape("numbers of views", &[views.len()], format!("{n} (renders)")));
        }
        let [lo, hi] = info.range;
        let pictures = Var::from(renders.clone()).scale(hi - lo)?.offset(lo)?.tensor().clone();
        let x = if latent { prior.encode(&pictures)? } else { pictures.clone() };
        info.check("renders", x.shape())?;
        let levels = self.levels(step, progress, views);
        // GCS keeps one noise for the whole run.
        let when = if matches!(self.options.method, Method::Consistency(_)) { 0 } else { step };
        let noise = keyed_noise(x.device(), x.dtype(), x.shape(), random::hash(self.seed, 12), when, views)?;
        let pull = match &self.options.method {
            Method::Consistency(c) => {
                let key = random::hash(random::hash(self.seed, 13), step);
                let draws: Vec<[f64; 2]> =
                    views.iter().map(|v| [0, 1].map(|k| random::uniform(key, 2 * v + k))).collect();
                c.losses(&*prior, &x, &noise, conditions, &draws, progress)?.0
            }
            _ => self.difference(&x, &noise, &levels, conditions, progress)?,
        };
        let each = vec![1.0 / n.max(1) as f64];
        let pull = combine(&[(&pull.into(), &each)])?.tensor().clone();
        let back = if latent { prior.encode_vjp(&pictures, &pull)? } else { pull };
        let back = weighted(&[(&back, hi - lo)])?;
        let (cotangent, norms, verdict) = self.watch.check(&back, self.options.clip_value, self.options.clip_norm)?;
        // Whatever the renders were, the student must not learn from what is not finite.
        let student_loss = match (&mut self.student, verdict) {
            (Some(student), Verdict::Fine | Verdict::Clamped) => {
                let fresh = keyed_noise(x.device(), x.dtype(), x.shape(), random::hash(self.seed, 14), step, views)?;
                Some(student.learn(&x, &fresh, &levels, conditions)?)
            }
            _ => None,
        };
        Ok(Guided { cotangent, norms, levels, student_loss, verdict })
    }

    /// w·(difference), per picture.
    fn difference(
        &self,
        x: &Tensor,
        noise: &Tensor,
        levels: &[Level],
        conditions: &[Condition],
        progress: f64,
    ) -> Result<Tensor> {
        let (a, sigma): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let noisy = combine(&[(&x.clone().into(), &a), (&noise.clone().into(), &sigma)])?.tensor().clone();
        let mut guidance = self.options.guidance.clone();
        let dsd = match self.options.method {
            Method::Dsd { condition, variation } => Some((condition, variation)),
            _ => None,
        };
        if dsd.is_some() {
            guidance.scale = 1.0; // λ₁ stands for it
        }
        let p = guidance.predict(&*self.prior, &noisy, levels, conditions, progress)?;
        let varied = match &self.student {
            Some(student) => student.predict(&noisy, levels, conditions)?,
            None => noise.clone(),
        };
        let mut weights: Vec<f64> = levels.iter().map(|l| self.options.weighting.at(*l)).collect();
        if let (Some(divergence), Some(student)) = (self.options.divergence, &self.student) {
            let of_prior = self.prior.log_density(&noisy, levels, conditions)?;
            let of_student = student.log_density(&noisy, levels, conditions)?;
            let ratios = of_prior.iter().zip(&of_student).map(|(p, q)| p - q);
            weights.iter_mut().zip(ratios).for_each(|(w, r)| *w *= divergence.weight(r));
        }
        let negative = |w: &[f64]| w.iter().map(|w| -w).collect::<Vec<f64>>();
        let (guided, varied): (Var, Var) = (p.guided.clone().into(), varied.into());
        let out = match (dsd, p.unconditional) {
            (Some((condition, variation)), base) => {
                let base = match base {
                    Some(base) => base,
                    None => {
                        let null: Vec<Condition> = conditions.iter().map(Condition::without_subject).collect();
                        self.prior.predict(&noisy, levels, &null)?
                    }
                };
                let scaled = |by: f64| weights.iter().map(|w| w * by).collect::<Vec<f64>>();
                combine(&[
                    (&guided, &scaled(variation)),
                    (&varied, &scaled(-variation)),
                    (&p.conditional.into(), &scaled(condition)),
                    (&base.into(), &scaled(-condition)),
                ])?
            }
            _ => combine(&[(&guided, &weights), (&varied, &negative(&weights))])?,
        };
        Ok(out.tensor().clone())
    }
}
