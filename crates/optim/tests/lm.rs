//! Levenberg–Marquardt on problems with known answers.

use lumigrad_core::{Device, Tape, Tensor, Var};
use lumigrad_optim::{Damping, LevenbergMarquardt, LmOptions, Result, covariance};
use lumigrad_testkit::real;

/// Linear residuals whose Jacobian is arrow-shaped: three "cameras" of two numbers that eight residuals each see alone,
/// and four numbers that all of them see.
fn arrow() -> impl Fn(&[Var]) -> Result<Var> {
    let (own, common, b) = (real(&[3, 8, 2], 1), real(&[3, 8, 4], 2), real(&[3, 8], 3));
    move |x: &[Var]| -> Result<Var> {
        let of_own = Var::from(own.clone()).mul(&x[0].reshape(&[3, 1, 2])?)?.sum_axis(2)?;
        let of_all = Var::from(common.clone()).mul(&x[1].reshape(&[1, 1, 4])?)?.sum_axis(2)?;
        Ok(of_own.add(&of_all)?.sub(&b.clone().into())?)
    }
}

#[test]
fn separable_rows_share_passes_and_their_blocks_precondition_conjugate_gradients() {
    let residuals = arrow();
    let start = || [Tensor::zeros(&Device::cpu(), lumigrad_core::DType::F64, &[3, 2]).unwrap(), column(&[0.0; 4])];
    let solve = |dense_limit: usize, separable: &[bool], max_inner: usize| {
        let separable = separable.to_vec();
        let tight = LmOptions { lambda: 1e-13, inner_tolerance: 1e-13, ..LmOptions::default() };
        let options = LmOptions { dense_limit, separable, max_inner, ..tight };
        let mut x = start();
        let step = LevenbergMarquardt::new(options).step(&mut x, |_, x| residuals(x)).unwrap();
        (step, x.iter().flat_map(|t| t.to_f64_vec().unwrap()).collect::<Vec<f64>>())
    };
    // Ten unknowns in six passes, and without sharing in ten: the same matrix.
    let (full, expected) = solve(10, &[], 0);
    let (shared, found) = solve(6, &[true, false], 0);
    assert!(full.accepted && (full.gain - 1.0).abs() < 1e-9 && shared.inner_iterations == 0);
    assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-9), "{expected:?} {found:?}");
    // The blocks leave what couples both arrays, of rank four at most: as many iterations and one, twice over.
    let (step, found) = solve(0, &[true, false], 9);
    assert!(step.inner_iterations <= 9, "{step:?}");
    assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-6), "{expected:?} {found:?}");
}

#[test]
fn conjugate_gradients_lower_the_energy_in_every_iteration() {
    // The loss of a linear problem after k inner iterations is the energy, up to a constant.
    let residuals = arrow();
    let mut before = f64::INFINITY;
    for max_inner in 1..9 {
        let options =
            LmOptions { lambda: 1e-13, dense_limit: 0, max_inner, inner_tolerance: 0.0, ..LmOptions::default() };
        let mut x = [Tensor::zeros(&Device::cpu(), lumigrad_core::DType::F64, &[3, 2]).unwrap(), column(&[0.0; 4])];
        let loss = LevenbergMarquardt::new(options).step(&mut x, |_, x| residuals(x)).unwrap().loss;
        assert!(loss <= before, "{loss} after {before}");
        before = loss;
    }
}

#[test]
fn fewer_residuals_than_unknowns_are_met_and_what_none_sees_keeps_still() {
    for dense_limit in [0, 64] {
        let options = LmOptions { dense_limit, ..LmOptions::default() };
        let mut lm = LevenbergMarquardt::new(options);
        let mut x = [column(&[1.0, 2.0, 3.0, 4.0]), column(&[7.0])];
        let sum = |x: &Var| -> Result<Var> { Ok(x.slice(0, 0, 3)?.sum()?.offset(-12.0)?) };
        for _ in 0..30 {
            lm.step(&mut x, |_, x| sum(&x[0])).unwrap();
        }
        let y = x[0].to_f64_vec().unwrap();
        assert!((y[0] + y[1] + y[2] - 12.0).abs() < 1e-6, "{y:?}");
        assert_eq!((y[3], x[1].item().unwrap()), (4.0, 7.0), "not observed");
        let step = lm.step(&mut x, |_, x| -> Result<Var> { Ok(sum(&x[0])?.scale(0.0)?) }).unwrap();
        assert!(step.loss == 0.0 && x[0].to_f64_vec().unwrap().iter().all(|x| x.is_finite()), "zero residuals");
    }
}

