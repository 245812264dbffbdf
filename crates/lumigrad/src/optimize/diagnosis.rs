//! What the gradients of a run tell of its health.

use super::objective::StepObjective;
use super::run::Optimizer;
use crate::Result;
use lumigrad_core::{Jacobian, Traced};
use lumigrad_optim::largest_singular_value;

/// Iterations of the estimate of the largest singular value.
const ITERATIONS: usize = 8;
/// Growth of a gradient's norm over a run above which it explodes, and below which it vanishes.
const EXPLODES: f64 = 1e3;
const VANISHES: f64 = 1e-8;

/// The gradient of one group.
#[derive(Clone, Debug)]
pub struct GroupHealth {
    /// Its pointer.
    pub name: String,
    /// Norms at the first and the last step that were looked at.
    pub norms: (f64, f64),
    /// What is wrong and what helps; empty: nothing.
    pub advice: &'static str,
}

/// The health of a run.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Each group whose gradient was seen.
    pub groups: Vec<GroupHealth>,
    /// Largest singular value of the residuals' Jacobian, of one view by all that is optimised.
    pub largest_singular_value: Option<f64>,
    /// The operator whose reverse mode amplifies most, and by how much.
    pub amplifier: Option<(String, f64)>,
}

/// Looks at a run after its steps. **Cost**: a few passes over one view.
///
/// # Errors
/// The view cannot be rendered.
pub fn diagnose(optimizer: &Optimizer) -> Result<Diagnosis> {
    let names = optimizer.names();
    let history = optimizer.norms();
    let groups = names.into_iter().enumerate().filter_map(|(k, name)| {
        let of = |norms: &Vec<f64>| norms.get(k).copied();
        let (first, last) = (of(&history.first()?.1)?, of(&history.last()?.1)?);
        Some(GroupHealth { name, norms: (first, last), advice: advice(first, last) })
    });
    let groups = groups.collect();
    if optimizer.estimator.is_some() {
        return Ok(Diagnosis { groups, ..Diagnosis::default() });
    }
    let objective = StepObjective::new(optimizer, vec![0]);
    let value = |j: Jacobian| largest_singular_value(&j, &optimizer.values(), ITERATIONS, optimizer.settings.seed);
    let largest_singular_value = objective.jacobian()?.map(value).transpose()?;
    Ok(Diagnosis { groups, largest_singular_value, amplifier: amplifier(&objective.trace()?) })
}

fn advice(first: f64, last: f64) -> &'static str {
    match last {
        _ if !last.is_finite() || !first.is_finite() => "not finite: lower its learning rate",
        0.0 => "zero: no picture of the last step depends on it",
        _ if last > EXPLODES * first => "exploding: lower its learning rate",
        _ if last < VANISHES * first => "vanishing: it has converged, or is out of sight",
        _ => "",
    }
}

fn amplifier(trace: &[Traced]) -> Option<(String, f64)> {
    let growth = |t: &Traced| if t.cotangent > 0.0 { t.gradient / t.cotangent } else { 0.0 };
    let most = trace.iter().filter(|t| growth(t).is_finite()).max_by(|a, b| growth(a).total_cmp(&growth(b)))?;
    Some((most.operator.clone(), growth(most)))
}

/// Where numbers that are not finite begin, in words; `None`: nowhere in these views.
pub(super) fn where_it_breaks(objective: &StepObjective) -> Option<String> {
    let arrays = objective.optimizer.names().into_iter().zip(objective.optimizer.values());
    for (name, values) in arrays {
        if values.to_f64_vec().ok()?.iter().any(|x| !x.is_finite()) {
            return Some(format!("{name} holds numbers that are not finite"));
        }
    }
    let trace = objective.trace().ok()?;
    if let Some(t) = trace.iter().find(|t| t.breaks_forward()) {
        return Some(format!("it began in {}, given numbers up to {:.2e}", t.operator, t.input));
    }
    let t = trace.iter().rev().find(|t| t.breaks_backward())?;
    Some(format!("it began in the reverse mode of {}, given slopes up to {:.2e}", t.operator, t.cotangent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_that_leave_their_range_get_advice() {
        assert_eq!(advice(1.0, 0.5), "");
        for (last, word) in [(f64::NAN, "finite"), (0.0, "zero"), (1e4, "exploding"), (1e-9, "vanishing")] {
            assert!(advice(1.0, last).contains(word), "{last}");
        }
        let row = |operator: &str, cotangent, gradient| Traced {
            operator: operator.into(),
            input: 1.0,
            output: 1.0,
            cotangent,
            gradient,
        };
        let rows = [row("a", 1.0, 2.0), row("b", 0.1, 5.0), row("c", 0.0, 9.0)];
        assert_eq!(amplifier(&rows), Some(("b".into(), 50.0)));
        assert_eq!(amplifier(&[]), None);
    }
}
