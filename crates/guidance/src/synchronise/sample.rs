//! DDIM on several pictures at once, with their clean estimates averaged (SyncTweedies).

use super::Canvas;
use crate::sample::{clean, weighted};
use crate::{Error, Level, Result};
use lumigrad_core::{Tensor, Var};

/// How pictures are kept alike.
#[derive(Clone, Copy, Debug)]
pub struct Synchrony<'a> {
    /// What they show.
    pub canvas: &'a Canvas,
    /// Part of the steps, from the first on, after which pictures go on by themselves.
    pub until: f64,
}

/// DDIM of pictures [V, h, w, C] through falling levels; with a [`Synchrony`] they agree on a canvas.
///
/// In every step each picture has its own ε̂ and clean estimate x̂0 = (x_t − σε̂)/a; estimates are averaged on the canvas
/// and shown again, and each picture takes its step with the shared x̂0 and its own ε̂.
///
/// **Determinism**: as that of the prior; pictures that agree everywhere are those of plain DDIM to the last bit.
/// **Source**: Kim et al. 2024, SyncTweedies, case 2; DDIM is the same without a canvas.
#[derive(Clone, Debug)]
pub struct Sampling {
    levels: Vec<Level>,
    step: usize,
    noisy: Tensor,
    clean: Tensor,
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
        Ok(Self { levels: levels.to_vec(), step, noisy, clean })
    }

    /// Takes a step and tells whether there was one to take; `predict` gives ε̂ of the pictures at a level.
    ///
    /// # Errors
    /// What `predict` says; a canvas of other pictures.
    pub fn step(
        &mut self,
        synchrony: Option<Synchrony<'_>>,
        predict: &mut dyn FnMut(&Tensor, Level) -> Result<Tensor>,
    ) -> Result<bool> {
        let n = self.levels.len();
        let Some(level) = self.levels.get(self.step).copied().filter(|l| l.sigma > 0.0) else { return Ok(false) };
        let noise = predict(&self.noisy, level)?;
        self.clean = clean(&self.noisy, &noise, level)?;
        if let Some(Synchrony { canvas, until }) = synchrony
            && (self.step as f64) < until * n as f64
        {
            let (shape, channels) = (self.clean.shape().to_vec(), self.clean.shape()[3]);
            let own = Var::from(self.clean.reshape(&[self.clean.len() / channels.max(1), channels])?);
            self.clean = canvas.show(&canvas.average(&own)?, &own)?.tensor().reshape(&shape)?;
        }
        self.noisy = match self.levels.get(self.step + 1) {
            // DDIM with an x̂0 of its own: x' = a'·x̂0 + σ'·ε̂.
            Some(next) => weighted(&[(&self.clean, next.a), (&noise, next.sigma)])?,
            None => self.clean.clone(),
        };
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
    synchrony: Option<Synchrony<'_>>,
    predict: &mut dyn FnMut(&Tensor, Level) -> Result<Tensor>,
) -> Result<Tensor> {
    let mut sampling = Sampling::new(noise, levels)?;
    while sampling.step(synchrony, predict)? {}
    Ok(sampling.clean)
}
