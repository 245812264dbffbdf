//! Levenberg–Marquardt over matrix-free Jacobians.
//!
//! Minimises L(θ) = ½‖r(θ)‖² by steps (JᵀJ + λD)Δ = −Jᵀr with D = diag(JᵀJ), so that the steps do not depend on the
//! units of the parameters. Many parameters: conjugate gradients with one forward and one reverse pass per iteration;
//! few: the matrix in full. λ follows the ratio of actual and predicted decrease (Nielsen's rule, in Madsen, Nielsen &
//! Tingleff 2004, *Methods for non-linear least squares problems*, §3.2).

mod covariance;
mod dense;
mod subsets;

pub use covariance::{Covariance, MAX_COVARIANCE_PARAMETERS, covariance};

use dense::Matrix;

use crate::vectors::{add_product, add_scaled, dot, flatten, product, unflatten, zeros_like};
use crate::{Error, Result};
use lumigrad_core::{CallParams, Jacobian, Map, Tape, Tensor, Var};

/// λ stays within these.
const LAMBDA_RANGE: (f64, f64) = (1e-15, 1e15);
/// D is at least this fraction of its largest element within a tensor: estimates may come out near zero.
const DIAGONAL_FLOOR: f64 = 1e-6;

/// Settings of [`LevenbergMarquardt`].
#[derive(Clone, Debug)]
pub struct LmOptions {
    /// λ of the first step.
    pub lambda: f64,
    /// Trial steps per iteration at most.
    pub max_trials: usize,
    /// Iterations of conjugate gradients per trial at most.
    pub max_inner: usize,
    /// Conjugate gradients end when the preconditioned residual has shrunk by this factor.
    pub inner_tolerance: f64,
    /// Up to this many parameter elements JᵀJ is formed.
    pub dense_limit: usize,
    /// Random probes that estimate diag(JᵀJ) where it is not formed.
    pub probes: usize,
    /// Seed of the probes.
    pub seed: u64,
    /// Bounds of each parameter tensor; empty: none.
    pub bounds: Vec<(f64, f64)>,
}

impl Default for LmOptions {
    fn default() -> Self {
        Self {
            lambda: 1e-3,
            max_trials: 10,
            max_inner: 30,
            inner_tolerance: 1e-2,
            dense_limit: 32,
            probes: 4,
            seed: 0,
            bounds: vec![],
        }
    }
}

/// What an iteration did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LmStep {
    /// ½‖r‖² before.
    pub previous_loss: f64,
    /// ½‖r‖² after (the same when no trial was accepted).
    pub loss: f64,
    /// A trial was accepted.
    pub accepted: bool,
    /// Trials, the accepted one included.
    pub trials: usize,
    /// Iterations of conjugate gradients, or 0 with the full matrix.
    pub inner_iterations: usize,
    /// Damping of the last trial.
    pub lambda: f64,
    /// Actual over predicted decrease of the last trial.
    pub gain: f64,
    /// Length of Δ in units of D: √(ΔᵀDΔ).
    pub step_norm: f64,
}

/// Levenberg–Marquardt; keeps λ between iterations.
///
/// ```
/// use lumigrad_core::{Device, Tensor};
/// use lumigrad_optim::{LevenbergMarquardt, LmOptions};
/// # fn main() -> lumigrad_optim::Result<()> {
/// let mut lm = LevenbergMarquardt::new(LmOptions::default());
/// let mut x = [Tensor::from_slice(&Device::cpu(), &[3.0f64], &[1])?];
/// for _ in 0..10 {
///     lm.step(&mut x, |_, x| lumigrad_optim::Result::Ok(x[0].square()?.offset(-2.0)?))?;
/// }
/// assert!((x[0].item()? - 2f64.sqrt()).abs() < 1e-12);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LevenbergMarquardt {
    options: LmOptions,
    lambda: f64,
    growth: f64,
    steps: u64,
}

/// The linearised problem of one iteration.
struct System<'a> {
    jacobian: &'a Jacobian,
    gradient: Vec<Tensor>,
    diagonal: Vec<Tensor>,
    /// 1 where a parameter may move, 0 where it presses against a bound or nothing depends on it.
    free: Vec<Tensor>,
    normal: Option<Matrix>,
}

impl LevenbergMarquardt {
    /// A solver at its first λ.
    pub fn new(options: LmOptions) -> Self {
        Self { lambda: options.lambda, options, growth: 2.0, steps: 0 }
    }

    /// The present damping.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// λ, its growth factor and the step counter, for checkpoints.
    pub fn state(&self) -> [f64; 3] {
        [self.lambda, self.growth, self.steps as f64]
    }

