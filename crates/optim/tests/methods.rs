//! Every optimiser of the list against its published recurrence, computed here in plain numbers.

use lumigrad_core::{Device, Tensor, Var};
use lumigrad_optim::method::{METHODS, Objective, Plan, Sample, find};
use lumigrad_optim::{Group, Residuals, Result};

const CURVATURE: [f64; 3] = [1.0, 4.0, 0.3];
const CENTRE: [f64; 3] = [0.5, -1.0, 2.0];

/// ½ Σ aₖ (xₖ − cₖ)².
struct Quadratic;

impl Objective for Quadratic {
    fn loss(&mut self, values: &[Var], _: Sample) -> Result<Var> {
        Ok(self.residuals(values, 0, 0)?.vector.square()?.sum()?.scale(0.5)?)
    }

    fn residuals(&mut self, values: &[Var], _: usize, _: usize) -> Result<Residuals> {
        let constant = |x: [f64; 3]| Tensor::from_slice(&Device::cpu(), &x, &[3]).map(Var::from);
        Ok(values[0].sub(&constant(CENTRE)?)?.mul(&constant(CURVATURE.map(f64::sqrt))?)?.into())
    }
}

fn gradient(x: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| CURVATURE[k] * (x[k] - CENTRE[k]))
}

fn norm(x: [f64; 3]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn plan(steps: usize) -> Plan {
    Plan { groups: vec![Group::new("x", 0.1)], steps, seed: 3 }
}

/// Positions after each of `steps` steps from the origin.
fn path(name: &str, steps: usize) -> Vec<[f64; 3]> {
    let mut method = find(name).unwrap().build(plan(steps));
    let mut values = [Tensor::zeros(&Device::cpu(), lumigrad_core::DType::F64, &[3]).unwrap()];
    let mut visited = vec![];
    for _ in 0..steps {
        method.step(&mut values, &mut Quadratic, 1.0).unwrap();
        visited.push(values[0].to_vec::<f64>().unwrap().try_into().unwrap());
    }
    visited
}

/// The same by a recurrence: gradient at the present position → change.
fn follow(steps: usize, mut change: impl FnMut([f64; 3], usize) -> [f64; 3]) -> Vec<[f64; 3]> {
    let mut x = [0.0; 3];
    (1..=steps)
        .map(|t| {
            let d = change(x, t);
            (0..3).for_each(|k| x[k] += d[k]);
            x
        })
        .collect()
}

fn assert_same(name: &str, expected: &[[f64; 3]]) {
    for (t, (found, expected)) in path(name, expected.len()).iter().zip(expected).enumerate() {
        for k in 0..3 {
            let gap = (found[k] - expected[k]).abs();
            assert!(gap <= 1e-6 * expected[k].abs().max(1e-3), "{name}, step {t}: {found:?}, expected {expected:?}");
        }
    }
}

/// Adam's change for a sequence of gradients.
fn adam() -> impl FnMut([f64; 3], usize) -> [f64; 3] {
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    move |g, t| {
        std::array::from_fn(|k| {
            m[k] = 0.9 * m[k] + 0.1 * g[k];
            v[k] = 0.999 * v[k] + 0.001 * g[k] * g[k];
            let (m, v) = (m[k] / (1.0 - 0.9f64.powi(t as i32)), v[k] / (1.0 - 0.999f64.powi(t as i32)));
            -0.1 * m / (v.sqrt() + 1e-8)
        })
    }
}

#[test]
fn adam_and_adamw_follow_their_recurrence() {
    let mut step = adam();
    assert_same("adam", &follow(25, |x, t| step(gradient(x), t)));
    let mut step = adam();
    assert_same(
        "adamw",
        &follow(25, |x, t| {
            let d = step(gradient(x), t);
            std::array::from_fn(|k| d[k] - 0.1 * 0.01 * x[k])
        }),
    );
}

#[test]
fn adamomentum_follows_its_recurrence() {
    let (mut m, mut v) = ([0.0; 3], [0.0; 3]);
    assert_same(
        "adamomentum",
        &follow(25, |x, t| {
            let g = gradient(x);
            std::array::from_fn(|k| {
                m[k] = 0.9 * m[k] + 0.1 * g[k];
                v[k] = 0.999 * v[k] + 0.001 * m[k] * m[k] + 1e-16;
                let (m, v) = (m[k] / (1.0 - 0.9f64.powi(t as i32)), v[k] / (1.0 - 0.999f64.powi(t as i32)));
                -0.1 * m / v.sqrt()
            })
        }),
    );
}

#[test]
fn ademamix_follows_its_recurrence_with_both_warm_ups() {
    const STEPS: usize = 30;
    let (mut fast, mut slow, mut v) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    let half_life = |beta: f64| 0.5f64.ln() / beta.ln() - 1.0;
    assert_same(
        "ademamix",
        &follow(STEPS, |x, t| {
            let (g, part) = (gradient(x), t as f64 / STEPS as f64);
            let h = (1.0 - part) * half_life(0.9) + part * half_life(0.9999);
            let b3 = 0.5f64.powf(1.0 / (h + 1.0)).min(0.9999);
            std::array::from_fn(|k| {
                fast[k] = 0.9 * fast[k] + 0.1 * g[k];
                slow[k] = b3 * slow[k] + (1.0 - b3) * g[k];
                v[k] = 0.999 * v[k] + 0.001 * g[k] * g[k];
                let corrected = fast[k] / (1.0 - 0.9f64.powi(t as i32));
                let root = (v[k] / (1.0 - 0.999f64.powi(t as i32))).sqrt();
                -0.1 * (corrected + 2.0 * part * slow[k]) / (root + 1e-8)
            })
        }),
    );
}

#[test]
fn grokfast_amplifies_the_slow_gradient() {
    let (mut slow, mut step) = ([0.0; 3], adam());
    assert_same(
        "grokfast+adam",
        &follow(25, |x, t| {
            let g = gradient(x);
            (0..3).for_each(|k| slow[k] = 0.98 * slow[k] + 0.02 * g[k]);
            step(std::array::from_fn(|k| g[k] + 2.0 * slow[k]), t)
        }),
    );
}

#[test]
fn sam_takes_the_gradient_uphill() {
    let mut step = adam();
    assert_same(
        "sam+adam",
        &follow(25, |x, t| {
            let g = gradient(x);
            let n = norm(g);
            step(gradient(std::array::from_fn(|k| x[k] + 0.05 * g[k] / n)), t)
        }),
    );
}

#[test]
fn gam_combines_its_four_gradients() {
    let mut step = adam();
    let up = |x: [f64; 3], d: [f64; 3], rho: f64| std::array::from_fn(|k| x[k] + rho * d[k] / norm(d));
    assert_same(
        "gam+adam",
        &follow(25, |x, t| {
            let g0 = gradient(x);
            let g1 = gradient(up(x, g0, 0.02));
            let h = std::array::from_fn(|k| g1[k] - g0[k]);
            let steep = up(x, h, 0.2);
            let g2 = gradient(steep);
            let g3 = gradient(up(steep, g2, 0.02));
            let mixed: [f64; 3] = std::array::from_fn(|k| 0.5 * g1[k] + 0.5 * g3[k]);
            let both: [f64; 3] = std::array::from_fn(|k| g0[k] + g2[k]);
            let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|k| a[k] * b[k]).sum::<f64>();
            let along = dot(both, mixed) / dot(mixed, mixed);
            step(std::array::from_fn(|k| mixed[k] - 0.03 * (both[k] - along * mixed[k])), t)
        }),
    );
}

