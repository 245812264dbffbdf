//! The fitted operators against answers that are known.

use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Derivatives, Field, PolyFit, surface};
use lumigrad_testkit::{Check, real};
use std::sync::Arc;

fn numbers(v: &Var) -> Vec<f64> {
    v.tensor().to_vec::<f64>().unwrap()
}

/// A map of points [N, d] to [N, 1] on the host.
fn host(f: impl Fn(&[f64]) -> f64) -> impl Fn(&Var) -> lumigrad_field::Result<Var> {
    move |points| {
        let d = points.shape()[1];
        let values: Vec<f64> = numbers(points).chunks(d).map(&f).collect();
        Ok(Tensor::from_slice(&Device::cpu(), &values, &[values.len(), 1])?.into())
    }
}

#[test]
fn quadratics_are_exact() {
    let c = real(&[10], 1).to_vec::<f64>().unwrap();
    let f = |x: &[f64]| {
        c[0] + c[1] * x[0]
            + c[2] * x[1]
            + c[3] * x[2]
            + c[4] * x[0] * x[0]
            + c[5] * x[0] * x[1]
            + c[6] * x[0] * x[2]
            + c[7] * x[1] * x[1]
            + c[8] * x[1] * x[2]
            + c[9] * x[2] * x[2]
    };
    let points = real(&[7, 3], 2);
    let fit = PolyFit::new(3, 2, 0.05, 64, 3).unwrap();
    let found = fit.apply(host(f), &points.clone().into()).unwrap();
    let (g, h, v) = (numbers(&found.gradient), numbers(&found.hessian.unwrap()), numbers(&found.value));
    for (i, x) in points.to_vec::<f64>().unwrap().chunks(3).enumerate() {
        let gradient = [
            c[1] + 2.0 * c[4] * x[0] + c[5] * x[1] + c[6] * x[2],
            c[2] + c[5] * x[0] + 2.0 * c[7] * x[1] + c[8] * x[2],
            c[3] + c[6] * x[0] + c[8] * x[1] + 2.0 * c[9] * x[2],
        ];
        let hessian = [2.0 * c[4], c[5], c[6], 2.0 * c[7], c[8], 2.0 * c[9]];
        assert!((v[i] - f(x)).abs() < 1e-10);
        assert!((0..3).all(|k| (g[3 * i + k] - gradient[k]).abs() < 1e-10), "{g:?} {gradient:?}");
        assert!((0..6).all(|k| (h[6 * i + k] - hessian[k]).abs() < 1e-10), "{h:?} {hessian:?}");
    }
    // Degree 1, whose offsets have mean zero, is exact for linear functions.
    let fit = PolyFit::new(3, 1, 0.05, 16, 3).unwrap();
    let found = fit.apply(host(|x| 2.0 + x[0] - 3.0 * x[2]), &points.into()).unwrap();
    assert!(numbers(&found.gradient).chunks(3).all(|g| (g[0] - 1.0).abs() + g[1].abs() + (g[2] + 3.0).abs() < 1e-10));
}

/// Points on a sphere of radius ½.
fn sphere(n: usize) -> (Tensor, Vec<f64>) {
    let raw = real(&[n, 3], 5).to_vec::<f64>().unwrap();
    let unit =
        |x: &[f64]| x.iter().map(|v| v * x.iter().map(|v| v * v).sum::<f64>().sqrt().recip()).collect::<Vec<_>>();
    let normals: Vec<f64> = raw.chunks(3).flat_map(unit).collect();
    let points: Vec<f64> = normals.iter().map(|x| 0.5 * x).collect();
    (Tensor::from_slice(&Device::cpu(), &points, &[n, 3]).unwrap(), normals)
}

fn noisy_sphere(x: &[f64]) -> f64 {
    let w = std::f64::consts::TAU / 5e-3;
    x.iter().map(|v| v * v).sum::<f64>().sqrt() - 0.5 + 5e-4 * x.iter().map(|v| (w * v).sin()).product::<f64>()
}

fn angle(a: &[f64], b: &[f64]) -> f64 {
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    (ab / f64::sqrt(aa * bb)).clamp(-1.0, 1.0).acos().to_degrees()
}

