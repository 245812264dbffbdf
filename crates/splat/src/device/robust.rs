//! Two models that must agree, on a device: [`crate::RobustTrainer`] with its masks made where pictures are drawn.

use super::step::{Found, Recorded};
use super::trainer::{DeviceTrainer, core};
use crate::robust::{CONSISTENCY, DECAY, DOUBTFUL, KEPT, RADIUS, Robust, WARM_UP, apart};
use crate::{Error, Gaussians, StepReport, Train, TrainOptions, TrainState, TrainingPicture};
use lumigrad_core::kernels::{correlate, radix_sort};
use lumigrad_core::map::{Expr, IntExpr};
use lumigrad_core::ops::{concat_tensors, slice_tensor};
use lumigrad_core::{CallParams, DType, Device, Map, Tape, Tensor, Var};

type Result<T> = std::result::Result<T, Error>;

/// Trains two models on any device, and gives the first one; as [`crate::RobustTrainer`].
pub struct DeviceRobustTrainer {
    mode: Robust,
    first: DeviceTrainer,
    second: DeviceTrainer,
}

impl DeviceRobustTrainer {
    /// Prepares training from a state.
    ///
    /// **Errors**: as [`DeviceTrainer::new`].
    pub fn new(
        mode: Robust,
        state: TrainState,
        pictures: &[TrainingPicture],
        options: TrainOptions,
        device: &Device,
    ) -> Result<Self> {
        let gaussians = match mode {
            Robust::Dual => apart(&state.gaussians),
            Robust::Ema => state.gaussians.clone(),
        };
        let first = DeviceTrainer::new(state.clone(), pictures, options, device)?;
        let second = first.beside(TrainState { gaussians, ..state })?;
        Ok(Self { mode, first, second })
    }

    /// A picture whose gradient is multiplied by weights [H, W, 1].
    fn weighed(colour: &Var, weights: &Tensor) -> lumigrad_core::Result<Var> {
        let weights = Var::from(weights.clone());
        let still = colour.stop_gradient();
        colour.sub(&still)?.mul(&weights)?.add(&still)
    }

    /// The mean difference to the other model, weighted.
    fn agree(own: &Recorded, other: &Recorded) -> lumigrad_core::Result<Var> {
        own.drawn.colour.sub(&other.drawn.colour.stop_gradient())?.abs()?.mean()?.scale(CONSISTENCY as f64)
    }

    /// The moving average follows; what has jumped or is new is taken as it is, and everything where rows were renumbered.
    fn follow(&mut self, renumbered: bool) -> Result<()> {
        let moments = self.first.moments("first");
        for ((now, before), moment) in self.first.arrays.iter().zip(&mut self.second.arrays).zip(&moments) {
            *before = match moment {
                Some(moment) if !renumbered => followed(now, before, moment).map_err(core)?,
                _ => now.clone(),
            };
        }
        Ok(())
    }
}

/// An array of the moving average after a step; rows that it lacks, and numbers without a first moment, are the model's.
fn followed(now: &Tensor, before: &Tensor, moment: &Tensor) -> lumigrad_core::Result<Tensor> {
    let map = Map::cached("splat/follow", |m| {
        let ([now], [before], [moment]) = (m.item("now"), m.item("before"), m.item("moment"));
        let rate = m.param();
        let fresh = moment.abs().less_eq(0.0);
        m.output("followed", &[fresh.select(now, before + rate * (now - before))]);
    });
    let (rows, old) = (now.shape()[0], before.shape()[0]);
    let before = concat_tensors(&[before, &slice_tensor(now, 0, old.min(rows), rows)?], 0)?;
    let [flat_now, before, moment] = [now, &before, moment].map(|t| t.reshape(&[t.len(), 1]));
    let rate = CallParams { items: 0, real: vec![f64::from(1.0 - DECAY)], int: vec![] };
    map.run(&[&flat_now?, &before?, &moment?], &rate)?.remove(0).reshape(now.shape())
}

impl Train for DeviceRobustTrainer {
    fn step(&mut self, progress: f64) -> Result<StepReport> {
        let plan = self.first.plan(progress);
        let tape = Tape::new();
        let own = self.first.record(&tape, &plan, None)?;
        let other = self.second.record(&tape, &plan, None)?;
        let mut colours = [own.drawn.colour.clone(), other.drawn.colour.clone()];
        if progress >= WARM_UP {
            let doubts =
                doubts(own.drawn.colour.tensor(), other.drawn.colour.tensor(), &own.drawn.target).map_err(core)?;
            let [hard, soft] = masks(&doubts).map_err(core)?;
            // In turns, so that each kind corrects the other's mistakes.
            let hard_first = self.mode == Robust::Dual || self.first.steps().is_multiple_of(2);
            let weights = [if hard_first { &hard } else { &soft }, &soft];
            for (colour, weights) in colours.iter_mut().zip(weights) {
                *colour = Self::weighed(colour, weights).map_err(core)?;
            }
        }
        let [loss, total] = self.first.loss_of(&own, &colours[0], &plan)?;
        let mut total = total.add(&Self::agree(&own, &other).map_err(core)?).map_err(core)?;
        if self.mode == Robust::Dual {
            let [_, second] = self.second.loss_of(&other, &colours[1], &plan)?;
            let second = second.add(&Self::agree(&other, &own).map_err(core)?).map_err(core)?;
            total = total.add(&second).map_err(core)?;
        }
        let mut gradients = tape.backward(&total).map_err(core)?;
        let loss = loss.tensor().item().map_err(core)? as f32;
        let found = Found { gradients: own.take(&mut gradients), loss, lengths: None };
        let report = self.first.learn(own, &mut gradients, found, &plan, progress)?;
        match self.mode {
            Robust::Dual => {
                let found = Found { gradients: other.take(&mut gradients), loss, lengths: None };
                self.second.learn(other, &mut gradients, found, &plan, progress)?;
            }
            Robust::Ema => {
                let renumbered = self.first.options.strategy.renumbers(self.first.steps(), progress);
                self.follow(renumbered)?;
                self.second.smooth_as(&self.first);
            }
        }
        Ok(report)
    }

