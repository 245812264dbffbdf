//! Grokfast (Lee et al. 2024): the slow part of the gradient is amplified, μ ← 0.98μ + 0.02g, g ← g + 2μ.

use super::State;
use super::rule::Rule;
use crate::vectors::add_scaled;
use crate::{Group, Result};
use lumigrad_core::Tensor;

const MEMORY: f64 = 0.98;
const GAIN: f64 = 2.0;

/// A filter before any rule.
pub struct Grokfast {
    base: Box<dyn Rule>,
    slow: Vec<Option<Tensor>>,
}

impl Grokfast {
    /// The filter before `base`.
    pub fn new(base: Box<dyn Rule>) -> Self {
        Self { base, slow: vec![] }
    }
}

impl Rule for Grokfast {
    fn update(&mut self, values: &mut [Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<()> {
        self.slow.resize(gradients.len(), None);
        let mut filtered = gradients.to_vec();
        for (slow, gradient) in self.slow.iter_mut().zip(&mut filtered) {
            let Some(g) = gradient else { continue };
            let old = match slow.take() {
                Some(old) => old,
                None => Tensor::zeros(g.device(), g.dtype(), g.shape())?,
            };
            let change = add_scaled(std::slice::from_ref(g), -1.0, std::slice::from_ref(&old))?;
            let new = add_scaled(&[old], 1.0 - MEMORY, &change)?;
            *gradient = add_scaled(std::slice::from_ref(g), GAIN, &new)?.pop();
            *slow = new.into_iter().next();
        }
        self.base.update(values, &filtered, factor)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.base.for_groups(change);
    }

    fn state(&self) -> State {
        let mut state = self.base.state();
        for (k, slow) in self.slow.iter().enumerate() {
            state.tensors.extend(slow.clone().map(|t| (format!("grokfast#{k}"), t)));
        }
        state
    }

    fn load_state(&mut self, state: &State) {
        self.base.load_state(state);
        let known = (0..).map_while(|k| {
            let more = state
                .tensors
                .keys()
                .any(|n| n.strip_prefix("grokfast#").is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n >= k)));
            more.then(|| state.tensors.get(&format!("grokfast#{k}")).cloned())
        });
        self.slow = known.collect();
    }
}