/// The gradient-normalised rule with plain numbers, on Rosenbrock's residuals with D = diag JᵀJ: outer iterations and
/// trials until ½‖r‖² < 1e-10, and the losses.
fn gns_reference() -> (usize, usize, Vec<f64>) {
    let r = |x: [f64; 2]| [10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]];
    let half = |x: [f64; 2]| r(x).iter().map(|r| 0.5 * r * r).sum::<f64>();
    let jacobian = |x: [f64; 2]| [[-20.0 * x[0], 10.0], [-1.0, 0.0]];
    let gradient = |x: [f64; 2]| {
        let (j, r) = (jacobian(x), r(x));
        [0, 1].map(|k| j[0][k] * r[0] + j[1][k] * r[1])
    };
    let (mut x, mut gamma, mut trials, mut losses) = ([-1.2, 1.0], 1.0f64, 0, vec![]);
    while losses.last().is_none_or(|l| *l >= 1e-10) && losses.len() < 200 {
        let (j, g) = (jacobian(x), gradient(x));
        let h = |a: usize, b: usize| j[0][a] * j[0][b] + j[1][a] * j[1][b];
        let d = [h(0, 0), h(1, 1)];
        let dual = |g: [f64; 2]| (g[0] * g[0] / d[0] + g[1] * g[1] / d[1]).sqrt();
        for _ in 0..40 {
            trials += 1;
            let lambda = dual(g) / (gamma + 1e-8);
            let (a, b, c) = (h(0, 0) + lambda * d[0], h(0, 1), h(1, 1) + lambda * d[1]);
            let determinant = a * c - b * b;
            let next = [x[0] - (c * g[0] - b * g[1]) / determinant, x[1] - (a * g[1] - b * g[0]) / determinant];
            if half(x) - half(next) >= dual(gradient(next)).powi(2) / (8.0 * lambda) {
                (x, gamma) = (next, 2.0 * gamma);
                break;
            }
            gamma = (0.5 * gamma).max(1e-9);
        }
        losses.push(half(x));
    }
    (losses.len(), trials, losses)
}

#[test]
fn gradient_normalised_damping_follows_its_recurrence() {
    let (outer, trials, expected) = gns_reference();
    let options = LmOptions { damping: Damping::GradientNormalized, max_trials: 40, ..LmOptions::default() };
    let mut lm = LevenbergMarquardt::new(options);
    let mut x = [column(&[-1.2, 1.0])];
    let steps: Vec<_> = (0..outer).map(|_| lm.step(&mut x, |_, x| rosenbrock(&x[0])).unwrap()).collect();
    for (step, expected) in steps.iter().zip(&expected) {
        assert!((step.loss - expected).abs() <= 1e-6 * expected + 1e-14, "{} for {expected}", step.loss);
    }
    assert_eq!(steps.iter().map(|s| s.trials).sum::<usize>(), trials);
    assert!(outer < 100 && steps.last().unwrap().loss < 1e-10, "{outer} iterations");
}

fn column(x: &[f64]) -> Tensor {
    Tensor::from_slice(&Device::cpu(), x, &[x.len()]).unwrap()
}

/// A·x − b for A [m, n], x [n].
fn linear(a: &Tensor, b: &Tensor, x: &Var) -> Result<Var> {
    Ok(Var::from(a.clone()).mul(x)?.sum_axis(1)?.sub(&b.clone().into())?)
}

fn rosenbrock(x: &Var) -> Result<Var> {
    let (a, b) = (x.slice(0, 0, 1)?, x.slice(0, 1, 2)?);
    Ok(lumigrad_core::ops::concat(&[&b.sub(&a.square()?)?.scale(10.0)?, &a.neg()?.offset(1.0)?], 0)?)
}

