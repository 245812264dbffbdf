//! Levenberg–Marquardt over matrix-free Jacobians.
//!
//! Minimises L(θ) = ½‖r(θ)‖² by steps (JᵀJ + λD)Δ = −Jᵀr with D = diag(JᵀJ), so that the steps do not depend on the
//! units of the parameters. Many parameters: conjugate gradients with one forward and one reverse pass per iteration,
//! preconditioned by blocks of JᵀJ for small groups and by its diagonal; few: the matrix in full.

mod columns;
mod covariance;
mod dense;
mod precondition;
mod subsets;
mod system;

pub use covariance::{Covariance, MAX_COVARIANCE_PARAMETERS, covariance};

use crate::vectors::dot;
use crate::{Error, Result};
use lumigrad_core::{Jacobian, Tape, Tensor, Var};

/// λ stays within these.
const LAMBDA_RANGE: (f64, f64) = (1e-15, 1e15);
/// What a least-squares method minimises, at a point.
#[derive(Clone, Debug)]
pub struct Residuals {
    /// r, of any shape: steps come from its Jacobian.
    pub vector: Var,
    /// The loss that trials are judged by, whose gradient here is that of ½‖r‖²; `None`: ½‖r‖² itself. Reweighted residuals
    /// need one, for their weights change from point to point.
    pub loss: Option<f64>,
}

impl From<Var> for Residuals {
    fn from(vector: Var) -> Self {
        Self { vector, loss: None }
    }
}

/// How λ changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damping {
    /// By the ratio of actual and predicted decrease: Nielsen's rule, in Madsen, Nielsen & Tingleff 2004, *Methods for
    /// non-linear least squares problems*, §3.2.
    #[default]
    GainRatio,
    /// λ = ‖g‖/γ, so that steps are no longer than γ; γ doubles where L − L⁺ ≥ ‖g⁺‖²/(8λ), the trial is rejected and γ
    /// halves elsewhere. Lengths of steps are in D's norm, of gradients in its dual. Costs a gradient per trial.
    /// **Source**: "Gradient-Normalized Smoothness for Optimization with Approximate Hessians", 2025.
    GradientNormalized,
}

/// Least γ of [`Damping::GradientNormalized`].
const GAMMA_MIN: f64 = 1e-9;

/// Settings of [`LevenbergMarquardt`].
#[derive(Clone, Debug)]
pub struct LmOptions {
    /// How λ changes.
    pub damping: Damping,
    /// λ of the first step.
    pub lambda: f64,
    /// Trial steps per iteration at most.
    pub max_trials: usize,
    /// Iterations of conjugate gradients per trial at most.
    pub max_inner: usize,
    /// Conjugate gradients end when the preconditioned residual has shrunk by this factor.
    pub inner_tolerance: f64,
    /// JᵀJ is formed where that takes this many forward and reverse passes at most, for up to
    /// [`MAX_COVARIANCE_PARAMETERS`] elements. A pass gives a column, or one of each row of a separable array.
    pub dense_limit: usize,
    /// Random probes that estimate diag(JᵀJ) where it is not formed.
    pub probes: usize,
    /// Seed of the probes.
    pub seed: u64,
    /// Bounds of each parameter tensor; empty: none.
    pub bounds: Vec<(f64, f64)>,
    /// For each parameter tensor, whether every residual depends on one of its rows (along the last dimension) at most, as
    /// on the motion of its own camera; empty: none is so. What is declared so and is not slows or stops convergence.
    pub separable: Vec<bool>,
    /// Longest change of a row of each parameter tensor in one step; longer ones are shortened. Empty: any.
    pub reach: Vec<f64>,
}

