//! The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks"): rates rise
//! exponentially until the loss does too; what is used is a tenth of where that begins.

use super::problem::Problem;
use super::run::Optimizer;
use super::settings::Settings;
use crate::run::Stop;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_optim::Schedule;
use lumigrad_optim::method::find;

/// Steps of the test.
const STEPS: usize = 120;
/// Factors of the rates at its ends.
const RANGE: (f64, f64) = (1e-2, 1e2);
/// The loss diverges where its moving average exceeds its least by this factor.
const WORSE: f64 = 1.5;
/// Weight of the past in that average.
const MEMORY: f64 = 0.9;
/// Steps in which it may vary as it likes.
const SETTLING: usize = 10;

/// What a range test found.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeTest {
    /// Factor of all learning rates, and the moving average of the loss there.
    pub points: Vec<(f64, f64)>,
    /// The factor to use.
    pub factor: f64,
    /// Whether the loss rose within the test; where it did not, the factor is a tenth of the largest one tried.
    pub diverged: bool,
}

/// Tries rates on a run of its own, from the start of the problem.
///
/// # Errors
/// The optimiser has no learning rates; and what a run cannot do.
pub fn range_test(problem: &Problem, settings: &Settings, device: &Device, stop: &Stop) -> Result<RangeTest> {
    if find(&settings.optimizer)?.deterministic {
        let message = format!("{} has no learning rates", settings.optimizer);
        return Err(Error::usage("--find-lr", message, "leave it out, or choose adam"));
    }
    let mut probe = Optimizer::new(problem, settings, device)?;
    probe.schedule = Schedule::Constant;
    let mut losses = vec![];
    for k in 0..STEPS {
        if stop.is_requested() {
            break;
        }
        probe.rate_factor = factor(k);
        match probe.step(0.0) {
            Ok(loss) => losses.push(loss),
            // What is not a number has diverged.
            Err(_) => losses.push(f64::INFINITY),
        }
        if find_limit(&losses).1.is_some() {
            break;
        }
    }
    let (averages, limit) = find_limit(&losses);
    let points: Vec<(f64, f64)> = averages.into_iter().enumerate().map(|(k, loss)| (factor(k), loss)).collect();
    let end = factor(limit.unwrap_or(STEPS - 1));
    Ok(RangeTest { points, factor: end / 10.0, diverged: limit.is_some() })
}

fn factor(k: usize) -> f64 {
    RANGE.0 * (RANGE.1 / RANGE.0).powf(k as f64 / (STEPS - 1) as f64)
}

/// Moving averages of losses, and the step where they diverge.
fn find_limit(losses: &[f64]) -> (Vec<f64>, Option<usize>) {
    let (mut averages, mut sum, mut least) = (vec![], 0.0, f64::INFINITY);
    for (k, loss) in losses.iter().enumerate() {
        sum = MEMORY * sum + (1.0 - MEMORY) * loss;
        let average = sum / (1.0 - MEMORY.powi(k as i32 + 1));
        if !average.is_finite() || (k >= SETTLING && average > WORSE * least) {
            return (averages, Some(k));
        }
        averages.push(average);
        least = least.min(average);
    }
    (averages, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_where_a_falling_loss_turns_for_good() {
        let falling: Vec<f64> = (0..40).map(|k| 1.0 / (1.0 + k as f64)).collect();
        assert_eq!(find_limit(&falling).1, None);
        let turned: Vec<f64> = falling.iter().copied().chain([5.0; 10]).collect();
        let limit = find_limit(&turned).1.unwrap();
        assert!((40..43).contains(&limit), "{limit}");
        assert_eq!(find_limit(&[1.0, f64::NAN]).1, Some(1));
        assert!((factor(0) - 0.01).abs() < 1e-15 && (factor(STEPS - 1) - 100.0).abs() < 1e-10);
    }
}