    /// Puts a saved state back.
    pub fn load_state(&mut self, [lambda, growth, steps]: [f64; 3]) {
        (self.lambda, self.growth, self.steps) = (lambda, growth, steps as u64);
    }

    /// One iteration: linearises, then tries steps with growing λ until one lowers ½‖r‖². Parameters change only when
    /// a trial is accepted; those on which no residual depends keep still.
    ///
    /// `residuals` gives r of any shape; it must be the same function in each call (the same views, the same random
    /// numbers), or the gain ratio means nothing.
    ///
    /// **Cost**: one forward pass and, per trial, a forward and a reverse pass per inner iteration, plus a forward pass.
    ///
    /// # Errors
    /// When r is not finite at the start; and those of `residuals`.
    pub fn step<E: From<Error>>(
        &mut self,
        parameters: &mut [Tensor],
        residuals: impl Fn(&Tape, &[Var]) -> std::result::Result<Var, E>,
    ) -> std::result::Result<LmStep, E> {
        let tape = Tape::new();
        let variables: Vec<Var> = parameters.iter().map(|t| tape.variable(t.clone())).collect();
        let residual = residuals(&tape, &variables)?;
        if !residual.is_recorded() {
            let loss = half_square(residual.tensor())?;
            return Ok(LmStep { previous_loss: loss, loss, ..LmStep::default() });
        }
        let jacobian = tape.linearize(&residual, &variables.iter().collect::<Vec<_>>()).map_err(Error::from)?;
        let previous_loss = half_square(residual.tensor())?;
        if !previous_loss.is_finite() {
            return Err(numeric("the residuals are not finite at the start").into());
        }
        let system = self.system(&jacobian, parameters)?;
        self.steps += 1;
        let mut report = LmStep { previous_loss, loss: previous_loss, ..LmStep::default() };
        while report.trials < self.options.max_trials && !report.accepted {
            report.trials += 1;
            report.lambda = self.lambda;
            let trial = self.propose(&system, parameters, &mut report)?;
            let Some((next, predicted)) = trial else {
                self.reject();
                continue;
            };
            if predicted <= 0.0 || predicted.is_nan() {
                break; // at a minimum, to rounding
            }
            let constants: Vec<Var> = next.iter().cloned().map(Var::from).collect();
            let loss = half_square(residuals(&Tape::new(), &constants)?.tensor())?;
            report.gain = (previous_loss - loss) / predicted;
            if report.gain > 0.0 {
                parameters.clone_from_slice(&next);
                report.loss = loss;
                report.accepted = true;
                self.accept(report.gain);
            } else {
                self.reject(); // also when the loss is not a number
            }
        }
        Ok(report)
    }

    fn accept(&mut self, gain: f64) {
        let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
        self.lambda = (self.lambda * factor).clamp(LAMBDA_RANGE.0, LAMBDA_RANGE.1);
        self.growth = 2.0;
    }

    fn reject(&mut self) {
        self.lambda = (self.lambda * self.growth).clamp(LAMBDA_RANGE.0, LAMBDA_RANGE.1);
        self.growth *= 2.0;
    }

    fn bounds(&self, k: usize) -> (f64, f64) {
        let (lo, hi) = self.options.bounds.get(k).copied().unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        // f32 devices have no infinities that arithmetic is sure to keep.
        (lo.max(-1e30), hi.min(1e30))
    }