impl Default for LmOptions {
    fn default() -> Self {
        Self {
            damping: Damping::GainRatio,
            lambda: 1e-3,
            max_trials: 10,
            max_inner: 30,
            inner_tolerance: 1e-2,
            dense_limit: 64,
            probes: 4,
            seed: 0,
            bounds: vec![],
            separable: vec![],
            reach: vec![],
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
    /// Factor of λ at the next rejection, or γ.
    control: f64,
    steps: u64,
}

impl LevenbergMarquardt {
    /// A solver at its first λ.
    pub fn new(options: LmOptions) -> Self {
        let control = match options.damping {
            Damping::GainRatio => 2.0,
            Damping::GradientNormalized => 1.0,
        };
        Self { lambda: options.lambda, options, control, steps: 0 }
    }

    /// The present damping.
    pub fn lambda(&self) -> f64 {
        self.lambda
    }

    /// λ, what its rule remembers and the step counter, for checkpoints.
    pub fn state(&self) -> [f64; 3] {
        [self.lambda, self.control, self.steps as f64]
    }

    /// Puts a saved state back.
    pub fn load_state(&mut self, [lambda, control, steps]: [f64; 3]) {
        (self.lambda, self.control, self.steps) = (lambda, control, steps as u64);
    }

    /// One iteration: linearises, then tries steps with growing λ until one lowers the loss. Parameters change only when
    /// a trial is accepted; those on which no residual depends keep still.
    ///
    /// `residuals` gives r; it must be the same function in each call (the same views, the same random numbers), or the
    /// gain ratio means nothing.
    ///
    /// **Cost**: one forward pass; where JᵀJ is formed, the passes of that and a forward pass per trial; else, per trial, a
    /// forward and a reverse pass per inner iteration, plus a forward pass.
    ///
    /// # Errors
    /// When r is not finite at the start; and those of `residuals`.
    pub fn step<R: Into<Residuals>, E: From<Error>>(
        &mut self,
        parameters: &mut [Tensor],
        residuals: impl Fn(&Tape, &[Var]) -> std::result::Result<R, E>,
    ) -> std::result::Result<LmStep, E> {
        let (jacobian, previous_loss) = linearize(parameters, &residuals)?;
        if !previous_loss.is_finite() {
            return Err(numeric("the residuals are not finite at the start").into());
        }
        let mut report = LmStep { previous_loss, loss: previous_loss, ..LmStep::default() };
        let Some(jacobian) = jacobian else { return Ok(report) };
        let system = self.system(&jacobian, parameters, true)?;
        self.steps += 1;
        let normalized = self.options.damping == Damping::GradientNormalized;
        let slope = if normalized { system.dual_norm(&system.gradient)? } else { 0.0 };
        while report.trials < self.options.max_trials && !report.accepted {
            report.trials += 1;
            if normalized {
                self.lambda = (slope / (self.control + 1e-8)).clamp(LAMBDA_RANGE.0, LAMBDA_RANGE.1);
            }
            report.lambda = self.lambda;
            let trial = self.propose(&system, parameters, &mut report)?;
            let Some((next, predicted)) = trial else {
                self.reject();
                continue;
            };
            if predicted <= 0.0 || predicted.is_nan() {
                break; // at a minimum, to rounding
            }
            let (loss, least) = if normalized {
                let (there, loss) = linearize(&next, &residuals)?;
                let slope = there.map(|j| system.dual_norm(&j.apply_transpose(j.value())?)).transpose()?.unwrap_or(0.0);
                (loss, slope.powi(2) / (8.0 * self.lambda))
            } else {
                let constants: Vec<Var> = next.iter().cloned().map(Var::from).collect();
                (residuals(&Tape::new(), &constants)?.into().loss()?, 0.0)
            };
            report.gain = (previous_loss - loss) / predicted;
            // False also where the loss is not a number.
            if previous_loss - loss >= least && loss < previous_loss {
                parameters.clone_from_slice(&next);
                report.loss = loss;
                report.accepted = true;
                self.accept(report.gain);
            } else {
                self.reject();
            }
        }
        Ok(report)
    }

    fn accept(&mut self, gain: f64) {
        match self.options.damping {
            Damping::GainRatio => {
                let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
                self.lambda = (self.lambda * factor).clamp(LAMBDA_RANGE.0, LAMBDA_RANGE.1);
                self.control = 2.0;
            }
            Damping::GradientNormalized => self.control = (2.0 * self.control).min(1.0 / GAMMA_MIN),
        }
    }

    fn reject(&mut self) {
        match self.options.damping {
            Damping::GainRatio => {
                self.lambda = (self.lambda * self.control).clamp(LAMBDA_RANGE.0, LAMBDA_RANGE.1);
                self.control *= 2.0;
            }
            Damping::GradientNormalized => self.control = (0.5 * self.control).max(GAMMA_MIN),
        }
    }
}

/// The Jacobian of the residuals, where they depend on the parameters, and the loss.
fn linearize<R: Into<Residuals>, E: From<Error>>(
    parameters: &[Tensor],
    residuals: &impl Fn(&Tape, &[Var]) -> std::result::Result<R, E>,
) -> std::result::Result<(Option<Jacobian>, f64), E> {
    let tape = Tape::new();
    let variables: Vec<Var> = parameters.iter().map(|t| tape.variable(t.clone())).collect();
    let found: Residuals = residuals(&tape, &variables)?.into();
    let loss = found.loss()?;
    if !found.vector.is_recorded() {
        return Ok((None, loss));
    }
    let jacobian = tape.linearize(&found.vector, &variables.iter().collect::<Vec<_>>()).map_err(Error::from)?;
    Ok((Some(jacobian), loss))
}

impl Residuals {
    fn loss(&self) -> Result<f64> {
        match self.loss {
            Some(loss) => Ok(loss),
            None => half_square(self.vector.tensor()),
        }
    }
}

fn half_square(residual: &Tensor) -> Result<f64> {
    let residual = std::slice::from_ref(residual);
    Ok(0.5 * dot(residual, residual)?)
}

fn numeric(reason: &str) -> Error {
    Error::Numeric { what: "Levenberg-Marquardt", reason: reason.into() }
}
