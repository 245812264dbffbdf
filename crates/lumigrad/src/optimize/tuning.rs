//! Regulariser weights that tune themselves: what they do to views that are held out of training, differentiated through
//! the training's minimum.

use super::objective::{StepObjective, unwrap_objective, wrap_objective};
use super::run::Optimizer;
use crate::run::Checkpoint;
use crate::{Error, Result};
use lumigrad_core::Tensor;
use lumigrad_optim::method::{filled, reverse_mode};
use lumigrad_optim::{NeumannOptions, weight_derivative};

/// One view of so many is held out.
const HELD_OUT: usize = 8;
/// The weight where the job gives none.
const START: f64 = 1e-3;
/// Change of the weight's logarithm at the first step, and its factor where the direction turns.
const STEP: f64 = 1.5;
const TURN: f64 = 0.5;
/// The run is divided into so many parts, with a step after each but the first.
const PARTS: usize = 20;
/// Views of either sort that a step looks at.
const VIEWS: usize = 4;

/// A weight and how it moves.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The weight of textures' total variation.
    pub weight: f64,
    /// Steps done when it changed, and what it was then.
    pub history: Vec<(usize, f64)>,
    step: f64,
    direction: f64,
}

impl Tuning {
    /// A weight at its start; 0: a small one.
    pub fn new(weight: f64) -> Self {
        let weight = if weight > 0.0 { weight } else { START };
        Self { weight, history: vec![(0, weight)], step: STEP, direction: 0.0 }
    }

    /// Moves against the derivative, less far near the end of a run: what is optimised no longer follows.
    fn turn(&mut self, derivative: f64, progress: f64, iteration: usize) {
        let direction = -derivative.signum();
        if direction * self.direction < 0.0 {
            self.step *= TURN;
        }
        (self.direction, self.weight) =
            (direction, (self.weight * (direction * self.step * (1.0 - progress)).exp()).clamp(1e-8, 1e4));
        self.history.push((iteration, self.weight));
    }

    /// Adds it to a checkpoint.
    pub fn save(&self, c: &mut Checkpoint) {
        let numbers = [self.weight, self.step, self.direction].map(|x| x.to_string()).join(" ");
        c.facts.insert("tuning".into(), numbers);
    }

    /// Puts it back.
    pub fn restore(&mut self, c: &Checkpoint) {
        let text = c.facts.get("tuning").map_or("", String::as_str);
        let numbers: Vec<f64> = text.split(' ').filter_map(|x| x.parse().ok()).collect();
        if let [weight, step, direction] = numbers[..] {
            (self.weight, self.step, self.direction) = (weight, step, direction);
            self.history = vec![(c.step as usize, weight)];
        }
    }
}

impl Optimizer<'_> {
    /// Training views that are learnt from, and those that judge weights: none unless weights tune themselves.
    pub(super) fn views(&self) -> (Vec<usize>, Vec<usize>) {
        let n = self.problem.train.len();
        (0..n).partition(|k| self.tuning.is_none() || n < HELD_OUT || k % HELD_OUT != HELD_OUT / 2)
    }

    /// Refuses what cannot be tuned, before a run begins.
    pub(super) fn require_tunable(&self) -> Result<()> {
        if self.tuning.is_none() {
            return Ok(());
        }
        let refuse = |what: String| Err(Error::usage("--auto-regularisers", what, "leave it out"));
        if !self.variables.iter().any(|v| v.is_texture()) {
            return refuse("no texture is optimised, and only their smoothness has a weight".into());
        }
        match self.views().1.is_empty() {
            true => refuse(format!("it takes {HELD_OUT} training pictures or more, of which one judges")),
            false => Ok(()),
        }
    }

    /// Changes the weight when it is time to.
    pub(super) fn tune_when_due(&mut self, progress: f64) -> Result<()> {
        let part = (self.planned() / PARTS).max(1);
        if self.tuning.is_none() || self.iteration < 2 * part || !self.iteration.is_multiple_of(part) {
            return Ok(());
        }
        let derivative = self.held_out_derivative()?;
        let iteration = self.iteration;
        let Some(tuning) = self.tuning.as_mut().filter(|_| derivative != 0.0 && derivative.is_finite()) else {
            return Ok(());
        };
        tuning.turn(derivative, progress, iteration);
        // Where the weight falls, averages of the larger gradients before would hold everything still.
        if derivative > 0.0 { self.begin() } else { Ok(()) }
    }

    /// dL_v/dφ at the present state, which is taken for the training's minimum; its Hessian is JᵀJ of the residuals.
    fn held_out_derivative(&self) -> Result<f64> {
        let (learnt, judges) = self.views();
        let some = |views: Vec<usize>| -> Vec<usize> {
            let offset = self.iteration % views.len().max(1);
            (0..views.len().min(VIEWS)).map(|k| views[(offset + k) % views.len()]).collect()
        };
        let values = self.values();
        let judge = StepObjective::new(self, some(judges));
        let pictures = reverse_mode(&values, |leaves| judge.pictures(leaves).map_err(wrap_objective));
        let variation = reverse_mode(&values, |leaves| judge.variation(leaves).map_err(wrap_objective));
        let held_out = filled(&pictures.map_err(unwrap_objective)?.1, &values)?;
        let regulariser = filled(&variation.map_err(unwrap_objective)?.1, &values)?;
        let Some(jacobian) = StepObjective::new(self, some(learnt)).jacobian()? else { return Ok(0.0) };
        let product = |v: &[Tensor]| -> Result<Vec<Tensor>> { Ok(jacobian.apply_transpose(&jacobian.apply(v)?)?) };
        weight_derivative(&held_out, &regulariser, &NeumannOptions::default(), product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_move_against_the_derivative_by_steps_that_shrink_where_they_turn() {
        let mut t = Tuning::new(0.0);
        assert_eq!(t.weight, START);
        t.turn(-3.0, 0.0, 10);
        t.turn(-1e-9, 0.5, 20);
        assert!((t.weight / (START * (1.5 * STEP).exp()) - 1.0).abs() < 1e-12);
        t.turn(0.5, 0.0, 30);
        assert!((t.weight / (START * ((1.5 - TURN) * STEP).exp()) - 1.0).abs() < 1e-12);
        let mut c = Checkpoint { step: 30, ..Checkpoint::default() };
        t.save(&mut c);
        let mut other = Tuning::new(7.0);
        other.restore(&c);
        assert_eq!((other.weight, other.step, other.direction), (t.weight, t.step, t.direction));
    }
}