    fn system<'a>(&self, jacobian: &'a Jacobian, parameters: &[Tensor]) -> Result<System<'a>> {
        let gradient = jacobian.apply_transpose(jacobian.value())?;
        let n: usize = parameters.iter().map(Tensor::len).sum();
        let (normal, raw, floor) = if n <= self.options.dense_limit {
            let normal = Matrix::normal(jacobian, parameters)?;
            let diagonal = unflatten(&normal.diagonal(), parameters)?;
            (Some(normal), diagonal, 0.0)
        } else {
            let seed = self.options.seed.wrapping_add(self.steps.wrapping_mul(1 << 20));
            (None, jacobian.diagonal(self.options.probes, seed)?, DIAGONAL_FLOOR)
        };
        let map = Map::cached("optim/lm_diagonal", |m| {
            let ([d], [g], [x]) = (m.item("diagonal"), m.item("gradient"), m.item("parameters"));
            let [floor, lo, hi] = std::array::from_fn(|_| m.param());
            let d = d.max(floor);
            let outward = x.less_eq(lo).and(g.greater(0.0)).or(hi.less_eq(x).and(g.less(0.0)));
            let moves = d.greater(0.0).and(outward.not());
            m.output("diagonal", &[d]);
            m.output("free", &[moves.select(1.0, 0.0)]);
        });
        let (mut diagonal, mut free) = (vec![], vec![]);
        for (k, t) in parameters.iter().enumerate() {
            let largest = if floor > 0.0 { raw[k].to_f64_vec()?.into_iter().fold(0.0, f64::max) } else { 0.0 };
            let (lo, hi) = self.bounds(k);
            let call = CallParams { items: 0, real: vec![floor * largest, lo, hi], int: vec![] };
            let mut out = map.run(&[&raw[k], &gradient[k], t], &call)?;
            free.push(out.remove(1).reshape(t.shape())?);
            diagonal.push(out.remove(0).reshape(t.shape())?);
        }
        Ok(System { jacobian, gradient, diagonal, free, normal })
    }

    /// Parameters of a trial, and the decrease that the linear model predicts; `None` when λ is too small for the
    /// factorisation.
    fn propose(
        &self,
        system: &System,
        parameters: &[Tensor],
        report: &mut LmStep,
    ) -> Result<Option<(Vec<Tensor>, f64)>> {
        let delta = match &system.normal {
            Some(normal) => {
                let fixed: Vec<bool> = flatten(&system.free)?.iter().map(|f| *f == 0.0).collect();
                let Some(factor) = normal.factor(self.lambda, &fixed) else { return Ok(None) };
                let right: Vec<f64> = flatten(&product(-1.0, &system.gradient, &system.free)?)?;
                unflatten(&factor.solve(&right), parameters)?
            }
            None => {
                let (delta, iterations) = self.conjugate_gradients(system)?;
                report.inner_iterations += iterations;
                delta
            }
        };
        let mut next = add_scaled(parameters, 1.0, &delta)?;
        for (k, t) in next.iter_mut().enumerate().filter(|(k, _)| *k < self.options.bounds.len()) {
            let (lo, hi) = self.bounds(k);
            *t = Var::from(t.clone()).clamp(lo, hi)?.tensor().clone();
        }
        let delta = add_scaled(&next, -1.0, parameters)?;
        report.step_norm = dot(&delta, &product(1.0, &delta, &system.diagonal)?)?.sqrt();
        let image = [system.jacobian.apply(&delta)?];
        let predicted = -dot(&system.gradient, &delta)? - 0.5 * dot(&image, &image)?;
        Ok(Some((next, predicted)))
    }

    /// Solves (JᵀJ + λD)Δ = −g over the free parameters, preconditioned by (1 + λ)D. Gives Δ and the iterations.
    fn conjugate_gradients(&self, system: &System) -> Result<(Vec<Tensor>, usize)> {
        let map = Map::cached("optim/lm_preconditioner", |m| {
            let ([d], [free], damped) = (m.item("diagonal"), m.item("free"), m.param());
            let moves = free.greater(0.5);
            m.output("inverse", &[moves.select(1.0 / (damped * moves.select(d, 1.0)), 0.0)]);
        });
        let call = CallParams { items: 0, real: vec![1.0 + self.lambda], int: vec![] };
        let inverse = system
            .diagonal
            .iter()
            .zip(&system.free)
            .map(|(d, f)| Ok(map.run(&[d, f], &call)?.remove(0).reshape(d.shape())?))
            .collect::<Result<Vec<_>>>()?;
        let mut x = zeros_like(&system.gradient)?;
        let mut r = product(-1.0, &system.gradient, &system.free)?;
        let mut z = product(1.0, &inverse, &r)?;
        let mut p = z.clone();
        let mut rz = dot(&r, &z)?;
        let goal = rz * self.options.inner_tolerance.powi(2);
        for iteration in 0..self.options.max_inner {
            if rz <= 0.0 || rz.is_nan() {
                return Ok((x, iteration));
            }
            let image = system.jacobian.apply(&p)?;
            let curved = add_product(&system.jacobian.apply_transpose(&image)?, self.lambda, &system.diagonal, &p)?;
            let curvature = dot(&p, &curved)?;
            if curvature <= 0.0 || curvature.is_nan() {
                return Ok((x, iteration));
            }
            let step = rz / curvature;
            x = add_scaled(&x, step, &p)?;
            r = add_scaled(&r, -step, &curved)?;
            z = product(1.0, &inverse, &r)?;
            let next = dot(&r, &z)?;
            if next <= goal {
                return Ok((x, iteration + 1));
            }
            p = add_scaled(&z, next / rz, &p)?;
            rz = next;
        }
        Ok((x, self.options.max_inner))
    }
}

fn half_square(residual: &Tensor) -> Result<f64> {
    let residual = std::slice::from_ref(residual);
    Ok(0.5 * dot(residual, residual)?)
}

fn numeric(reason: &str) -> Error {
    Error::Numeric { what: "Levenberg-Marquardt", reason: reason.into() }
}
