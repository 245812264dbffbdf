//! Levenberg–Marquardt as a [`Method`].

use super::{Method, Objective, Plan, Sample, State};
use crate::{Damping, LevenbergMarquardt, LmOptions, Result};
use lumigrad_core::{Tensor, Var};
use std::cell::RefCell;

/// Coarseness of the first steps.
const COARSEST: usize = 4;
/// A step that leaves more than this of the loss ends its coarseness.
const EXHAUSTED: f64 = 0.8;
/// The finest level has converged when a step takes no more than this fraction of the loss.
const STILL: f64 = 1e-6;

/// Levenberg–Marquardt on the objective's residuals, from coarse to fine: a linear model of pixels reaches as far as a
/// pixel. Learning rates and schedules have no meaning here.
pub struct LeastSquares {
    solver: LevenbergMarquardt,
    coarseness: usize,
    converged: bool,
}

impl LeastSquares {
    /// With the groups' bounds, and a rule for λ.
    pub fn new(plan: Plan, damping: Damping) -> Self {
        let bounds = plan.groups.iter().map(|g| g.bounds).collect();
        let separable = plan.groups.iter().map(|g| g.separable).collect();
        let reach = plan.groups.iter().map(|g| g.reach).collect();
        let options = LmOptions { bounds, separable, reach, damping, seed: plan.seed, ..LmOptions::default() };
        let max_trials = if damping == Damping::GradientNormalized { 40 } else { options.max_trials };
        let solver = LevenbergMarquardt::new(LmOptions { max_trials, ..options });
        Self { solver, coarseness: COARSEST, converged: false }
    }
}

impl Method for LeastSquares {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, _: f64) -> Result<f64> {
        let coarseness = self.coarseness;
        let parts = objective.parts();
        let objective = RefCell::new(objective);
        let loss = |values: &[Tensor]| {
            let constants: Vec<Var> = values.iter().cloned().map(Var::from).collect();
            Ok(objective.borrow_mut().loss(&constants, Sample::Batch)?.tensor().item()?)
        };
        let before = if coarseness > 0 && parts == 1 { Some(loss(values)?) } else { None };
        let residuals = |part: usize, leaves: &[Var]| objective.borrow_mut().residuals(leaves, part, coarseness);
        let step = match parts {
            1 => self.solver.step(values, |_, leaves| residuals(0, leaves))?,
            _ => self.solver.step_subsets(values, parts, residuals, loss)?,
        };
        let gone = step.previous_loss - step.loss;
        self.converged = coarseness == 0 && gone <= STILL * step.previous_loss;
        if !step.accepted || step.loss > EXHAUSTED * step.previous_loss {
            self.coarseness = coarseness.saturating_sub(1);
        }
        Ok(before.unwrap_or(step.previous_loss))
    }

    fn converged(&self) -> bool {
        self.converged
    }

    fn state(&self) -> State {
        let names = ["lambda", "growth", "steps"].map(String::from);
        let mut numbers: std::collections::BTreeMap<_, _> = names.into_iter().zip(self.solver.state()).collect();
        numbers.insert("coarseness".into(), self.coarseness as f64);
        State { numbers, ..State::default() }
    }

    fn load_state(&mut self, state: &State) {
        if !state.numbers.is_empty() {
            self.solver.load_state(["lambda", "growth", "steps"].map(|n| state.number(n)));
            self.coarseness = state.number("coarseness") as usize;
        }
    }
}
