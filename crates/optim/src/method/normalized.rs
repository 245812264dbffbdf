//! Steps of a fixed length along the gradient.

use super::{Method, Objective, Sample, State};
use crate::vectors::{add_scaled, dot, filled};
use crate::{Group, Result};
use lumigrad_core::{Tensor, Var};

/// θ ← θ − s·d/‖d‖ per group, s such that the root mean square of the elements that move is the group's rate; within
/// bounds.
pub fn normalized_step(groups: &[Group], values: &mut [Tensor], d: &[Tensor], factor: f64) -> Result<()> {
    for ((group, value), d) in groups.iter().zip(values).zip(d) {
        let squares = dot(std::slice::from_ref(d), std::slice::from_ref(d))?;
        if squares <= 0.0 || !squares.is_finite() {
            continue;
        }
        let moving = d.to_f64_vec()?.iter().filter(|x| **x != 0.0).count();
        let size = group.rate * factor * (moving as f64 / squares).sqrt();
        *value = within(group, add_scaled(std::slice::from_ref(value), -size, std::slice::from_ref(d))?.remove(0))?;
    }
    Ok(())
}

/// A value within its group's bounds.
pub fn within(group: &Group, value: Tensor) -> Result<Tensor> {
    let (lo, hi) = (group.bounds.0.max(-1e30), group.bounds.1.min(1e30));
    Ok(Var::from(value).clamp(lo, hi)?.tensor().clone())
}

/// SPIDER (Fang et al. 2018) with normalised steps: every tenth step v = ∇f over all data, else
/// v ← ∇f_S(θₖ) − ∇f_S(θₖ₋₁) + v with the same sample S.
pub struct Spider {
    groups: Vec<Group>,
    estimate: Vec<Tensor>,
    previous: Vec<Tensor>,
    steps: u64,
}

const PERIOD: u64 = 10;

impl Spider {
    /// Starts with a pass over all data.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups, estimate: vec![], previous: vec![], steps: 0 }
    }
}

impl Method for Spider {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        let loss;
        // Where a batch is everything there is nothing to estimate.
        if self.steps.is_multiple_of(PERIOD) || self.estimate.is_empty() || objective.is_whole() {
            let (value, gradient) = objective.gradient(values, Sample::All)?;
            (loss, self.estimate) = (value, filled(&gradient, values)?);
        } else {
            let (value, here) = objective.gradient(values, Sample::Batch)?;
            let (_, there) = objective.gradient(&self.previous, Sample::Batch)?;
            let change = add_scaled(&filled(&here, values)?, -1.0, &filled(&there, values)?)?;
            (loss, self.estimate) = (value, add_scaled(&self.estimate, 1.0, &change)?);
        }
        self.steps += 1;
        self.previous = values.to_vec();
        if loss.is_finite() {
            normalized_step(&self.groups, values, &self.estimate, factor)?;
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.groups.iter_mut().for_each(change);
    }

    fn resize(&mut self, _rows: &[Option<usize>], _before: usize) -> Result<()> {
        // The estimate was of another function: begin with all data again.
        (self.estimate, self.previous, self.steps) = (vec![], vec![], 0);
        Ok(())
    }

    fn state(&self) -> State {
        let mut state = State { numbers: [("steps".to_owned(), self.steps as f64)].into(), ..State::default() };
        for (name, list) in [("estimate", &self.estimate), ("previous", &self.previous)] {
            state.tensors.extend(list.iter().enumerate().map(|(k, t)| (format!("{name}#{k}"), t.clone())));
        }
        state
    }

    fn load_state(&mut self, state: &State) {
        self.steps = state.number("steps") as u64;
        let list = |name: &str| (0..).map_while(|k| state.tensors.get(&format!("{name}#{k}")).cloned()).collect();
        (self.estimate, self.previous) = (list("estimate"), list("previous"));
    }
}
