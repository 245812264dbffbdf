//! AdEMAMix (Pagliardini, Ablin & Grangier 2024): Adam with a second momentum of long memory,
//! θ ← θ − η[(m̂₁ + αm₂)/(√v̂ + ε) + λθ]; m₁ and v are corrected for their start at zero, m₂ is not. α rises linearly and
//! β₃ linearly in its half-life, from β₁, over the run.

use super::Plan;
use super::rule::{Averaging, Recurrence, Rule};
use crate::Group;
use lumigrad_core::Map;

/// Weight and decay of the slow momentum at the end of the warm-up, as in the authors' code.
const ALPHA: f64 = 2.0;
const BETA3: f64 = 0.9999;

struct AdEmaMix {
    warm_up: f64,
}

/// The rule; its warm-up lasts for the whole run.
pub fn rule(plan: Plan) -> Box<dyn Rule> {
    let warm_up = plan.steps.max(1) as f64;
    Box::new(Averaging::new(plan.groups, &["fast", "slow", "second"], Box::new(AdEmaMix { warm_up })))
}

/// Decay of the slow momentum at a fraction of the warm-up.
fn slow_decay(start: f64, fraction: f64) -> f64 {
    let half_life = |beta: f64| 0.5f64.ln() / beta.ln() - 1.0;
    let now = half_life(start) + (half_life(BETA3) - half_life(start)) * fraction;
    0.5f64.powf(1.0 / (now + 1.0)).min(BETA3)
}

impl Recurrence for AdEmaMix {
    fn averages(&self) -> Map {
        Map::cached("optim/ademamix_averages", |m| {
            let ([g], [fast], [slow]) = (m.item("gradient"), m.item("fast"), m.item("slow"));
            let [second] = m.item("second");
            let [b1, b2, b3, ..] = std::array::from_fn::<_, 8, _>(|_| m.param());
            m.output("fast", &[b1 * fast + (1.0 - b1) * g]);
            m.output("slow", &[b3 * slow + (1.0 - b3) * g]);
            m.output("second", &[b2 * second + (1.0 - b2) * g * g]);
        })
    }

    fn values(&self) -> Map {
        Map::cached("optim/ademamix_values", |m| {
            let ([x], [fast], [slow]) = (m.item("values"), m.item("fast"), m.item("slow"));
            let [second] = m.item("second");
            let [rate, lo, hi, _, _, _, alpha, c1, c2, epsilon, decay] = std::array::from_fn(|_| m.param());
            let direction = (fast / c1 + alpha * slow) / ((second / c2).sqrt() + epsilon) + decay * x;
            m.output("values", &[(x - rate * direction).max(lo).min(hi)]);
        })
    }

    fn constants(&self, group: &Group, t: u32) -> Vec<f64> {
        let (b1, b2) = group.betas;
        let fraction = (t as f64 / self.warm_up).min(1.0);
        let (c1, c2) = (1.0 - b1.powi(t as i32), 1.0 - b2.powi(t as i32));
        vec![b1, b2, slow_decay(b1, fraction), ALPHA * fraction, c1, c2, group.epsilon, group.decay]
    }
}
