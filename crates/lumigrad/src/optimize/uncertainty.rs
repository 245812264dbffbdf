//! Standard errors of what a run recovered.

use super::objective::StepObjective;
use super::run::{Optimizer, POSE_GROUP};
use crate::{Error, Result};
use lumigrad_core::Tensor;
use lumigrad_optim::{MAX_COVARIANCE_PARAMETERS, covariance};

/// Standard errors, and what has none.
#[derive(Default)]
pub struct Uncertainty {
    /// Root mean square over the determined elements of each array, by pointer; poses in degrees and in % of the
    /// distance.
    pub standard_errors: Vec<(String, f64)>,
    /// Pointers, with the number of elements that the pictures do not determine.
    pub unobserved: Vec<String>,
}

/// Refuses what would take too long before a run begins.
///
/// # Errors
/// More than 2 000 unknowns, or shapes among them.
pub fn require_few(optimizer: &Optimizer) -> Result<()> {
    let help = "ask for it with poses, lights and material factors only";
    if let Some(v) = optimizer.variables().iter().find(|v| v.is_geometry()) {
        return Err(Error::usage("--uncertainty", format!("{} has too many unknowns", v.parameter.pointer), help));
    }
    let n: usize = optimizer.values().iter().map(Tensor::len).sum();
    match n > MAX_COVARIANCE_PARAMETERS {
        true => Err(Error::usage(
            "--uncertainty",
            format!("{n} unknowns, at most {MAX_COVARIANCE_PARAMETERS} are possible"),
            help,
        )),
        false => Ok(()),
    }
}

/// Standard errors at the present state, from the covariance of all training views' residuals.
///
/// # Errors
/// More unknowns than residuals.
pub fn uncertainty(optimizer: &Optimizer) -> Result<Uncertainty> {
    let values = optimizer.values();
    let batch = (0..optimizer.problem.train.len()).collect();
    let jacobian = StepObjective::new(optimizer, batch).jacobian()?;
    let jacobian = jacobian.ok_or_else(|| Error::job("no training picture depends on what is optimised"))?;
    let separable: Vec<bool> = optimizer.groups().iter().map(|g| g.separable).collect();
    let found = covariance(&jacobian, &values, &separable)?;
    let mut result = Uncertainty::default();
    for (name, errors) in optimizer.names().into_iter().zip(&found.standard_errors) {
        match name.as_str() {
            POSE_GROUP => {
                let part = |first: usize| errors.chunks_exact(6).flat_map(move |c| &c[first..first + 3]).copied();
                result.add(format!("{POSE_GROUP} (degrees)"), part(0).map(f64::to_degrees));
                result.add(format!("{POSE_GROUP} (% of the distance)"), part(3).map(|x| 100.0 * x));
            }
            _ => result.add(name, errors.iter().copied()),
        }
    }
    Ok(result)
}

impl Uncertainty {
    fn add(&mut self, name: String, errors: impl Iterator<Item = f64>) {
        let all: Vec<f64> = errors.collect();
        let finite: Vec<f64> = all.iter().copied().filter(|x| x.is_finite()).collect();
        if finite.len() < all.len() {
            self.unobserved.push(format!(
                "{name}: {} of {} numbers are not determined by the pictures, alone or together with others",
                all.len() - finite.len(),
                all.len()
            ));
        }
        if !finite.is_empty() {
            let mean = finite.iter().map(|x| x * x).sum::<f64>() / finite.len() as f64;
            self.standard_errors.push((name, mean.sqrt()));
        }
    }
}
