//! Samplers: from noise to pictures along the levels of a schedule.
//!
//! All solve dx̄/dσ̄ = ε̂(x̄, σ̄) with x̄ = x/a and σ̄ = σ/a, so that any path of levels gives the same pictures in the limit of
//! many steps. Single steps are public for methods that change x between them.

mod history;
mod langevin;
#[cfg(test)]
mod tests;

pub use history::{Ghvb, SecondOrder};
pub use langevin::{annealed_langevin, langevin_variance};

use crate::{Error, Level, Result, Schedule, combine, noise};
use lumigrad_core::Tensor;

/// Σ w·x of plain tensors.
pub(crate) fn weighted(terms: &[(&Tensor, f64)]) -> Result<Tensor> {
    let vars: Vec<(lumigrad_core::Var, [f64; 1])> = terms.iter().map(|(x, w)| ((*x).clone().into(), [*w])).collect();
    Ok(combine(&vars.iter().map(|(x, w)| (x, &w[..])).collect::<Vec<_>>())?.tensor().clone())
}

/// x̂0 = (x_t − σ·ε̂)/a.
///
/// **Errors**: a level of pure noise.
pub fn clean(noisy: &Tensor, noise: &Tensor, level: Level) -> Result<Tensor> {
    let Level { a, sigma } = level;
    match a > 0.0 {
        true => weighted(&[(noisy, 1.0 / a), (noise, -sigma / a)]),
        false => Err(Error::Level { a, sigma, reason: "pure noise tells nothing of a picture; start at a > 0" }),
    }
}

/// a′·x̂0 + σ′·ε̂ with x̂0 of the level `from`: one step of DDIM without noise (Song et al. 2021), in either direction.
///
/// It is Euler's step in σ̄, and that of any straight path of levels (IADB, rectified flow).
pub fn ddim_step(noisy: &Tensor, noise: &Tensor, from: Level, to: Level) -> Result<Tensor> {
    let ratio = to.a / from.a;
    match ratio.is_finite() {
        true => weighted(&[(noisy, ratio), (noise, to.sigma - ratio * from.sigma)]),
        false => Err(Error::Level { a: from.a, sigma: from.sigma, reason: "a step needs a > 0; start at less noise" }),
    }
}

/// How steps are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// DDIM; `eta` adds noise: 0 is Euler's method in σ̄, 1 is ancestral sampling (DDPM).
    Ddim {
        /// Part of the ancestral noise, 0 to 1.
        eta: f64,
    },
    /// Euler's method in σ̄, the same as DDIM with η = 0.
    Euler,
    /// Heun's method in σ̄: second order, two predictions a step.
    Heun,
    /// DPM-Solver++(2M) (Lu et al. 2022): second order in ln(a/σ), on predictions of x̂0.
    DpmSolverPlusPlus,
    /// Generalised heavy ball (Wizadwongsa et al. 2023): order 1 to 4 with momentum β in (0, 1]; β = 1 is Adams-Bashforth.
    Ghvb {
        /// Order.
        order: usize,
        /// Momentum.
        beta: f64,
    },
}

/// Names of methods in job files.
pub const METHODS: &[&str] = &["ddim", "euler", "heun", "dpm++", "ghvb", "langevin"];

impl Method {
    /// The method of a name; `eta` and a fractional `order` (1.8 is order 2 with β = 0.8) where it has them.
    pub fn from_name(name: &str, eta: f64, order: f64) -> Result<Self> {
        Ok(match name {
            "ddim" if (0.0..=1.0).contains(&eta) => Self::Ddim { eta },
            "ddim" => return Err(Error::Setting(format!("eta is {eta}, expected 0 to 1"))),
            "euler" => Self::Euler,
            "heun" => Self::Heun,
            "dpm++" => Self::DpmSolverPlusPlus,
            "ghvb" => Ghvb::of_order(order)?.method(),
            _ => {
                return Err(Error::Setting(format!(
                    "unknown sampler {name:?}, expected one of {}",
                    METHODS.join(", ")
                )));
            }
        })
    }

    fn check(self) -> Result<()> {
        match self {
            Self::Ghvb { order, beta } => Ghvb::new(order, beta).map(|_| ()),
            Self::Ddim { eta } if !(0.0..=1.0).contains(&eta) => {
                Err(Error::Setting(format!("eta is {eta}, expected 0 to 1")))
            }
            _ => Ok(()),
        }
    }
}