    fn gaussians(&self) -> Result<Gaussians> {
        self.first.gaussians()
    }

    fn state(&self) -> Result<TrainState> {
        self.first.state()
    }

    fn len(&self) -> usize {
        self.first.len()
    }
}

/// How doubtful each pixel is, [H, W, 1], of pictures [H, W, 3]: as on the host.
fn doubts(a: &Tensor, b: &Tensor, target: &Tensor) -> lumigrad_core::Result<Tensor> {
    let &[height, width, _] = a.shape() else { unreachable!("pictures have three dimensions") };
    let map = Map::cached("splat/doubts", |m| {
        let (a, b, target) = (m.item::<3>("a"), m.item::<3>("b"), m.item::<3>("target"));
        let far = |x: [Expr; 3], y: [Expr; 3]| (x[0] - y[0]).abs() + (x[1] - y[1]).abs() + (x[2] - y[2]).abs();
        m.output("doubts", &[far(a, target).min(far(b, target)) + 0.5 * far(a, b)]);
    });
    let raw = map.run(&[a, b, target], &CallParams::default())?.remove(0).reshape(&[height, width, 1])?;
    let ones = Tensor::full(a.device(), a.dtype(), &[2 * RADIUS + 1], 1.0)?;
    let across = correlate(&raw, &ones, 1, RADIUS, width)?;
    let sums = correlate(&across, &ones, 0, RADIUS, height)?.reshape(&[height * width, 1])?;
    let map = Map::cached("splat/mean doubts", |m| {
        let [sum] = m.item("sums");
        let (width, height, radius) = (m.int_param(), m.int_param(), m.int_param());
        let y = m.index().quotient(width);
        let x = m.index() - y * width;
        let count = |k: IntExpr, n: IntExpr| (k + radius + 1).min(n) - (k - radius).max(0);
        let pixels = (count(x, width) * count(y, height)).to_real();
        m.output("means", &[sum / pixels]);
    });
    let int = [width, height, RADIUS].map(|n| n as i32).to_vec();
    let means = map.run(&[&sums], &CallParams { items: 0, real: vec![], int })?.remove(0);
    means.reshape(&[height, width, 1])
}

/// Weights of pixels [H, W, 1]: 1 or 0, and the weight of Geman and McClure; as on the host.
fn masks(doubts: &Tensor) -> lumigrad_core::Result<[Tensor; 2]> {
    let (n, shape) = (doubts.len(), doubts.shape());
    let flat = doubts.cast(DType::F32)?.reshape(&[n])?;
    // Doubts are positive: their bits are in the order of their values.
    let order = radix_sort(&flat.bitcast_u32()?, None, 32)?.payload;
    let quantiles = Map::cached("splat/quantiles", |m| {
        let (order, doubts) = (m.table_int::<1>("order"), m.table::<1>("doubts"));
        let [median, kept] = [m.int_param(), m.int_param()].map(|k| doubts.fetch(order.fetch(k)[0])[0]);
        m.output("quantiles", &[median, kept]);
    });
    let place = |part: f32| ((n as f32 * part) as usize).min(n - 1) as i32;
    let call = CallParams { items: 1, real: vec![], int: vec![place(0.5), place(KEPT)] };
    let column = doubts.reshape(&[n, 1])?;
    let quantiles = quantiles.run(&[&order, &column], &call)?.remove(0);
    let weights = Map::cached("splat/masks", |m| {
        let ([doubt], [median, kept]) = (m.item("doubts"), m.uniform::<2>("quantiles"));
        let limit = (f64::from(DOUBTFUL) * median).max(kept);
        m.output("hard", &[doubt.less_eq(limit).select(1.0, 0.0)]);
        let size = (f64::from(DOUBTFUL) * median).max(1e-6);
        m.output("soft", &[1.0 / (1.0 + (doubt / size).square()).square()]);
    });
    let mut weights = weights.run(&[&column, &quantiles], &CallParams::default())?;
    let soft = weights.remove(1).reshape(shape)?;
    Ok([weights.remove(0).reshape(shape)?, soft])
}
