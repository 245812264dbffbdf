//! Photographs with things that come and go: two models that must agree (Asymmetric Dual 3DGS, Li et al. 2025).
//!
//! Passers-by, shadows and changes of light are in single photographs. Two models that learn from different parts of the
//! pictures make different mistakes there, and agree on what stays. Where they disagree is not learnt.

use crate::loss::Planes;
use crate::rows::Rows;
use crate::train::Plan;
use crate::{Error, Gaussians, StepReport, Train, TrainOptions, TrainState, Trainer, TrainingPicture};
use std::sync::Arc;

/// How two models are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Robust {
    /// Two models, trained side by side with masks of different kinds.
    Dual,
    /// The second one is a moving average of the first one, whose masks take turns: half the time and memory.
    Ema,
}

/// Weight of the difference between both models beside the loss.
pub(crate) const CONSISTENCY: f32 = 0.1;
/// Part of the steps in which everything is learnt: at first, residuals say nothing of what comes and goes.
pub(crate) const WARM_UP: f64 = 0.25;
/// Part of a picture's pixels that the hard mask keeps at least.
pub(crate) const KEPT: f32 = 0.9;
/// Residuals of this many times the median are doubtful.
pub(crate) const DOUBTFUL: f32 = 8.0;
/// Pixels about each one whose residuals are averaged: single pixels are noise, things are larger.
pub(crate) const RADIUS: usize = 3;
/// How slowly the moving average follows.
pub(crate) const DECAY: f32 = 0.98;

/// Trains two models, and gives the first one.
///
/// Stopped and resumed, the second model begins anew from the first one. **Determinism**: as [`Trainer`].
pub struct RobustTrainer {
    mode: Robust,
    first: Trainer,
    second: Trainer,
}

/// The same Gaussians, each parameter a little smaller or larger.
pub(crate) fn apart(gaussians: &Gaussians) -> Gaussians {
    let mut rows = Rows::<f32>::new(gaussians);
    rows.data.iter_mut().enumerate().for_each(|(i, x)| *x *= 1.0 + 1e-3 * ((i % 7) as f32 - 3.0));
    rows.gaussians(gaussians)
}

impl RobustTrainer {
    /// Prepares training from a state.
    ///
    /// **Errors**: as [`Trainer::resume`].
    pub fn new(
        mode: Robust,
        state: TrainState,
        pictures: Arc<[TrainingPicture]>,
        options: TrainOptions,
    ) -> Result<Self, Error> {
        // The second model sees the same pictures in the same order, and explores in its own way.
        let gaussians = match mode {
            Robust::Dual => apart(&state.gaussians),
            Robust::Ema => state.gaussians.clone(),
        };
        let beside = TrainState { gaussians, ..state.clone() };
        let second = Trainer::resume(beside, pictures.clone(), options.clone())?;
        let first = Trainer::resume(state, pictures, options)?;
        Ok(Self { mode, first, second })
    }

    /// The plan of the first model's step, for both.
    fn draw(&mut self, plan: &Plan) -> Result<(f32, f32), Error> {
        Ok((self.first.draw(plan)?, self.second.draw(plan)?))
    }

    /// The moving average follows; what has jumped or is new is taken as it is.
    fn follow(&mut self, progress: f64) {
        let (from, to) = (&self.first.rows, &mut self.second.rows);
        if self.first.options.strategy.renumbers(self.first.step, progress) {
            *to = from.clone();
            return;
        }
        let mut followed = Rows::zeros(from.n, from.width);
        for i in 0..from.n {
            let is_new = i >= to.n || self.first.moments[0].row(i).all(|m| m == 0.0);
            let mix = |(now, before): (f32, f32)| before + (1.0 - DECAY) * (now - before);
            match is_new {
                true => followed.set_row(i, from.row(i)),
                false => followed.set_row(i, from.row(i).zip(to.row(i)).map(mix)),
            }
        }
        *to = followed;
    }
}

impl Train for RobustTrainer {
    fn step(&mut self, progress: f64) -> Result<StepReport, Error> {
        let plan = self.first.plan(progress);
        let (loss, other) = self.draw(&plan)?;
        let width = self.first.pictures[plan.picture].view.width;
        if progress >= WARM_UP {
            let residuals =
                residuals(&self.first.work.picture, &self.second.work.picture, &self.first.work.target, width);
            // In turns, so that each kind corrects the other's mistakes.
            let hard_first = self.mode == Robust::Dual || self.first.step.is_multiple_of(2);
            let (hard, soft) = (hard_mask(&residuals), soft_mask(&residuals));
            weigh(&mut self.first.work.by_picture, if hard_first { &hard } else { &soft });
            weigh(&mut self.second.work.by_picture, &soft);
        }
        agree(&mut self.first.work.by_picture, &self.first.work.picture, &self.second.work.picture);
        let report = self.first.learn(&plan, progress, loss);
        match self.mode {
            Robust::Dual => {
                agree(&mut self.second.work.by_picture, &self.second.work.picture, &self.first.work.picture);
                self.second.learn(&plan, progress, other);
            }
            Robust::Ema => {
                self.follow(progress);
                self.second.smoothing.clone_from(&self.first.smoothing);
            }
        }
        Ok(report)
    }