#[test]
fn linear_least_squares_are_solved_in_one_step_by_both_inner_solvers() {
    let (a, b) = (real(&[40, 6], 1), real(&[40], 2));
    for dense_limit in [0, 64] {
        let options =
            LmOptions { lambda: 1e-12, dense_limit, max_inner: 60, inner_tolerance: 1e-12, ..LmOptions::default() };
        let mut x = [column(&[0.0; 6])];
        let step = LevenbergMarquardt::new(options).step(&mut x, |_, x| linear(&a, &b, &x[0])).unwrap();
        assert!(step.accepted && (step.gain - 1.0).abs() < 1e-9, "{step:?}");
        let tape = Tape::new();
        let v = tape.variable(x[0].clone());
        let r = linear(&a, &b, &v).unwrap();
        let g = tape.linearize(&r, &[&v]).unwrap().apply_transpose(r.tensor()).unwrap().remove(0);
        assert!(g.to_f64_vec().unwrap().iter().all(|g| g.abs() < 1e-8), "normal equations hold");
    }
}

#[test]
fn rosenbrock_reaches_its_minimum_by_both_inner_solvers() {
    for dense_limit in [0, 64] {
        let options = LmOptions { dense_limit, inner_tolerance: 1e-8, ..LmOptions::default() };
        let mut lm = LevenbergMarquardt::new(options);
        let mut x = [column(&[-1.2, 1.0])];
        let mut loss = f64::INFINITY;
        let iterations = (1..=40).find(|_| {
            loss = lm.step(&mut x, |_, x| rosenbrock(&x[0])).unwrap().loss;
            loss < 1e-10
        });
        assert!(iterations.is_some(), "loss {loss} after 40 iterations");
        let x = x[0].to_f64_vec().unwrap();
        assert!((x[0] - 1.0).abs() < 1e-4 && (x[1] - 1.0).abs() < 1e-4, "{x:?}");
    }
}

#[test]
fn steps_do_not_depend_on_the_units_of_parameters() {
    let run = |s: f64| {
        let mut lm = LevenbergMarquardt::new(LmOptions::default());
        let mut x = [column(&[-1.2 / s, 1.0])];
        let scale = column(&[s, 1.0]);
        let losses: Vec<f64> = (0..8)
            .map(|_| lm.step(&mut x, |_, x| rosenbrock(&x[0].mul(&scale.clone().into())?)).unwrap().loss)
            .collect();
        losses
    };
    for (a, b) in run(1.0).iter().zip(run(1000.0)) {
        assert!((a - b).abs() <= 1e-9 * a.abs(), "{a} against {b}");
    }
}

#[test]
fn bounds_hold_and_the_other_parameters_reach_the_constrained_minimum() {
    // (x − 3)² + (x + y − 1)² with x ≤ 2: x = 2, y = −1.
    let residuals = |x: &Var| -> Result<Var> {
        let (a, b) = (x.slice(0, 0, 1)?, x.slice(0, 1, 2)?);
        Ok(lumigrad_core::ops::concat(&[&a.offset(-3.0)?, &a.add(&b)?.offset(-1.0)?], 0)?)
    };
    for dense_limit in [0, 64] {
        let options = LmOptions { bounds: vec![(-2.0, 2.0)], dense_limit, ..LmOptions::default() };
        let mut lm = LevenbergMarquardt::new(options);
        let mut x = [column(&[0.0, 0.0])];
        for _ in 0..12 {
            lm.step(&mut x, |_, x| residuals(&x[0])).unwrap();
        }
        let x = x[0].to_f64_vec().unwrap();
        assert!((x[0] - 2.0).abs() < 1e-9 && (x[1] + 1.0).abs() < 1e-3, "{x:?}");
    }
}

#[test]
fn rejected_steps_leave_the_parameters_alone() {
    // Finite at the start only: every trial is worse.
    let mut x = [column(&[1.0])];
    let mut lm = LevenbergMarquardt::new(LmOptions { max_trials: 3, ..LmOptions::default() });
    let at_start = |x: &[Var]| x[0].is_recorded();
    let step = lm
        .step(&mut x, |_, x| -> Result<Var> { Ok(if at_start(x) { x[0].clone() } else { x[0].scale(f64::NAN)? }) })
        .unwrap();
    assert!(!step.accepted && step.trials == 3 && step.loss == step.previous_loss);
    assert_eq!(x[0].to_f64_vec().unwrap(), [1.0]);
    assert!(lm.lambda() > 1e-3);
}