#[test]
fn fits_see_through_noise_that_differentiation_amplifies() {
    let (points, normals) = sphere(400);
    let mean = |g: &[f64]| g.chunks(3).zip(normals.chunks(3)).map(|(a, b)| angle(a, b)).sum::<f64>() / 400.0;
    let differentiated: Vec<f64> = points
        .to_vec::<f64>()
        .unwrap()
        .chunks(3)
        .flat_map(|x| {
            (0..3)
                .map(|k| {
                    let at = |s: f64| {
                        let mut y = [x[0], x[1], x[2]];
                        y[k] += s;
                        noisy_sphere(&y)
                    };
                    (at(1e-7) - at(-1e-7)) / 2e-7
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let fit = PolyFit::new(3, 2, 0.03, 256, 6).unwrap();
    let found = fit.apply(host(noisy_sphere), &points.into()).unwrap();
    let (exact, fitted) = (mean(&differentiated), mean(&numbers(&found.gradient)));
    assert!(exact > 10.0 && fitted < 0.8, "{exact} and {fitted} degrees");
    let curvature = surface::mean_curvature(&found.gradient, &found.hessian.unwrap()).unwrap();
    let mean = numbers(&curvature).iter().sum::<f64>() / 400.0;
    assert!((mean - 2.0).abs() < 0.05, "{mean}");
}

#[test]
fn errors_follow_the_law_of_bias_and_noise() {
    // Of degree 1 on sin: bias ½σ²∇Δf in the mean over offsets; noise of deviation s gives s/(σ√k).
    let error = |sigma: f64, k: usize, noise: f64| {
        let mut sum = 0.0;
        for seed in 0..200 {
            let fit = PolyFit::new(1, 1, sigma, k, seed).unwrap();
            let counter = std::cell::Cell::new(0);
            let f = host(|_| {
                counter.set(counter.get() + 1);
                noise * lumigrad_core::ops::random::normal(seed + 1000, counter.get())
            });
            let points = Tensor::from_slice(&Device::cpu(), &[0.0], &[1, 1]).unwrap();
            sum += numbers(&fit.apply(f, &points.into()).unwrap().gradient)[0].powi(2);
        }
        (sum / 200.0f64).sqrt()
    };
    let expected = |sigma: f64, k: usize| 1e-3 / (sigma * (k as f64).sqrt());
    for (sigma, k) in [(0.01, 64), (0.04, 64), (0.01, 256)] {
        let found = error(sigma, k, 1e-3);
        assert!((found / expected(sigma, k) - 1.0).abs() < 0.2, "{found} {}", expected(sigma, k));
    }
    let bias = |sigma: f64| {
        let fit = PolyFit::new(1, 1, sigma, 4096, 7).unwrap();
        let points = Tensor::from_slice(&Device::cpu(), &[0.0], &[1, 1]).unwrap();
        1.0 - numbers(&fit.apply(host(|x| x[0].sin()), &points.into()).unwrap().gradient)[0]
    };
    // ½σ²·1, and four times that at twice the deviation. The fourth moment of the offsets is within 10 % of 3.
    let ratio = bias(0.2) / bias(0.1);
    assert!((bias(0.1) / 0.005 - 1.0).abs() < 0.15 && (ratio - 4.0).abs() < 0.2, "{} {ratio}", bias(0.1));
}

#[test]
fn derivatives_of_fits_reach_parameters_and_points() {
    let field = Field::siren(2, 1, 6, 2);
    let shapes: Vec<Vec<usize>> = field.shapes().into_iter().map(|(_, s)| s).collect();
    let f = |v: &[Var]| {
        let fit = PolyFit::new(2, 2, 0.1, 16, 8).unwrap();
        let found = fit.apply(|p| field.value(&v[1..], p), &v[0]).unwrap();
        Ok(vec![found.gradient, found.hessian.unwrap()])
    };
    let mut inputs = vec![real(&[3, 2], 9)];
    inputs.extend(shapes.iter().zip(10..).map(|(s, seed)| real(s, seed)));
    // Second derivatives are differences of values divided by σ² = 0.01.
    // The last bias moves all values alike: its gradient is zero but for rounding.
    let last = inputs.len() - 1;
    Check::new("fit", f).f32_tolerance(1e-3).fixed(&[last]).run(&inputs);
}

#[test]
fn mean_curvature_of_spheres_is_one_over_the_radius() {
    // f = |x|² − r²: gradient 2x, Hessian 2I.
    let (points, _) = sphere(5);
    let hessian = [2.0, 0.0, 0.0, 2.0, 0.0, 2.0].repeat(5);
    let hessian = Tensor::from_slice(&Device::cpu(), &hessian, &[5, 6]).unwrap();
    let gradient = Var::from(points).scale(2.0).unwrap();
    let found = numbers(&surface::mean_curvature(&gradient, &hessian.into()).unwrap());
    assert!(found.iter().all(|h| (h - 2.0).abs() < 1e-12), "{found:?}");
    let f = |v: &[Var]| Ok(vec![surface::mean_curvature(&v[0], &v[1]).unwrap(), surface::unit(&v[0]).unwrap()]);
    Check::new("mean curvature", f).run(&[real(&[4, 3], 1), real(&[4, 6], 2)]);
}

#[test]
fn fields_are_written_and_read() {
    let field = Field::siren(2, 3, 8, 2);
    let parameters = field.start(1, &Device::cpu()).unwrap();
    let values: Vec<Tensor> = parameters.into_iter().map(|p| p.value).collect();
    let model = lumigrad_field::Model { field, values, facts: [("kind".to_owned(), "image".to_owned())].into() };
    let bytes = model.to_bytes().unwrap();
    assert_eq!(bytes, model.to_bytes().unwrap());
    let read = lumigrad_field::Model::<lumigrad_field::Field>::from_bytes(&bytes, &Device::cpu()).unwrap();
    assert_eq!((read.field.clone(), read.facts.clone()), (model.field.clone(), model.facts.clone()));
    let sample = |m: &lumigrad_field::Model| {
        m.field.sample(&m.values, &[0.1, 0.2, -0.3, 0.4], &Arc::new(Derivatives::gradient(2))).unwrap()
    };
    assert_eq!(sample(&model), sample(&read));
    assert_eq!(sample(&model)[0].len(), 6);
    for n in (0..bytes.len()).step_by(37) {
        assert!(
            lumigrad_field::Model::<lumigrad_field::Field>::from_bytes(&bytes[..n], &Device::cpu()).is_err(),
            "{n} bytes"
        );
    }
}
