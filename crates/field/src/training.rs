//! Steps of Adam on a field's parameters that notice when they diverge.

use crate::{Error, Parameter, Result};
use lumigrad_core::{Tape, Tensor, Var};
use lumigrad_optim::{Adam, Clip, Group};

/// Steps between states that can be gone back to.
const KEEP_EVERY: usize = 50;
/// A loss so many times its average has diverged, and so has an average so many times the least one of the run.
const DIVERGED: [f64; 2] = [1e3, 100.0];
/// Weight of a step in that average.
const SHARE: f64 = 0.05;
/// States are good while the average is at most so many times the least one.
const GOOD: f64 = 3.0;
/// Times that a run is taken back before it is given up.
const MOST_RETURNS: u32 = 12;

/// Settings of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate of networks, before each array's own factor.
    pub rate: f64,
    /// Learning rate of grids.
    pub table_rate: f64,
    /// Longest gradient; longer ones are scaled down.
    pub clip: Option<f64>,
}

/// A training: parameters, and what Adam keeps of them.
pub struct Training {
    parameters: Vec<Parameter>,
    rates: Rates,
    adam: Adam,
    /// Factor of all rates, halved at each return.
    slowed: f64,
    returns: u32,
    average: Option<f64>,
    /// The least average of the run.
    least: f64,
    steps: usize,
    good: Option<Good>,
}

/// A state that can be gone back to.
struct Good {
    values: Vec<Tensor>,
    adam: (u32, Vec<(String, Tensor)>),
}

/// What a training is resumed from.
#[derive(Clone, Debug)]
pub struct State {
    /// Parameters and moments by name.
    pub arrays: Vec<(String, Tensor)>,
    /// Numbers by name.
    pub numbers: Vec<(&'static str, f64)>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The loss before it.
    pub loss: f64,
    /// The run had diverged: parameters are those of the last good state, and rates half of what they were.
    pub returned: bool,
}

impl Training {
    /// From parameters at their start.
    pub fn new(parameters: Vec<Parameter>, rates: Rates) -> Self {
        let adam = Self::adam(&parameters, &rates);
        Self {
            parameters,
            rates,
            adam,
            slowed: 1.0,
            returns: 0,
            average: None,
            least: f64::INFINITY,
            steps: 0,
            good: None,
        }
    }

    fn adam(parameters: &[Parameter], rates: &Rates) -> Adam {
        let group = |p: &Parameter| {
            let plain = Group::new(p.name.clone(), p.rate * if p.sparse { rates.table_rate } else { rates.rate });
            // As instant-ngp has them: rows that are seen seldom have small gradients.
            if p.sparse { Group { betas: (0.9, 0.99), epsilon: 1e-15, masked: true, ..plain } } else { plain }
        };
        let groups = parameters.iter().map(group).collect();
        Adam::new(groups).with_clip(Clip { norm: rates.clip, value: None })
    }