#[test]
fn spider_on_all_data_is_normalised_descent() {
    assert_same(
        "spider",
        &follow(25, |x, _| {
            let g = gradient(x);
            let moving = g.iter().filter(|g| **g != 0.0).count() as f64;
            std::array::from_fn(|k| -0.1 * moving.sqrt() * g[k] / norm(g))
        }),
    );
}

#[test]
fn second_order_methods_solve_a_quadratic_at_once() {
    let at_centre = |x: &[f64; 3], within: f64| (0..3).all(|k| (x[k] - CENTRE[k]).abs() < within);
    let mut lm = find("lm").unwrap().build(plan(3));
    let mut values = [Tensor::zeros(&Device::cpu(), lumigrad_core::DType::F64, &[3]).unwrap()];
    for _ in 0..8 {
        lm.step(&mut values, &mut Quadratic, 1.0).unwrap();
    }
    assert!(at_centre(&values[0].to_vec::<f64>().unwrap().try_into().unwrap(), 1e-6), "{values:?}");
    // The Krylov space holds all three directions; the rate of 0.1 per step limits the way there.
    let steps = path("saddle-free-newton", 40);
    assert!(at_centre(steps.last().unwrap(), 1e-4), "{steps:?}");
}

/// x² − y², whose saddle attracts Newton's method, bounded by |y| ≤ 1.
struct Saddle;

impl Objective for Saddle {
    fn loss(&mut self, values: &[Var], _: Sample) -> Result<Var> {
        let signs = Tensor::from_slice(&Device::cpu(), &[1.0f64, -1.0], &[2])?;
        Ok(values[0].square()?.mul(&signs.into())?.sum()?)
    }

    fn residuals(&mut self, _: &[Var], _: usize, _: usize) -> Result<Residuals> {
        unreachable!("no sum of squares")
    }
}

#[test]
fn saddle_free_newton_leaves_a_saddle() {
    let mut method = find("saddle-free-newton").unwrap().build(plan(30));
    let mut values = [Tensor::from_slice(&Device::cpu(), &[0.5, 0.01], &[2]).unwrap()];
    for _ in 0..30 {
        method.step(&mut values, &mut Saddle, 1.0).unwrap();
    }
    let x = values[0].to_vec::<f64>().unwrap();
    assert!(x[0].abs() < 1e-2 && x[1] > 0.3, "{x:?}");
}

#[test]
fn forward_gradients_in_as_many_directions_as_unknowns_are_the_gradient() {
    let mut step = adam();
    assert_same("forward-gradient", &follow(25, |x, t| step(gradient(x), t)));
}

#[test]
fn every_optimiser_goes_on_from_a_saved_state_as_if_uninterrupted() {
    for entry in METHODS {
        let start = || [Tensor::zeros(&Device::cpu(), lumigrad_core::DType::F64, &[3]).unwrap()];
        let (mut whole, mut values) = (entry.build(plan(24)), start());
        for _ in 0..24 {
            whole.step(&mut values, &mut Quadratic, 1.0).unwrap();
        }
        let (mut first, mut resumed) = (entry.build(plan(24)), start());
        for _ in 0..13 {
            first.step(&mut resumed, &mut Quadratic, 1.0).unwrap();
        }
        let state = first.state();
        let mut second = entry.build(plan(24));
        second.load_state(&state);
        for _ in 13..24 {
            second.step(&mut resumed, &mut Quadratic, 1.0).unwrap();
        }
        assert_eq!(values[0].to_vec::<f64>().unwrap(), resumed[0].to_vec::<f64>().unwrap(), "{}", entry.name);
    }
}

#[test]
fn unknown_optimisers_are_named_with_those_that_exist() {
    let error = find("adma").unwrap_err().to_string();
    assert!(error.contains("adma") && error.contains("ademamix"), "{error}");
}
