//! Forward gradients (Baydin et al. 2022; Fournier et al. 2023): directional derivatives along random directions u instead
//! of reverse mode, n/k Σ (∇f·u)u over k orthonormal directions in n unknowns: unbiased, and exact for k = n. Its
//! variance grows with the unknowns: a baseline for a handful of them.

use super::rule::Rule;
use super::{Method, Objective, Sample, State};
use crate::vectors::{add_scaled, dot, scaled, zeros_like};
use crate::{Group, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tape, Tensor, Var};

/// Directions per step at most.
const DIRECTIONS: usize = 8;

/// Random directions, followed by `base`. Cost: one forward-mode pass each.
pub struct ForwardGradient {
    base: Box<dyn Rule>,
    seed: u64,
    steps: u64,
}

impl ForwardGradient {
    /// Forward gradients for `base`.
    pub fn new(base: Box<dyn Rule>, seed: u64) -> Self {
        Self { base, seed, steps: 0 }
    }

    /// Orthonormal random directions.
    fn directions(&self, like: &[Tensor]) -> Result<Vec<Vec<Tensor>>> {
        let n: usize = like.iter().map(Tensor::len).sum();
        let mut all: Vec<Vec<Tensor>> = vec![];
        for d in 0..DIRECTIONS.min(n) {
            let mut u = like
                .iter()
                .enumerate()
                .map(|(k, t)| self.normal(((k as u64) << 8) | d as u64, t))
                .collect::<Result<Vec<_>>>()?;
            for other in &all {
                u = add_scaled(&u, -dot(&u, other)?, other)?;
            }
            all.push(scaled(1.0 / dot(&u, &u)?.sqrt().max(1e-30), &u)?);
        }
        Ok(all)
    }

    fn normal(&self, stream: u64, like: &Tensor) -> Result<Tensor> {
        let stream = random::hash(self.seed ^ (stream << 32), self.steps);
        let normal: Vec<f64> = (0..like.len() as u64).map(|i| random::normal(stream, i)).collect();
        Ok(Tensor::from_slice(&Device::cpu(), &normal, like.shape())?.cast(like.dtype())?.to_device(like.device())?)
    }
}

impl Method for ForwardGradient {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        let tape = Tape::new();
        let leaves: Vec<Var> = values.iter().map(|t| tape.variable(t.clone())).collect();
        let loss = objective.loss(&leaves, Sample::Batch)?;
        let jacobian = tape.linearize(&loss, &leaves.iter().collect::<Vec<_>>())?;
        let directions = self.directions(values)?;
        let n: usize = values.iter().map(Tensor::len).sum();
        let weight = n as f64 / directions.len().max(1) as f64;
        let mut sum = zeros_like(values)?;
        for u in &directions {
            sum = add_scaled(&sum, weight * jacobian.apply(u)?.item()?, u)?;
        }
        let gradients: Vec<Option<Tensor>> = sum.into_iter().map(Some).collect();
        self.steps += 1;
        let loss = loss.tensor().item()?;
        if loss.is_finite() {
            self.base.update(values, &gradients, factor)?;
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.base.for_groups(change);
    }

    fn state(&self) -> State {
        let mut state = self.base.state();
        state.numbers.insert("directions".into(), self.steps as f64);
        state
    }

    fn load_state(&mut self, state: &State) {
        self.steps = state.number("directions") as u64;
        self.base.load_state(state);
    }
}