/// Levels for sampling: equal steps in σ̄^(1/ρ) from `most` to `least` (Karras et al. 2022), and a last step to pictures.
///
/// `rho` = 7 is usual; 1 is equal steps. They are variance preserving.
pub fn ratio_levels(most: f64, least: f64, rho: f64, steps: usize) -> Result<Vec<Level>> {
    if !(most > least && least > 0.0 && rho > 0.0 && steps > 0 && most.is_finite()) {
        let reason = format!("steps from {most} to {least}, rho {rho}, {steps} steps make no levels");
        return Err(Error::Setting(reason));
    }
    let root = |x: f64| x.powf(1.0 / rho);
    let count = (steps - 1).max(1) as f64;
    let ratio = |k: usize| (root(most) + (root(least) - root(most)) * k as f64 / count).powf(rho);
    let level = |r: f64| Level { a: 1.0 / (1.0 + r * r).sqrt(), sigma: r / (1.0 + r * r).sqrt() };
    let mut levels: Vec<Level> = (0..steps).map(|k| level(ratio(k))).collect();
    levels.push(Level { a: 1.0, sigma: 0.0 });
    Ok(levels)
}

/// Levels for sampling at equal steps of a schedule's time, from σ̄ = 100 (or the schedule's start) to pictures.
pub fn schedule_levels(schedule: Schedule, steps: usize) -> Vec<Level> {
    let start = schedule.time(100.0);
    let mut levels = schedule.levels(start, 0.0, steps.max(1));
    if let Some(last) = levels.last_mut() {
        *last = Level { a: last.a, sigma: 0.0 };
    }
    levels
}

/// What a sampler asks: ε̂ of x_t at a level, in step k.
pub type Predict<'a> = dyn FnMut(&Tensor, Level, usize) -> Result<Tensor> + 'a;

/// From x at the first level to the last: as `levels[0]` asks, x = a·picture + σ·noise.
///
/// **Shapes**: x [n, …]. `seen` is called after each step with its number, x and x̂0. Noise of DDIM's η comes from counters
/// keyed by (seed, step, picture).
/// **Errors**: fewer than two levels, levels without a part of the picture; those of `predict` and `seen`.
pub fn sample(
    method: Method,
    levels: &[Level],
    start: &Tensor,
    seed: u64,
    predict: &mut Predict,
    seen: &mut dyn FnMut(usize, &Tensor, &Tensor) -> Result<()>,
) -> Result<Tensor> {
    method.check()?;
    if levels.len() < 2 {
        return Err(Error::Setting(format!("a sampler needs at least two levels, found {}", levels.len())));
    }
    let mut x = start.clone();
    let mut ghvb = match method {
        Method::Ghvb { order, beta } => Some(Ghvb::new(order, beta)?),
        _ => None,
    };
    let mut second = SecondOrder::default();
    for (k, pair) in levels.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let e = predict(&x, from, k)?;
        let x0 = clean(&x, &e, from)?;
        x = match method {
            Method::Euler | Method::Ddim { eta: 0.0 } => ddim_step(&x, &e, from, to)?,
            Method::Ddim { eta } => ancestral(&x0, &e, (from, to), eta, seed, k as u64)?,
            Method::Heun if to.sigma > 0.0 => {
                let trial = ddim_step(&x, &e, from, to)?;
                let next = predict(&trial, to, k)?;
                ddim_step(&x, &weighted(&[(&e, 0.5), (&next, 0.5)])?, from, to)?
            }
            Method::Heun => ddim_step(&x, &e, from, to)?,
            Method::DpmSolverPlusPlus => second.step(&x, &x0, from, to)?,
            Method::Ghvb { .. } => {
                let direction = ghvb.as_mut().expect("made for this method").direction(&e)?;
                ddim_step(&x, &direction, from, to)?
            }
        };
        seen(k, &x, &x0)?;
    }
    Ok(x)
}

/// DDIM with noise: σ_η² = η²·(σ′²/σ²)(1 − a²/a′²) for variance-preserving levels (Song et al. 2021, equation 16).
fn ancestral(x0: &Tensor, e: &Tensor, (from, to): (Level, Level), eta: f64, seed: u64, step: u64) -> Result<Tensor> {
    let ((from, _), (to_vp, scale)) = (from.to_variance_preserving(), to.to_variance_preserving());
    let fresh = eta * (to_vp.sigma / from.sigma) * (1.0 - (from.a / to_vp.a).powi(2)).max(0.0).sqrt();
    let kept = (to_vp.sigma * to_vp.sigma - fresh * fresh).max(0.0).sqrt();
    let z = noise(x0.device(), x0.dtype(), x0.shape(), seed, step)?;
    weighted(&[(x0, to_vp.a / scale), (e, kept / scale), (&z, fresh / scale)])
}
