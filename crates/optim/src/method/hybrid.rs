//! One method until the loss stands still, then another.

use super::{Method, Objective, State};
use crate::{Group, Result};
use lumigrad_core::Tensor;

/// Steps over which losses are averaged.
const WINDOW: usize = 20;
/// Decrease of the average, over one window, below which the loss stands still.
const STILL: f64 = 0.02;

/// Changes to the second method, for good, when the first one has reached a plateau.
pub struct Hybrid {
    first: Box<dyn Method>,
    second: Box<dyn Method>,
    losses: Vec<f64>,
    changed: bool,
}

impl Hybrid {
    /// `first`, then `second`.
    pub fn new(first: Box<dyn Method>, second: Box<dyn Method>) -> Self {
        Self { first, second, losses: vec![], changed: false }
    }

    fn stands_still(&self) -> bool {
        let Some(start) = self.losses.len().checked_sub(2 * WINDOW) else { return false };
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (before, now) = self.losses[start..].split_at(WINDOW);
        mean(now) > (1.0 - STILL) * mean(before)
    }
}

impl Method for Hybrid {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        self.changed |= self.stands_still();
        if self.changed {
            return self.second.step(values, objective, factor);
        }
        let loss = self.first.step(values, objective, factor)?;
        self.losses.push(loss);
        if self.losses.len() > 2 * WINDOW {
            self.losses.remove(0);
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.first.for_groups(change);
    }

    fn converged(&self) -> bool {
        self.changed && self.second.converged()
    }

    fn state(&self) -> State {
        let mut all = State::default();
        all.numbers.insert("changed".into(), self.changed as u8 as f64);
        all.numbers.extend(self.losses.iter().enumerate().map(|(k, x)| (format!("loss {k:02}"), *x)));
        for (prefix, part) in [("first ", self.first.state()), ("second ", self.second.state())] {
            all.numbers.extend(part.numbers.into_iter().map(|(n, x)| (format!("{prefix}{n}"), x)));
            all.tensors.extend(part.tensors.into_iter().map(|(n, t)| (format!("{prefix}{n}"), t)));
        }
        all
    }

    fn load_state(&mut self, state: &State) {
        self.changed = state.number("changed") != 0.0;
        self.losses = (0..).map_while(|k| state.numbers.get(&format!("loss {k:02}")).copied()).collect();
        let part = |prefix: &str| State {
            numbers: state.numbers.iter().filter_map(|(n, x)| Some((n.strip_prefix(prefix)?.into(), *x))).collect(),
            tensors: state
                .tensors
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.into(), t.clone())))
                .collect(),
        };
        self.first.load_state(&part("first "));
        self.second.load_state(&part("second "));
    }
}