    /// Goes on with other parameters, of which nothing is remembered.
    pub fn replace(&mut self, parameters: Vec<Parameter>) {
        self.adam = Self::adam(&parameters, &self.rates);
        self.parameters = parameters;
        self.good = None;
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Values of the parameters.
    pub fn values(&self) -> Vec<Tensor> {
        self.parameters.iter().map(|p| p.value.clone()).collect()
    }

    /// Steps done.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// One step with all rates times `factor`, along the gradient of a loss of the recorded parameters.
    ///
    /// A loss or a gradient that is not finite, a loss far above its average, or an average far above the least one takes
    /// the run back to the last good state and halves the rates.
    ///
    /// # Errors
    /// Those of the loss; a run that diverges again and again.
    pub fn step<E: From<Error>>(
        &mut self,
        factor: f64,
        loss: impl FnOnce(&[Var]) -> std::result::Result<Var, E>,
    ) -> std::result::Result<Step, E> {
        let tape = Tape::new();
        let vars: Vec<Var> = self.parameters.iter().map(|p| tape.variable(p.value.clone())).collect();
        let loss = loss(&vars)?;
        Ok(self.follow(&tape, &vars, &loss, factor)?)
    }

    /// Counts a step that was made elsewhere, of what is no parameter here.
    pub fn pass(&mut self, loss: f64) -> Step {
        self.steps += 1;
        Step { loss, returned: false }
    }

    fn follow(&mut self, tape: &Tape, vars: &[Var], loss: &Var, factor: f64) -> Result<Step> {
        let value = loss.tensor().item()?;
        let average = self.average.map_or(value, |a| a + SHARE * (value - a));
        let jumped = self.average.is_some_and(|a| value > DIVERGED[0] * a.max(1e-9));
        if !value.is_finite() || jumped || average > DIVERGED[1] * self.least.max(1e-9) {
            return self.go_back(value);
        }
        if self.steps.is_multiple_of(KEEP_EVERY) && (self.good.is_none() || average <= GOOD * self.least) {
            self.good = Some(Good { values: self.values(), adam: self.adam.state() });
        }
        let mut gradients = tape.backward(loss)?;
        let gradients: Vec<Option<Tensor>> = vars.iter().map(|v| gradients.take(v)).collect();
        let mut values: Vec<&mut Tensor> = self.parameters.iter_mut().map(|p| &mut p.value).collect();
        let info = self.adam.step(&mut values, &gradients, factor * self.slowed)?;
        if info.skipped {
            return self.go_back(value);
        }
        self.average = Some(average);
        self.least = self.least.min(average);
        self.steps += 1;
        Ok(Step { loss: value, returned: false })
    }

    fn go_back(&mut self, loss: f64) -> Result<Step> {
        self.returns += 1;
        let Some(good) = self.good.as_ref().filter(|_| self.returns <= MOST_RETURNS) else {
            return Err(Error::Diverged { step: self.steps, loss, returns: self.returns - 1 });
        };
        for (parameter, value) in self.parameters.iter_mut().zip(&good.values) {
            parameter.value = value.clone();
        }
        let (steps, tensors) = &good.adam;
        let take = |name: &str| tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        self.adam.load_state(*steps, take);
        self.slowed *= 0.5;
        // What is gone back to is about as good as the best.
        self.average = self.average.map(|a| a.min(GOOD * self.least));
        self.steps += 1;
        Ok(Step { loss, returned: true })
    }

    /// What a resumed training needs.
    pub fn state(&self) -> State {
        let (adam_steps, mut arrays) = self.adam.state();
        arrays.extend(self.parameters.iter().map(|p| (p.name.clone(), p.value.clone())));
        let numbers = vec![
            ("adam_steps", adam_steps as f64),
            ("slowed", self.slowed),
            ("returns", self.returns as f64),
            ("average", self.average.unwrap_or(-1.0)),
            ("least", self.least),
            ("steps", self.steps as f64),
        ];
        State { arrays, numbers }
    }

    /// Puts a state back: `array` and `number` find them by name.
    ///
    /// # Errors
    /// A parameter that is missing or of another size.
    pub fn load_state(
        &mut self,
        mut array: impl FnMut(&str, &[usize]) -> Option<Tensor>,
        number: impl Fn(&str) -> Option<f64>,
    ) -> Result<()> {
        let shapes: Vec<(String, Vec<usize>)> =
            self.parameters.iter().map(|p| (p.name.clone(), p.value.shape().to_vec())).collect();
        for parameter in &mut self.parameters {
            let missing = || Error::File(format!("the checkpoint has no {:?} of this size", parameter.name));
            parameter.value = array(&parameter.name, parameter.value.shape()).ok_or_else(missing)?;
        }
        let take = |name: &str| {
            let (owner, _) = name.split_once('#')?;
            let (_, shape) = shapes.iter().find(|(n, _)| n == owner)?;
            array(name, shape)
        };
        self.adam.load_state(number("adam_steps").unwrap_or(0.0) as u32, take);
        self.slowed = number("slowed").unwrap_or(1.0);
        self.returns = number("returns").unwrap_or(0.0) as u32;
        self.average = number("average").filter(|a| *a >= 0.0);
        self.least = number("least").unwrap_or(f64::INFINITY);
        self.steps = number("steps").unwrap_or(0.0) as usize;
        Ok(())
    }
}