    fn gaussians(&self) -> Result<Gaussians, Error> {
        self.first.gaussians()
    }

    fn state(&self) -> Result<TrainState, Error> {
        self.first.state()
    }

    fn len(&self) -> usize {
        self.first.len()
    }
}

/// How doubtful each pixel is: by its difference to the photograph (the smaller one of both models: what one of them
/// explains may be there), and by that between the models; averaged over the pixels around.
fn residuals(a: &Planes<f32>, b: &Planes<f32>, target: &Planes<f32>, width: usize) -> Vec<f32> {
    let n = a[0].len();
    let far = |x: &Planes<f32>, y: &Planes<f32>, i: usize| (0..3).map(|ch| (x[ch][i] - y[ch][i]).abs()).sum::<f32>();
    let raw: Vec<f32> = (0..n).map(|i| far(a, target, i).min(far(b, target, i)) + 0.5 * far(a, b, i)).collect();
    let height = n / width.max(1);
    let smooth = |from: &[f32], step: usize, place: &dyn Fn(usize) -> (usize, usize)| -> Vec<f32> {
        let at = |i: usize| {
            let (k, count) = place(i);
            let (low, high) = (k.saturating_sub(RADIUS), (k + RADIUS + 1).min(count));
            (low..high).map(|j| from[i - k * step + j * step]).sum::<f32>() / (high - low) as f32
        };
        (0..n).map(at).collect()
    };
    let across = smooth(&raw, 1, &|i| (i % width, width));
    smooth(&across, width, &|i| (i / width, height))
}

/// The value that a part of all is below.
fn quantile(values: &[f32], part: f32) -> f32 {
    let mut sorted = values.to_vec();
    let k = ((values.len() as f32 * part) as usize).min(values.len() - 1);
    *sorted.select_nth_unstable_by(k, f32::total_cmp).1
}

/// 1 or 0: pixels far beyond the median are left out, never more than a tenth of them.
fn hard_mask(residuals: &[f32]) -> Vec<f32> {
    let limit = (DOUBTFUL * quantile(residuals, 0.5)).max(quantile(residuals, KEPT));
    residuals.iter().map(|&r| if r <= limit { 1.0 } else { 0.0 }).collect()
}

/// Between 0 and 1: the weight of Geman and McClure, of residuals in units of their doubtful size.
fn soft_mask(residuals: &[f32]) -> Vec<f32> {
    let size = (DOUBTFUL * quantile(residuals, 0.5)).max(1e-6);
    residuals.iter().map(|&r| (1.0 + (r / size).powi(2)).powi(-2)).collect()
}

fn weigh(by: &mut Planes<f32>, weights: &[f32]) {
    for plane in by {
        plane.iter_mut().zip(weights).for_each(|(by, w)| *by *= w);
    }
}

/// The derivative of the mean difference to the other model.
fn agree(by: &mut Planes<f32>, own: &Planes<f32>, other: &Planes<f32>) {
    let share = CONSISTENCY / (3 * own[0].len()) as f32;
    for ch in 0..3 {
        for i in 0..own[ch].len() {
            let d = own[ch][i] - other[ch][i];
            by[ch][i] += if d == 0.0 { 0.0 } else { d.signum() * share };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_in_one_photograph_is_left_out() {
        let n = 40;
        let plane = |x: f32| -> Planes<f32> { std::array::from_fn(|_| vec![x; n * n]) };
        let (a, mut target) = (plane(0.5), plane(0.52));
        // A square of 10 × 10 pixels that the models do not show.
        for y in 10..20 {
            for x in 10..20 {
                (0..3).for_each(|ch| target[ch][y * n + x] = 0.9);
            }
        }
        let residuals = residuals(&a, &a, &target, n);
        let (hard, soft) = (hard_mask(&residuals), soft_mask(&residuals));
        assert_eq!((hard[15 * n + 15], hard[30 * n + 30]), (0.0, 1.0));
        assert!(soft[15 * n + 15] < 0.1 && soft[30 * n + 30] > 0.85, "{} {}", soft[15 * n + 15], soft[30 * n + 30]);
    }
}
