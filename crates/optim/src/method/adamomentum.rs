//! AdaMomentum (Wang et al. 2021, "Rethinking Adam: A Twofold Exponential Moving Average Approach"):
//! m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)m² + ε, θ ← θ − η m̂/√v̂ with m̂, v̂ corrected for their start at zero.

use super::Plan;
use super::rule::{Averaging, Recurrence, Rule};
use crate::Group;
use lumigrad_core::Map;

struct AdaMomentum;

/// The rule with its published constants but for ε, which stands inside the recursion, beside squares: the square of
/// the groups' (10⁻⁸). Its published size would stop gradients of a mean over pixels, which are small.
pub fn rule(plan: Plan) -> Box<dyn Rule> {
    Box::new(Averaging::new(plan.groups, &["first", "second"], Box::new(AdaMomentum)))
}

impl Recurrence for AdaMomentum {
    fn averages(&self) -> Map {
        Map::cached("optim/adamomentum_averages", |m| {
            let ([g], [first], [second]) = (m.item("gradient"), m.item("first"), m.item("second"));
            let [b1, b2, epsilon, _, _] = std::array::from_fn(|_| m.param());
            let first = b1 * first + (1.0 - b1) * g;
            m.output("first", &[first]);
            m.output("second", &[b2 * second + (1.0 - b2) * first * first + epsilon]);
        })
    }

    fn values(&self) -> Map {
        Map::cached("optim/adamomentum_values", |m| {
            let ([x], [first], [second]) = (m.item("values"), m.item("first"), m.item("second"));
            let [rate, lo, hi, _, _, _, c1, c2] = std::array::from_fn(|_| m.param());
            m.output("values", &[(x - rate * (first / c1) / (second / c2).sqrt()).max(lo).min(hi)]);
        })
    }

    fn constants(&self, group: &Group, t: u32) -> Vec<f64> {
        let (b1, b2) = group.betas;
        vec![b1, b2, group.epsilon.powi(2), 1.0 - b1.powi(t as i32), 1.0 - b2.powi(t as i32)]
    }
}