#[test]
fn standard_errors_of_a_line_fit_are_the_textbook_ones() {
    let n = 50;
    let t: Vec<f64> = (0..n).map(|i| i as f64 / 10.0).collect();
    let noise = real(&[n], 7).to_f64_vec().unwrap();
    let a: Vec<f64> = t.iter().flat_map(|t| [1.0, *t]).collect();
    let a = Tensor::from_slice(&Device::cpu(), &a, &[n, 2]).unwrap();
    let b = column(&t.iter().zip(&noise).map(|(t, e)| 2.0 + 3.0 * t + 0.1 * e).collect::<Vec<_>>());
    let options = LmOptions { lambda: 1e-12, ..LmOptions::default() };
    let mut x = [column(&[0.0, 0.0])];
    LevenbergMarquardt::new(options).step(&mut x, |_, x| linear(&a, &b, &x[0])).unwrap();
    let tape = Tape::new();
    let v = tape.variable(x[0].clone());
    let r = linear(&a, &b, &v).unwrap();
    let c = covariance(&tape.linearize(&r, &[&v]).unwrap(), &x, &[]).unwrap();
    let mean = t.iter().sum::<f64>() / n as f64;
    let spread: f64 = t.iter().map(|t| (t - mean).powi(2)).sum();
    let s2 = r.tensor().to_f64_vec().unwrap().iter().map(|r| r * r).sum::<f64>() / (n - 2) as f64;
    let expected = [(s2 * (1.0 / n as f64 + mean * mean / spread)).sqrt(), (s2 / spread).sqrt()];
    for (found, expected) in c.standard_errors[0].iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} against {expected}");
    }
    // The textbook's correlation of intercept and slope.
    let r = c.correlations();
    let expected = -mean / (mean * mean + spread / n as f64).sqrt();
    assert!((r[0] - 1.0).abs() < 1e-12 && (r[1] - expected).abs() < 1e-9, "{r:?}, {expected}");
    let same = Tensor::from_slice(&Device::cpu(), &[1.0f64; 40], &[20, 2]).unwrap();
    let tape = Tape::new();
    let v = tape.variable(x[0].clone());
    let r = linear(&same, &column(&[0.0; 20]), &v).unwrap();
    // Only the sum of both matters: neither is determined.
    let c = covariance(&tape.linearize(&r, &[&v]).unwrap(), &x, &[]).unwrap();
    assert_eq!(c.standard_errors[0], [f64::INFINITY; 2]);
    // Nobody sees the second one; the first keeps the error that it has alone.
    let blind = Tensor::from_slice(&Device::cpu(), &[[1.0f64, 0.0]; 20].concat(), &[20, 2]).unwrap();
    let tape = Tape::new();
    let v = tape.variable(x[0].clone());
    let noise: Vec<f64> = (0..20).map(|k| (k as f64 * 1.7).sin()).collect();
    let r = linear(&blind, &column(&noise), &v).unwrap();
    let c = covariance(&tape.linearize(&r, &[&v]).unwrap(), &x, &[]).unwrap();
    assert!((c.standard_errors[0][0] - (c.residual_variance / 20.0).sqrt()).abs() < 1e-12);
    assert_eq!(c.standard_errors[0][1], f64::INFINITY);
}

#[test]
fn many_parameters_in_f32_converge_on_every_device() {
    let n = 200; // more passes than the full matrix is formed for
    let target = real(&[n], 3);
    for device in lumigrad_testkit::devices("Levenberg-Marquardt") {
        let on = |t: &Tensor| t.cast(lumigrad_core::DType::F32).and_then(|t| t.to_device(&device)).unwrap();
        let target: Var = on(&target).into();
        let mut x = [on(&real(&[n], 4))];
        let mut lm = LevenbergMarquardt::new(LmOptions::default());
        let residuals = |x: &Var| -> Result<Var> {
            let chain = x.slice(0, 1, n)?.sub(&x.slice(0, 0, n - 1)?)?.scale(0.3)?;
            let curve = x.exp()?.sub(&target.exp()?)?;
            let flat = chain.sub(&target.slice(0, 1, n)?.sub(&target.slice(0, 0, n - 1)?)?.scale(0.3)?)?;
            Ok(lumigrad_core::ops::concat(&[&curve, &flat], 0)?)
        };
        let losses: Vec<f64> = (0..12).map(|_| lm.step(&mut x, |_, x| residuals(&x[0])).unwrap().loss).collect();
        assert!(losses[11] < 1e-9, "{losses:?} on {device}");
    }
}
