use super::*;
use crate::analytic::{Component, Covariance, Mixture, Pictures};
use crate::{Condition, DiffusionPrior, Parameterisation};
use lumigrad_core::{DType, Device};

const MEAN: [f64; 3] = [0.4, -0.3, 0.2];
const VARIANCES: [f64; 3] = [0.5, 0.1, 0.02];

/// A Gaussian over pictures of 1 × 1 × 3, along two tilted directions and the rest.
fn gaussian() -> (Mixture, [[f64; 3]; 3]) {
    let (c, s) = (0.7f64.cos(), 0.7f64.sin());
    let axes = [[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]];
    let directions = (0..3).flat_map(|i| [axes[0][i], axes[1][i]]).collect();
    let covariance = Covariance::Principal { directions, variances: VARIANCES[..2].to_vec(), residual: VARIANCES[2] };
    let component = Component { weight: 1.0, label: None, view: None, mean: MEAN.to_vec(), covariance };
    (Mixture::new(Pictures::new("a Gaussian", [1, 1], 3), vec![component]).unwrap(), axes)
}

fn run(prior: &Mixture, method: Method, levels: &[Level], start: &Tensor) -> Tensor {
    let mut ask = |x: &Tensor, l: Level, _: usize| prior.predict(x, &[l], &[Condition::null()]);
    sample(method, levels, start, 1, &mut ask, &mut |_, _, _| Ok(())).unwrap()
}

