//! Guided consistency sampling and brightness equalisation (Li et al. 2024).

use crate::modify::Guidance;
use crate::{Capability, Condition, DiffusionPrior, Error, Level, Result, combine};
use lumigrad_core::{Tensor, Var};

/// Three losses that make one step from t agree with two by way of s: what is pulled is a render noised to e < s < t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Consistency {
    /// Weight of the compact consistency: ‖solve(x_t, t→e) − sg solve(x̂_s, s→e)‖².
    pub compact: f64,
    /// Weight of the guidance: ‖sg x̂0(conditional) − x̂0(null)‖² of the render noised to e.
    pub conditional: f64,
    /// Weight of the same in pixels. For priors over pixels it is the same loss again.
    pub pixels: f64,
    /// t − s at the start and at the end of a run.
    pub gap: [f64; 2],
    /// Times t are drawn from this range.
    pub times: [f64; 2],
    /// Scale of classifier-free guidance.
    pub scale: f64,
    /// Steps that each way between two times takes; 1 in the paper.
    pub steps: usize,
}

impl Default for Consistency {
    fn default() -> Self {
        Self { compact: 1.0, conditional: 0.5, pixels: 0.5, gap: [0.1, 0.08], times: [0.02, 0.5], scale: 7.5, steps: 1 }
    }
}

/// Least time, so that levels have noise.
const LEAST: f64 = 0.002;

/// How a way is predicted: null or guided.
struct Way<'a> {
    prior: &'a dyn DiffusionPrior,
    conditions: &'a [Condition],
    scale: Option<f64>,
    steps: usize,
    progress: f64,
}

impl Way<'_> {
    fn noise(&self, x: &Tensor, times: &[f64]) -> Result<Tensor> {
        let levels = levels(self.prior, times);
        match self.scale {
            None => {
                let null: Vec<Condition> = self.conditions.iter().map(Condition::without_subject).collect();
                self.prior.predict(x, &levels, &null)
            }
            Some(scale) => {
                let guidance = Guidance { scale, ..Default::default() };
                Ok(guidance.predict(self.prior, x, &levels, self.conditions, self.progress)?.guided)
            }
        }
    }

    /// x taken from some times to others, without noise.
    fn go(&self, x: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor> {
        let (mut x, mut at) = (x.clone(), from.to_vec());
        for k in 1..=self.steps {
            let part = k as f64 / self.steps as f64;
            let next: Vec<f64> = from.iter().zip(to).map(|(f, t)| f + (t - f) * part).collect();
            let e = self.noise(&x, &at)?;
            let (here, there) = (levels(self.prior, &at), levels(self.prior, &next));
            let ratio: Vec<f64> = here.iter().zip(&there).map(|(h, t)| t.a / h.a).collect();
            let rest: Vec<f64> = (0..here.len()).map(|i| there[i].sigma - ratio[i] * here[i].sigma).collect();
            x = combine(&[(&x.into(), &ratio), (&e.into(), &rest)])?.tensor().clone();
            at = next;
        }
        Ok(x)
    }
}

fn levels(prior: &dyn DiffusionPrior, times: &[f64]) -> Vec<Level> {
    times.iter().map(|t| prior.info().schedule.level(*t)).collect()
}

impl Consistency {
    pub(super) fn check(&self, prior: &dyn DiffusionPrior) -> Result<()> {
        let inside = |t: f64| t > 0.0 && t <= 1.0;
        if !(self.times.iter().chain(&self.gap).all(|t| inside(*t)) && self.times[0] <= self.times[1] && self.steps > 0)
        {
            let reason = format!(
                "times {:?} and gaps {:?} of consistency: expected more than 0, at most 1",
                self.times, self.gap
            );
            return Err(Error::Setting(reason));
        }
        if prior.info().can(Capability::Encode) && self.pixels != 0.0 {
            let needed = " with derivatives (needed by consistency in pixels; set its weight to 0)".to_string();
            return Err(Error::Unsupported {
                prior: prior.info().name.clone(),
                capability: Capability::Decode,
                needed,
            });
        }
        Ok(())
    }

