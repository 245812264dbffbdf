//! Levenberg–Marquardt on Gaussians, without a matrix and without a cache: J·v is the renderer carrying tangents, Jᵀ·u its
//! reverse mode (Höllein et al. 2025, "3DGS-LM").

use super::trainer::{DeviceTrainer, core, optim};
use crate::{Error, Gaussians, StepReport, Train, TrainState};
use lumigrad_core::ops::{concat, random};
use lumigrad_core::{Tensor, Var};
use lumigrad_optim::{LevenbergMarquardt, LmOptions, Loss};

/// Pictures of a subset, and subsets of a step at most.
const SUBSET: usize = 10;
const SUBSETS: usize = 4;
/// Pictures that judge a step: no less than so many, and this part of all.
const JUDGES: usize = 4;
const JUDGED: f64 = 0.3;
const LAMBDA: f64 = 1e-2;
const INNER: usize = 8;
const PROBES: usize = 2;

/// Goes on training by least squares: the residuals are those of the loss of training, reweighted ones of L1 and √(1 − SSIM),
/// over all channels and pixels of subsets of the pictures. [`crate::LmTrainer`] has the same, faster, on the host.
///
/// **Determinism**: as the trainer it goes on from. **Cost**: a step renders the pictures of its subsets some 20 times.
pub struct LeastSquares {
    trainer: DeviceTrainer,
    solver: LevenbergMarquardt,
    loss: Loss,
}

impl LeastSquares {
    /// Goes on from a trainer, or from a state with a damping.
    ///
    /// **Errors**: none but those of names.
    pub fn new(trainer: DeviceTrainer, damping: Option<f64>) -> Result<Self, Error> {
        let options = LmOptions {
            lambda: damping.unwrap_or(LAMBDA),
            max_inner: INNER,
            probes: PROBES,
            dense_limit: 0,
            ..LmOptions::default()
        };
        let loss = Loss::from_name("l1+ssim").map_err(optim)?;
        Ok(Self { trainer, solver: LevenbergMarquardt::new(options), loss })
    }

    /// `count` pictures in an order that changes from step to step.
    fn pictures(&self, stream: u64) -> Vec<usize> {
        let seed = random::hash(random::hash(self.trainer.seed(), stream), self.trainer.steps() as u64);
        let mut order: Vec<usize> = (0..self.trainer.pictures()).collect();
        order.sort_by_key(|&i| random::hash(seed, i as u64));
        order
    }
}

impl Train for LeastSquares {
    fn step(&mut self, progress: f64) -> Result<StepReport, Error> {
        let order = self.pictures(11);
        let subsets: Vec<&[usize]> = order.chunks(SUBSET).take(SUBSETS).collect();
        let n = order.len();
        let mut judges = self.pictures(12);
        judges.truncate(((n as f64 * JUDGED) as usize).max(JUDGES).min(n));
        let mut arrays = self.trainer.take_arrays();
        let (trainer, loss) = (&self.trainer, &self.loss);
        let residuals = |subset: usize, vars: &[Var]| -> Result<Var, Error> {
            let parts = subsets[subset].iter().map(|&k| {
                let (picture, target, mask) = trainer.picture(vars, k, progress)?;
                loss.residuals(&picture, &target, mask).map_err(optim)
            });
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            concat(&parts.iter().collect::<Vec<_>>(), 0).map_err(core)
        };
        let judge = |arrays: &[Tensor]| -> Result<f64, Error> {
            let vars: Vec<Var> = arrays.iter().cloned().map(Var::from).collect();
            let mut sum = 0.0;
            for &k in &judges {
                let (picture, target, mask) = trainer.picture(&vars, k, progress)?;
                sum += loss.evaluate(&picture, &target, mask).map_err(optim)?.tensor().item().map_err(core)?;
            }
            Ok(sum / judges.len() as f64)
        };
        let found = self.solver.step_subsets(&mut arrays, subsets.len(), residuals, judge);
        self.trainer.put_arrays(arrays);
        let found = found?;
        Ok(StepReport { step: self.trainer.steps(), loss: found.loss as f32, n_visible: self.trainer.len() })
    }

    fn gaussians(&self) -> Result<Gaussians, Error> {
        self.trainer.gaussians()
    }

    fn state(&self) -> Result<TrainState, Error> {
        Ok(TrainState { damping: Some(self.solver.lambda()), ..self.trainer.state()? })
    }

    fn poses(&self) -> Option<Vec<[[f64; 4]; 4]>> {
        self.trainer.poses()
    }

    fn len(&self) -> usize {
        self.trainer.len()
    }
}
