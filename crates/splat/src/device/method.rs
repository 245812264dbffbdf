//! Training by any optimiser of `lumigrad_optim`.

use super::trainer::{DeviceTrainer, core, optim};
use crate::train::{Plan, Remembered};
use crate::{Error, Gaussians, StepReport, Train, TrainState};
use lumigrad_core::{Tensor, Var};
use lumigrad_optim::method::{self, Entry, Method, Objective, Sample, State};
use lumigrad_optim::{Error as OptimError, Residuals};

/// Pictures that stand for all of them, where a method asks for the loss of everything.
const ALL: usize = 16;

/// Trains Gaussians by a method of [`lumigrad_optim::METHODS`] that follows gradients: one picture per step, loss, rates,
/// harmonics and strategy as [`DeviceTrainer`]. What the method remembers of Gaussians goes with them, and begins anew where
/// the strategy makes new ones.
///
/// **Determinism**: as [`DeviceTrainer`].
pub struct MethodTrainer {
    trainer: DeviceTrainer,
    method: Box<dyn Method>,
}

impl MethodTrainer {
    /// Goes on from a trainer, and from what the method remembered.
    ///
    /// **Errors**: memory of the device.
    pub fn new(
        trainer: DeviceTrainer,
        entry: &Entry,
        steps: usize,
        remembered: Option<Remembered>,
    ) -> Result<Self, Error> {
        let groups = trainer.groups();
        let mut method = entry.build(method::Plan { groups, steps, seed: trainer.seed() });
        if let Some(saved) = remembered {
            let mut state = State { numbers: saved.numbers, ..State::default() };
            for (name, (shape, data)) in saved.arrays {
                let tensor = Tensor::from_slice(trainer.device(), &data, &shape).map_err(core)?;
                state.tensors.insert(name, tensor);
            }
            method.load_state(&state);
        }
        Ok(Self { trainer, method })
    }
}

/// The loss of a step.
struct StepLoss<'a> {
    trainer: &'a DeviceTrainer,
    plan: &'a Plan,
}

impl Objective for StepLoss<'_> {
    fn loss(&mut self, values: &[Var], sample: Sample) -> lumigrad_optim::Result<Var> {
        let n = self.trainer.pictures();
        let pictures: Vec<usize> = match sample {
            Sample::Batch => vec![self.plan.picture],
            Sample::All => (0..n).step_by(n.div_ceil(ALL)).collect(),
        };
        let mut sum: Option<Var> = None;
        for &picture in &pictures {
            let loss = self.trainer.losses(values, self.plan, picture);
            let [_, loss] = loss.map_err(|e| OptimError::Objective(Box::new(e)))?;
            sum = Some(match sum {
                Some(sum) => sum.add(&loss)?,
                None => loss,
            });
        }
        Ok(sum.expect("at least one picture").scale(1.0 / pictures.len() as f64)?)
    }

    fn residuals(&mut self, _: &[Var], _: usize, _: usize) -> lumigrad_optim::Result<Residuals> {
        let reason = "splats have least squares of their own: LeastSquares".into();
        Err(OptimError::Numeric { what: "residuals", reason })
    }
}

impl Train for MethodTrainer {
    fn step(&mut self, progress: f64) -> Result<StepReport, Error> {
        let plan = self.trainer.plan(progress);
        let means = plan.means_rate as f64;
        self.method.for_groups(&mut |group| {
            if group.name == "means" {
                group.rate = means;
            }
        });
        let mut arrays = self.trainer.take_arrays();
        let loss = self.method.step(&mut arrays, &mut StepLoss { trainer: &self.trainer, plan: &plan }, 1.0);
        self.trainer.put_arrays(arrays);
        let loss = loss.map_err(optim)? as f32;
        if let Some((before, rows)) = self.trainer.act(progress, plan.means_rate)? {
            self.method.resize(&rows, before).map_err(optim)?;
        }
        Ok(StepReport { step: self.trainer.steps(), loss, n_visible: self.trainer.len() })
    }

    fn gaussians(&self) -> Result<Gaussians, Error> {
        self.trainer.gaussians()
    }

    fn state(&self) -> Result<TrainState, Error> {
        let state = self.method.state();
        let mut saved = Remembered { numbers: state.numbers, ..Remembered::default() };
        for (name, tensor) in state.tensors {
            saved.arrays.insert(name, (tensor.shape().to_vec(), tensor.to_vec::<f32>().map_err(core)?));
        }
        Ok(TrainState { method: Some(saved), ..self.trainer.state()? })
    }

    fn poses(&self) -> Option<Vec<[[f64; 4]; 4]>> {
        self.trainer.poses()
    }

    fn len(&self) -> usize {
        self.trainer.len()
    }
}
