//! Rules that turn gradients into steps, and the method that follows one.

use super::{Method, Objective, Sample, State};
use crate::{Adam, Group, Result};
use lumigrad_core::{CallParams, Map, Tensor};

/// A recurrence that turns a gradient into a step.
pub trait Rule: Send {
    /// One step along `gradients`.
    ///
    /// # Errors
    /// When sizes do not fit.
    fn update(&mut self, values: &mut [Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<()>;

    /// Calls `change` with the settings of each group.
    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group));

    /// What it remembers.
    fn state(&self) -> State;

    /// Puts a saved state back.
    fn load_state(&mut self, state: &State);
}

/// Follows a rule with the gradient of the batch.
pub struct Plain(pub Box<dyn Rule>);

impl Method for Plain {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        let (loss, gradients) = objective.gradient(values, Sample::Batch)?;
        if loss.is_finite() {
            self.0.update(values, &gradients, factor)?;
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.0.for_groups(change);
    }

    fn state(&self) -> State {
        self.0.state()
    }

    fn load_state(&mut self, state: &State) {
        self.0.load_state(state);
    }
}

impl Rule for Adam {
    fn update(&mut self, values: &mut [Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<()> {
        let mut values: Vec<&mut Tensor> = values.iter_mut().collect();
        self.step(&mut values, gradients, factor).map(|_| ())
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.groups_mut().iter_mut().for_each(change);
    }

    fn state(&self) -> State {
        let (steps, tensors) = Adam::state(self);
        State { numbers: [("steps".to_owned(), steps as f64)].into(), tensors: tensors.into_iter().collect() }
    }

    fn load_state(&mut self, state: &State) {
        Adam::load_state(self, state.number("steps") as u32, |name| state.tensors.get(name).cloned());
    }
}

/// Moving averages of one array, by name of the average.
pub type Averages = Vec<Tensor>;

/// A rule of moving averages: a map makes new averages from the gradient and the old ones, another one steps.
pub struct Averaging {
    /// Optimised arrays.
    pub groups: Vec<Group>,
    /// Names of the averages; the last one is the second moment.
    pub names: &'static [&'static str],
    averages: Vec<Option<Averages>>,
    steps: u32,
    recurrence: Box<dyn Recurrence>,
}

/// What differs between rules of moving averages.
pub trait Recurrence: Send {
    /// Map: gradient, then the averages in order; gives the new averages. Takes [`Recurrence::constants`].
    fn averages(&self) -> Map;

    /// Map: values, the averages; gives new values. Takes rate, lower and upper bound, then the constants.
    fn values(&self) -> Map;

    /// Constants of step `t`, which counts from 1.
    fn constants(&self, group: &Group, t: u32) -> Vec<f64>;
}

impl Averaging {
    /// Zero averages.
    pub fn new(groups: Vec<Group>, names: &'static [&'static str], recurrence: Box<dyn Recurrence>) -> Self {
        Self { averages: vec![None; groups.len()], groups, names, steps: 0, recurrence }
    }
}

impl Rule for Averaging {
    fn update(&mut self, values: &mut [Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<()> {
        self.steps += 1;
        for (k, gradient) in gradients.iter().enumerate() {
            let (Some(gradient), group) = (gradient, &self.groups[k]) else { continue };
            let value = &values[k];
            let zeros = || Tensor::zeros(value.device(), value.dtype(), value.shape());
            let old = match self.averages[k].take() {
                Some(old) => old,
                None => self.names.iter().map(|_| zeros()).collect::<lumigrad_core::Result<_>>()?,
            };
            let constants = self.recurrence.constants(group, self.steps);
            let call = |real: Vec<f64>| CallParams { items: 0, real, int: vec![] };
            let inputs: Vec<&Tensor> = std::iter::once(gradient).chain(&old).collect();
            let new = self.recurrence.averages().run(&inputs, &call(constants.clone()))?;
            let mut new =
                new.into_iter().map(|t| t.reshape(value.shape())).collect::<lumigrad_core::Result<Vec<_>>>()?;
            let kept = new.clone();
            if group.uniform {
                let last = new.len() - 1;
                let largest = new[last].to_f64_vec()?.into_iter().fold(0.0, f64::max);
                new[last] = Tensor::full(value.device(), value.dtype(), value.shape(), largest)?;
            }
            let finite = |x: f64| x.clamp(-1e30, 1e30);
            let mut real = vec![group.rate * factor, finite(group.bounds.0), finite(group.bounds.1)];
            real.extend(constants);
            let inputs: Vec<&Tensor> = std::iter::once(value).chain(&new).collect();
            values[k] = self.recurrence.values().run(&inputs, &call(real))?.remove(0).reshape(values[k].shape())?;
            self.averages[k] = Some(kept);
        }
        Ok(())
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.groups.iter_mut().for_each(change);
    }

    fn state(&self) -> State {
        let mut state = State { numbers: [("steps".to_owned(), self.steps as f64)].into(), ..State::default() };
        for (group, averages) in self.groups.iter().zip(&self.averages) {
            for (name, tensor) in self.names.iter().zip(averages.iter().flatten()) {
                state.tensors.insert(format!("{}#{name}", group.name), tensor.clone());
            }
        }
        state
    }

    fn load_state(&mut self, state: &State) {
        self.steps = state.number("steps") as u32;
        for (group, averages) in self.groups.iter().zip(&mut self.averages) {
            let find = |name: &&str| state.tensors.get(&format!("{}#{name}", group.name)).cloned();
            *averages = self.names.iter().map(find).collect();
        }
    }
}