#[test]
fn samplers_map_noise_to_the_gaussians_mean_and_covariance() {
    let (prior, axes) = gaussian();
    // The map is affine: the origin gives the mean, unit vectors the columns of a root of the covariance.
    let starts = [[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].concat();
    let starts = Tensor::from_slice(&Device::cpu(), &starts, &[4, 1, 1, 3]).unwrap();
    for (method, steps) in [
        (Method::Ddim { eta: 0.0 }, 800),
        (Method::Heun, 60),
        (Method::DpmSolverPlusPlus, 60),
        (Method::Ghvb { order: 2, beta: 0.8 }, 150),
    ] {
        let levels = ratio_levels(100.0, 0.005, 7.0, steps).unwrap();
        let x = run(&prior, method, &levels, &starts).to_vec::<f64>().unwrap();
        for i in 0..3 {
            assert!((x[i] - MEAN[i]).abs() < 0.02 * VARIANCES[0].sqrt(), "mean of {method:?}: {:?}", &x[..3]);
            for j in 0..3 {
                let found: f64 = (1..4).map(|k| (x[3 * k + i] - x[i]) * (x[3 * k + j] - x[j])).sum();
                let expected: f64 = (0..3).map(|k| axes[k][i] * VARIANCES[k] * axes[k][j]).sum();
                assert!((found - expected).abs() < 0.02 * VARIANCES[0], "{method:?} at {i} {j}: {found}, {expected}");
            }
        }
    }
}

#[test]
fn ancestral_noise_keeps_the_moments() {
    let (prior, axes) = gaussian();
    let n = 20_000;
    let start = noise(&Device::cpu(), DType::F64, &[n, 1, 1, 3], 5, 9).unwrap();
    let levels = ratio_levels(60.0, 0.01, 7.0, 600).unwrap();
    let x = run(&prior, Method::Ddim { eta: 1.0 }, &levels, &start).to_vec::<f64>().unwrap();
    // Coordinates along the axes, their mean and variance; four standard errors and 2 % of discretisation.
    for k in 0..3 {
        let along: Vec<f64> = x.chunks(3).map(|p| (0..3).map(|i| axes[k][i] * (p[i] - MEAN[i])).sum()).collect();
        let mean = along.iter().sum::<f64>() / n as f64;
        let variance = along.iter().map(|v| v * v).sum::<f64>() / n as f64 - mean * mean;
        let error = 4.0 / (n as f64).sqrt();
        assert!(mean.abs() < (error + 0.02) * VARIANCES[k].sqrt(), "mean {k}: {mean}");
        assert!((variance / VARIANCES[k] - 1.0).abs() < error * 2f64.sqrt() + 0.03, "variance {k}: {variance}");
    }
}

/// The exact solution of the flow of N(μ, v): x̄ − μ grows with √(v + σ̄²).
fn exact(x: f64, v: f64, from: f64, to: f64) -> f64 {
    0.3 + (x - 0.3) * ((v + to * to) / (v + from * from)).sqrt()
}

/// Error at σ̄ = 0.8 from σ̄ = 2 in `steps` equal steps of σ̄ or of its logarithm, in one dimension, v = 0.5.
fn error(method: Method, steps: usize, exact_history: bool) -> f64 {
    let covariance = Covariance::Principal { directions: vec![], variances: vec![], residual: 0.5 };
    let component = Component { weight: 1.0, label: None, view: None, mean: vec![0.3], covariance };
    let prior = Mixture::new(Pictures::new("1-D", [1, 1], 1), vec![component]).unwrap();
    let (from, to) = (2.0f64, 0.8f64);
    let logarithmic = method == Method::DpmSolverPlusPlus;
    let ratio = |k: f64| match logarithmic {
        true => from * (to / from).powf(k / steps as f64),
        false => from + (to - from) * k / steps as f64,
    };
    let level = |k: f64| Level { a: 1.0, sigma: ratio(k) };
    let tensor = |x: f64| Tensor::from_slice(&Device::cpu(), &[x], &[1, 1, 1, 1]).unwrap();
    let levels: Vec<Level> = (0..=steps).map(|k| level(k as f64)).collect();
    let start = 1.7;
    let ask = |x: &Tensor, l: Level| prior.predict(x, &[l], &[Condition::null()]).unwrap();
    let x = match (method, exact_history) {
        (Method::Ghvb { order, beta }, true) => {
            // Velocities that momentum would have had, from the exact path before the start.
            let path = |k: f64| ask(&tensor(exact(start, 0.5, from, ratio(k))), level(k)).to_vec::<f64>().unwrap()[0];
            let velocity =
                |k: i32| -> f64 { (0..200).map(|j| beta * (1.0 - beta).powi(j) * path((k - j) as f64)).sum::<f64>() };
            let history = (1..=3).map(|k| tensor(velocity(-k))).collect();
            let mut ghvb = Ghvb::new(order, beta).unwrap().with_history(history);
            let mut x = tensor(start);
            for pair in levels.windows(2) {
                let direction = ghvb.direction(&ask(&x, pair[0])).unwrap();
                x = ddim_step(&x, &direction, pair[0], pair[1]).unwrap();
            }
            x
        }
        _ => run(&prior, method, &levels, &tensor(start)),
    };
    (x.to_vec::<f64>().unwrap()[0] - exact(start, 0.5, from, to)).abs()
}

#[test]
fn samplers_have_their_order() {
    let order = |method, history| (error(method, 60, history) / error(method, 120, history)).log2();
    for (method, history, expected) in [
        (Method::Euler, false, 1.0),
        (Method::Ddim { eta: 0.0 }, false, 1.0),
        (Method::Heun, false, 2.0),
        (Method::DpmSolverPlusPlus, false, 2.0),
        (Method::Ghvb { order: 1, beta: 1.0 }, false, 1.0),
        (Method::Ghvb { order: 2, beta: 1.0 }, false, 2.0),
        (Method::Ghvb { order: 2, beta: 0.8 }, true, 2.0),
        (Method::Ghvb { order: 3, beta: 1.0 }, true, 3.0),
        (Method::Ghvb { order: 3, beta: 0.8 }, true, 3.0),
        (Method::Ghvb { order: 4, beta: 1.0 }, true, 4.0),
        (Method::Ghvb { order: 4, beta: 0.5 }, true, 4.0),
    ] {
        let found = order(method, history);
        println!("{method:?}: {found}");
        assert!((found - expected).abs() < 0.25, "{method:?}: order {found}, expected {expected}");
    }
}

#[test]
fn langevin_steps_settle_at_the_biased_variance() {
    let (v, level, rate) = (0.5f64, Level { a: 1.0, sigma: 0.1 }, 0.3);
    let covariance = Covariance::Principal { directions: vec![], variances: vec![], residual: v };
    let component = Component { weight: 1.0, label: None, view: None, mean: vec![0.3], covariance };
    let prior = Mixture::new(Pictures::new("1-D", [1, 1], 1), vec![component]).unwrap();
    let n = 40_000;
    let start = noise(&Device::cpu(), DType::F64, &[n, 1, 1, 1], 2, 77).unwrap();
    let mut ask = |x: &Tensor, l: Level, _: usize| prior.predict(x, &[l], &[Condition::null()]);
    let x = annealed_langevin(&[level], 40, rate, false, &start, 3, &mut ask).unwrap().to_vec::<f64>().unwrap();
    let mean = x.iter().sum::<f64>() / n as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
    let exact = v + 0.01;
    let expected = langevin_variance(exact, rate);
    assert!((variance / expected - 1.0).abs() < 4.0 * (2.0 / n as f64).sqrt(), "{variance}, {expected}");
    assert!(variance > 1.1 * exact, "the bias shows");
    assert!((mean - 0.3).abs() < 4.0 * (variance / n as f64).sqrt());
}

#[test]
fn the_flow_of_a_gaussian_is_iadbs() {
    // D* = μ + (αv − (1 − α))/(α²v + (1 − α)²)·(x − αμ), per eigenvector.
    let (prior, axes) = gaussian();
    let x = [0.9, -0.2, 0.4];
    let alpha = 0.35;
    let level = [Level::flow(alpha).unwrap()];
    let noisy = Tensor::from_slice(&Device::cpu(), &x, &[1, 1, 1, 3]).unwrap();
    let e = prior.predict(&noisy, &level, &[Condition::null()]).unwrap();
    let d = Parameterisation::Flow.from_noise(&e, &noisy, &level).unwrap().to_vec::<f64>().unwrap();
    let off: Vec<f64> = (0..3).map(|i| x[i] - alpha * MEAN[i]).collect();
    for i in 0..3 {
        let spread = |k: usize| {
            let v = VARIANCES[k];
            let along: f64 = (0..3).map(|j| axes[k][j] * off[j]).sum();
            axes[k][i] * along * (alpha * v - (1.0 - alpha)) / (alpha * alpha * v + (1.0 - alpha).powi(2))
        };
        let expected = MEAN[i] + (0..3).map(spread).sum::<f64>();
        assert!((d[i] - expected).abs() < 1e-12);
    }
}

#[test]
fn paths_and_names_that_make_no_sense_are_errors() {
    let x = Tensor::zeros(&Device::cpu(), DType::F64, &[1, 1, 1, 1]).unwrap();
    let mut ask = |x: &Tensor, _: Level, _: usize| Ok(x.clone());
    let pure = [Level { a: 0.0, sigma: 1.0 }, Level { a: 1.0, sigma: 0.0 }];
    assert!(sample(Method::Euler, &pure, &x, 0, &mut ask, &mut |_, _, _| Ok(())).is_err());
    assert!(sample(Method::Euler, &pure[..1], &x, 0, &mut ask, &mut |_, _, _| Ok(())).is_err());
    assert!(annealed_langevin(&pure, 1, 0.1, false, &x, 0, &mut ask).is_err());
    assert!(ratio_levels(1.0, 2.0, 7.0, 10).is_err() && Method::from_name("dimm", 0.0, 2.0).is_err());
    assert!(Method::from_name("ddim", 2.0, 2.0).is_err() && Method::from_name("ghvb", 0.0, 9.0).is_err());
}