    /// The gradient by x [n, …] of the three losses, and the difference of the two ways (which vanishes for an exact solver);
    /// `draws` are two uniform numbers for each picture.
    pub(super) fn losses(
        &self,
        prior: &dyn DiffusionPrior,
        x: &Tensor,
        noise: &Tensor,
        conditions: &[Condition],
        draws: &[[f64; 2]],
        progress: f64,
    ) -> Result<(Tensor, Tensor)> {
        let gap = self.gap[0] + (self.gap[1] - self.gap[0]) * progress.clamp(0.0, 1.0);
        let (mut t, mut s, mut e) = (vec![], vec![], vec![]);
        for [u, v] in draws {
            let time = (self.times[0] + (self.times[1] - self.times[0]) * u).max(gap + 2.0 * LEAST);
            t.push(time);
            s.push(time - gap);
            let (lo, hi) = ((time - 2.0 * gap).max(LEAST), (time - gap - 0.01).max(LEAST));
            e.push((lo + (hi - lo) * v).min(time - gap - 0.5 * LEAST));
        }
        let way = |scale| Way { prior, conditions, scale, steps: self.steps, progress };
        let (null, guided) = (way(None), way(Some(self.scale)));
        let at_e = levels(prior, &e);
        let (a, sigma): (Vec<f64>, Vec<f64>) = at_e.iter().map(|l| (l.a, l.sigma)).unzip();
        let start = combine(&[(&x.clone().into(), &a), (&noise.clone().into(), &sigma)])?.tensor().clone();
        // Inverted by the null prediction, as if x had been sampled.
        let x_t = null.go(&null.go(&start, &e, &s)?, &s, &t)?;
        let once = guided.go(&x_t, &t, &e)?;
        let twice = guided.go(&guided.go(&x_t, &t, &s)?, &s, &e)?;
        let apart = Var::from(once.clone()).sub(&twice.into())?;
        // At the render's own noisy picture: one guided step from far away may be anywhere. x̂0 differ by −σ/a times what the predictions differ by.
        let (plain, wanted) = (null.noise(&start, &e)?, guided.noise(&start, &e)?);
        let off: Vec<f64> = at_e.iter().map(|l| 2.0 * (self.conditional + self.pixels) * l.ratio()).collect();
        let back: Vec<f64> = off.iter().map(|w| -w).collect();
        // All predictions are constants, so that solve(x_t) at e changes with x as a_e·x does.
        let compact: Vec<f64> = a.iter().map(|a| 2.0 * self.compact * a).collect();
        let pull = combine(&[(&apart, &compact), (&wanted.into(), &off), (&plain.into(), &back)])?;
        Ok((pull.tensor().clone(), apart.tensor().clone()))
    }
}

/// Brightness equalisation: colours of splats are damped while renders are too bright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brightness {
    /// Quantile of the pixels' mean brightness.
    pub quantile: f64,
    /// Above this it is too much.
    pub limit: f64,
    /// What harmonics are multiplied by.
    pub factor: f64,
    /// Parts of the run between which it acts.
    pub during: [f64; 2],
}

impl Default for Brightness {
    fn default() -> Self {
        Self { quantile: 0.85, limit: 0.9, factor: 0.8, during: [0.2, 0.9] }
    }
}

impl Brightness {
    /// The factor for harmonics at renders [n, height, width, channels] in [0, 1]; 1 where nothing is to be done.
    ///
    /// Pixels are read back.
    pub fn factor(&self, renders: &Tensor, progress: f64) -> Result<f64> {
        if !(progress >= self.during[0] && progress <= self.during[1]) || renders.is_empty() {
            return Ok(1.0);
        }
        let channels = renders.shape().last().copied().unwrap_or(1).max(1);
        let values = renders.to_f64_vec()?;
        let mut bright: Vec<f64> = values.chunks(channels).map(|p| p.iter().sum::<f64>() / channels as f64).collect();
        bright.sort_by(f64::total_cmp);
        let at = ((bright.len() - 1) as f64 * self.quantile.clamp(0.0, 1.0)).round() as usize;
        Ok(if bright[at] > self.limit { self.factor } else { 1.0 })
    }
}
