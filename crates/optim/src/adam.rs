//! Adam (Kingma & Ba 2014) with groups, bounds and AdamW's decoupled decay (Loshchilov & Hutter 2017).

use crate::{Error, Result};
use lumigrad_core::{CallParams, Map, Tensor};

/// Smallest denominator.
const EPSILON: f64 = 1e-8;

/// Settings of one optimised array.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name, for messages and checkpoints.
    pub name: String,
    /// Learning rate before the schedule.
    pub rate: f64,
    /// Values are projected into these bounds after each step.
    pub bounds: (f64, f64),
    /// One second moment for the whole array (its maximum), so that steps keep the gradient's direction: AdamUniform of
    /// Nicolet et al. 2021.
    pub uniform: bool,
    /// Decay rates of the moments.
    pub betas: (f64, f64),
    /// Decoupled weight decay.
    pub decay: f64,
}

impl Group {
    /// A group with Adam's usual constants and no bounds.
    pub fn new(name: impl Into<String>, rate: f64) -> Self {
        let bounds = (f64::NEG_INFINITY, f64::INFINITY);
        Self { name: name.into(), rate, bounds, uniform: false, betas: (0.9, 0.999), decay: 0.0 }
    }
}

/// The moments of one group.
#[derive(Clone)]
struct Moments {
    first: Tensor,
    second: Tensor,
}

/// Adam over groups of arrays.
pub struct Adam {
    groups: Vec<Group>,
    moments: Vec<Option<Moments>>,
    steps: u32,
}

/// The update of one array: new values and moments.
///
/// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← clamp((1 − ηλ)θ − η m̂ / (√v̂ + ε)).
fn update_map() -> Map {
    Map::cached("optim/adam", |b| {
        let ([x], [g], [m], [v]) = (b.item("values"), b.item("gradient"), b.item("first"), b.item("second"));
        let [beta1, beta2, rate, unbias2, shrink, lo, hi] = std::array::from_fn(|_| b.param());
        let first = beta1 * m + (1.0 - beta1) * g;
        let second = beta2 * v + (1.0 - beta2) * g * g;
        // The bias of the first moment is in the rate.
        let next = x * shrink - rate * first / ((second * unbias2).sqrt() + EPSILON);
        b.output("values", &[next.max(lo).min(hi)]);
        b.output("first", &[first]);
        b.output("second", &[second]);
    })
}

/// The moments alone, and the step with one denominator.
fn moments_map() -> Map {
    Map::cached("optim/adam_moments", |b| {
        let ([g], [m], [v]) = (b.item("gradient"), b.item("first"), b.item("second"));
        let [beta1, beta2] = std::array::from_fn(|_| b.param());
        b.output("first", &[beta1 * m + (1.0 - beta1) * g]);
        b.output("second", &[beta2 * v + (1.0 - beta2) * g * g]);
    })
}

fn uniform_step_map() -> Map {
    Map::cached("optim/adam_uniform", |b| {
        let ([x], [m]) = (b.item("values"), b.item("first"));
        let [rate, lo, hi] = std::array::from_fn(|_| b.param());
        b.output("values", &[(x - rate * m).max(lo).min(hi)]);
    })
}

impl Adam {
    /// Fresh moments for these groups.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { moments: vec![None; groups.len()], groups, steps: 0 }
    }

    /// Its groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// One step. `values` and `gradients` belong to the groups in order; a gradient of `None` leaves its array and
    /// moments alone. `factor` multiplies all rates.
    ///
    /// **Determinism**: always. **Cost**: one pass over four arrays per group.
    pub fn step(&mut self, values: &mut [&mut Tensor], gradients: &[Option<Tensor>], factor: f64) -> Result<()> {
        if values.len() != self.groups.len() || gradients.len() != self.groups.len() {
            return Err(Error::Groups { found: values.len().min(gradients.len()), expected: self.groups.len() });
        }
        self.steps += 1;
        for (k, group) in self.groups.iter().enumerate() {
            let (Some(gradient), value) = (&gradients[k], &mut *values[k]) else { continue };
            let zeros = || Tensor::zeros(value.device(), value.dtype(), value.shape());
            let old = match self.moments[k].take() {
                Some(m) => m,
                None => Moments { first: zeros()?, second: zeros()? },
            };
            let t = self.steps as i32;
            let (b1, b2) = group.betas;
            let unbias = |beta: f64| 1.0 / (1.0 - beta.powi(t));
            let rate = group.rate * factor;
            let limit = |x: f64| x.clamp(-1e30, 1e30);
            let (lo, hi) = (limit(group.bounds.0), limit(group.bounds.1));
            let shape = value.shape().to_vec();
            let call = |real: Vec<f64>| CallParams { items: 0, real, int: vec![] };
            let mut out = if group.uniform {
                let mut m = moments_map().run(&[gradient, &old.first, &old.second], &call(vec![b1, b2]))?;
                let largest = m[1].to_f64_vec()?.into_iter().fold(0.0, f64::max);
                let scaled = rate * unbias(b1) / ((largest * unbias(b2)).sqrt() + EPSILON);
                let mut next = uniform_step_map().run(&[value, &m[0]], &call(vec![scaled, lo, hi]))?;
                next.append(&mut m);
                next
            } else {
                let real = vec![b1, b2, rate * unbias(b1), unbias(b2), 1.0 - rate * group.decay, lo, hi];
                update_map().run(&[value, gradient, &old.first, &old.second], &call(real))?
            };
            let second = out.pop().expect("three outputs");
            let first = out.pop().expect("three outputs");
            self.moments[k] = Some(Moments { first: first.reshape(&shape)?, second: second.reshape(&shape)? });
            *value = out.pop().expect("three outputs").reshape(&shape)?;
        }
        Ok(())
    }

    /// Steps done and the moments by name, for checkpoints.
    pub fn state(&self) -> (u32, Vec<(String, Tensor)>) {
        let mut list = vec![];
        for (group, m) in self.groups.iter().zip(&self.moments) {
            if let Some(m) = m {
                list.push((format!("{}#first", group.name), m.first.clone()));
                list.push((format!("{}#second", group.name), m.second.clone()));
            }
        }
        (self.steps, list)
    }

    /// Puts a saved state back; the next steps are those of an uninterrupted run.
    pub fn load_state(&mut self, steps: u32, mut take: impl FnMut(&str) -> Option<Tensor>) {
        self.steps = steps;
        for (group, m) in self.groups.iter().zip(&mut self.moments) {
            let first = take(&format!("{}#first", group.name));
            let second = take(&format!("{}#second", group.name));
            *m = first.zip(second).map(|(first, second)| Moments { first, second });
        }
    }
}
