//! DDIM on several pictures at once, with their clean estimates averaged (SyncTweedies).

use super::Shown;
use crate::sample::{clean, weighted};
use crate::{Error, Level, Result};
use lumigrad_core::{Tensor, Var};

/// What a step knows of pictures: x_t = a·clean + σ·noise.
pub struct Estimate {
    /// x̂0.
    pub clean: Tensor,
    /// ε̂.
    pub noise: Tensor,
    /// The step's level.
    pub level: Level,
}

/// How pictures are kept alike.
pub trait Agreement {
    /// The estimates that the step goes on with, after a part of the steps.
    ///
    /// # Errors
    /// Pictures of other shapes than those it is for.
    fn settle(&self, estimate: Estimate, progress: f64) -> Result<Estimate>;
}

/// Clean estimates are shared, each picture keeps its own noise (SyncTweedies).
#[derive(Clone, Copy)]
pub struct Synchrony<'a> {
    /// What pictures show.
    pub shown: &'a dyn Shown,
    /// Part of the steps, from the first on, after which pictures go on by themselves.
    pub until: f64,
}

impl Agreement for Synchrony<'_> {
    fn settle(&self, estimate: Estimate, progress: f64) -> Result<Estimate> {
        match progress < self.until {
            true => Ok(Estimate { clean: self.shown.agreed(&estimate.clean)?, ..estimate }),
            false => Ok(estimate),
        }
    }
}

/// DDIM of pictures [V, h, w, C] through falling levels; with an [`Agreement`] they show one thing.
///
/// In every step each picture has its own ε̂ and clean estimate x̂0 = (x_t − σε̂)/a. The agreement settles them (a [`Synchrony`]
/// averages clean estimates on a canvas and shows them again), and each picture takes its step with what it is given.
///
/// **Determinism**: as that of the prior; pictures that agree everywhere are those of plain DDIM to the last bit.
/// **Source**: Kim et al. 2024, SyncTweedies, case 2; DDIM is the same without an agreement.
#[derive(Clone, Debug)]
pub struct Sampling {
    levels: Vec<Level>,
    step: usize,
    noisy: Tensor,
    clean: Tensor,
    apart: f64,
}

impl Sampling {
    /// From noise, N(0, 1), at the first of some levels. A level of σ = 0 ends the sampling.
    ///
    /// # Errors
    /// No level, one of nearly pure noise (a < 10⁻⁴: x̂0 would be divided by it), pictures of another shape.
    pub fn new(noise: &Tensor, levels: &[Level]) -> Result<Self> {
        let Some(first) = levels.first() else {
            return Err(Error::Setting("sampling needs at least one level".into()));
        };
        // The first pictures are noise alone.
        let deviation = (first.a * first.a + first.sigma * first.sigma).sqrt();
        let noisy = weighted(&[(noise, deviation)])?;
        Self::resumed(noisy.clone(), noisy, 0, levels)
    }

    /// Goes on after some steps, with what [`Self::noisy`] and [`Self::clean`] were then.
    ///
    /// # Errors
    /// As [`Self::new`]; more steps than levels.
    pub fn resumed(noisy: Tensor, clean: Tensor, step: usize, levels: &[Level]) -> Result<Self> {
        if noisy.shape().len() != 4 || clean.shape() != noisy.shape() {
            return Err(Error::shape("pictures", noisy.shape(), "[views, height, width, channels]"));
        }
        if let Some(level) = levels.iter().find(|l| !(l.a >= 1e-4)) {
            return Err(Error::Level { a: level.a, sigma: level.sigma, reason: "the clean estimate is divided by a" });
        }
        if step > levels.len() {
            return Err(Error::Setting(format!("{step} steps are done, of {}", levels.len())));
        }
        Ok(Self { levels: levels.to_vec(), step, noisy, clean, apart: 0.0 })
    }

    /// Takes a step and tells whether there was one to take; `predict` gives ε̂ of the pictures at a level.
    ///
    /// # Errors
    /// What `predict` and the agreement say.
    pub fn step(
        &mut self,
        agreement: Option<&dyn Agreement>,
        predict: &mut dyn FnMut(&Tensor, Level) -> Result<Tensor>,
    ) -> Result<bool> {
        let n = self.levels.len();
        let Some(level) = self.levels.get(self.step).copied().filter(|l| l.sigma > 0.0) else { return Ok(false) };
        let noise = predict(&self.noisy, level)?;
        let mut found = Estimate { clean: clean(&self.noisy, &noise, level)?, noise, level };
        if let Some(agreement) = agreement {
            let own = found.clean.clone();
            found = agreement.settle(found, self.step as f64 / n as f64)?;
            let moved = Var::from(found.clean.clone()).sub(&own.into())?;
            self.apart = moved.square()?.mean()?.tensor().item()?.sqrt();
        }
        self.noisy = match self.levels.get(self.step + 1) {
            // DDIM with an x̂0 of its own: x' = a'·x̂0 + σ'·ε̂.
            Some(next) => weighted(&[(&found.clean, next.a), (&found.noise, next.sigma)])?,
            None => found.clean.clone(),
        };
        self.clean = found.clean;
        self.step += 1;
        Ok(true)
    }

    /// Steps that are done.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// x_t at the level of the next step.
    pub fn noisy(&self) -> &Tensor {
        &self.noisy
    }

    /// How far the last step's agreement moved clean estimates, root mean square: what pictures did not agree on.
    pub fn apart(&self) -> f64 {
        self.apart
    }

    /// x̂0 of the last step, shared where it was synchronised.
    pub fn clean(&self) -> &Tensor {
        &self.clean
    }
}

/// Pictures from noise: all steps of a [`Sampling`].
///
/// # Errors
/// As those.
pub fn synchronised(
    noise: &Tensor,
    levels: &[Level],
    agreement: Option<&dyn Agreement>,
    predict: &mut dyn FnMut(&Tensor, Level) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut sampling = Sampling::new(noise, levels)?;
    while sampling.step(agreement, predict)? {}
    Ok(sampling.clean)
}
