//! A step of training on a device in two halves: what is drawn, and what is learnt from it.

use super::cameras::CameraLeaves;
use super::composite::Watch;
use super::room::Room;
use super::trainer::{DeviceTrainer, Drawn, core, optim};
use super::{DeviceOptions, GaussianVars};
use crate::rows::Rows;
use crate::train::Plan;
use crate::{Error, StepReport};
use lumigrad_core::{DType, Gradients, Tape, Tensor, Var};
use lumigrad_optim::gradient_square;

type Result<T> = std::result::Result<T, Error>;

/// A loss beside that of photographs, shape []: of Gaussians as they are drawn, with the options that they are drawn with, at a
/// step. What it gives is differentiated; an error ends the training.
pub type Term = Box<dyn Fn(&GaussianVars, &DeviceOptions, usize) -> Result<Var>>;

/// A step's picture on a tape.
pub(super) struct Recorded {
    arrays: Vec<Var>,
    leaves: CameraLeaves,
    watch: Option<Watch>,
    pub drawn: Drawn,
}

/// What a step has found on the way back.
pub(super) struct Found {
    pub gradients: Vec<Option<Tensor>>,
    pub loss: f32,
    /// Lengths of the gradient of the means, and of the others; `None`: not known yet.
    pub lengths: Option<[f64; 2]>,
}

impl Recorded {
    /// Derivatives by the arrays.
    pub fn take(&self, gradients: &mut Gradients) -> Vec<Option<Tensor>> {
        self.arrays.iter().map(|v| gradients.take(v)).collect()
    }
}

impl DeviceTrainer {
    /// Adds a loss to those of its own steps.
    pub fn with_term(mut self, term: Term) -> Self {
        self.term = Some(term);
        self
    }

    /// Draws the plan's picture on a tape, in a room where there is one.
    pub(super) fn record(&self, tape: &Tape, plan: &Plan, room: Option<&Room>) -> Result<Recorded> {
        let arrays: Vec<Var> = self.arrays.iter().map(|a| tape.variable(a.clone())).collect();
        let watch = |pulls| -> Result<Watch> {
            let zeros = Tensor::zeros(&self.device, DType::F32, &[self.arrays[0].shape()[0], 2]).map_err(core)?;
            Ok(Watch { zeros: tape.variable(zeros), pulls })
        };
        let watch = self.options.strategy.pulls().map(watch).transpose()?;
        let leaves = self.cameras.as_ref().map(|c| c.leaves(plan.picture, tape)).transpose()?.unwrap_or_default();
        let vars = GaussianVars::from_all(arrays.clone());
        let seen = (&leaves, watch.as_ref(), room);
        let drawn = self.drawn(&vars, seen, plan.picture, plan.background, plan.sh_degree)?;
        Ok(Recorded { arrays, leaves, watch, drawn })
    }

    /// Loss of a recorded step, of `colour` in the place of its own, and the same with regularisers.
    pub(super) fn loss_of(&self, recorded: &Recorded, colour: &Var, plan: &Plan) -> Result<[Var; 2]> {
        let vars = GaussianVars::from_all(recorded.arrays.clone());
        let [loss, total] = self.losses_of(&vars, &recorded.drawn, colour, (plan.picture, plan.progress))?;
        let total = match &self.cameras {
            Some(cameras) => cameras.regularised(&recorded.leaves, &total)?,
            None => total,
        };
        let total = match &self.term {
            Some(term) => {
                total.add(&term(&self.shown(&vars)?, &self.shading(plan.sh_degree), self.step)?).map_err(core)?
            }
            None => total,
        };
        Ok([loss, total])
    }

    /// Loss and lengths of gradients, in one read-back; `None` where lists did not fit into their room.
    pub(super) fn ask(&mut self, loss: &Tensor, gradients: Vec<Option<Tensor>>) -> Result<Option<Found>> {
        let Some(room) = &mut self.room else {
            let loss = loss.item().map_err(core)? as f32;
            return Ok(Some(Found { gradients, loss, lengths: None }));
        };
        let (means, others) = gradients.split_at(1);
        let squares = [gradient_square(means).map_err(optim)?, gradient_square(others).map_err(optim)?];
        let numbers: Vec<&Tensor> = std::iter::once(loss).chain(squares.iter().flatten()).collect();
        let (numbers, fits) = room.ask(&numbers).map_err(core)?;
        let mut lengths = numbers[1..].iter().map(|x| x.sqrt());
        let lengths = squares.map(|square| square.and_then(|_| lengths.next()).unwrap_or(0.0));
        Ok(fits.then_some(Found { gradients, loss: numbers[0] as f32, lengths: Some(lengths) }))
    }

    /// Makes a recorded step: pulls at means are counted, cameras and Gaussians learn, the strategy acts.
    pub(super) fn learn(
        &mut self,
        recorded: Recorded,
        gradients: &mut Gradients,
        Found { gradients: by_arrays, loss, lengths }: Found,
        plan: &Plan,
        progress: f64,
    ) -> Result<StepReport> {
        if let Some(cameras) = &mut self.cameras {
            cameras.learn(plan.picture, &recorded.leaves, gradients, progress)?;
        }
        let pulls = recorded.watch.and_then(|w| gradients.take(&w.zeros));
        if let (Some(pulls), Some(growth)) = (pulls, &mut self.growth) {
            *growth = Var::from(growth.clone()).add(&pulls.into()).map_err(core)?.tensor().clone();
        }
        self.step += 1;
        let (mean_gradient, others) = by_arrays.split_at(1);
        let (means, rest) = self.arrays.split_at_mut(1);
        let [mean_adam, adam] = &mut self.adams;
        let (mut mean, mut rest) = ([&mut means[0]], rest.iter_mut().collect::<Vec<_>>());
        match lengths {
            Some([of_means, of_others]) => {
                mean_adam.step_known(&mut mean, mean_gradient, plan.means_rate as f64, of_means).map_err(optim)?;
                adam.step_known(&mut rest, others, 1.0, of_others).map_err(optim)?;
            }
            None => {
                mean_adam.step(&mut mean, mean_gradient, plan.means_rate as f64).map_err(optim)?;
                adam.step(&mut rest, others, 1.0).map_err(optim)?;
            }
        }
        if self.options.strategy.resizes(self.step, progress) {
            let (mut rows, mut moments): (Rows<f32>, _) = self.download()?;
            self.resize(&mut rows, &mut moments, progress, plan.means_rate)?;
            self.upload(&rows, &moments)?;
        }
        self.explore(plan.means_rate)?;
        self.smooth_when_due(progress)?;
        Ok(StepReport { step: self.step, loss, n_visible: self.arrays[0].shape()[0] })
    }
}
