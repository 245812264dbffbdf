//! Motions on se(3): values against the power series of the matrix, derivatives, retraction.

use lumigrad_core::{Device, Tensor};
use lumigrad_optim::pose::{Chart, poses, retract};
use lumigrad_testkit::{Check, real, real_in};

const IDENTITY: [[f64; 4]; 4] =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

fn product(a: &[[f64; 4]; 4], b: &[[f64; 4]; 4]) -> [[f64; 4]; 4] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..4).map(|k| a[i][k] * b[k][j]).sum()))
}

/// exp of the 4 × 4 matrix of ξ by its power series.
fn series(x: &[f64; 6]) -> [[f64; 4]; 4] {
    let m = [[0.0, -x[2], x[1], x[3]], [x[2], 0.0, -x[0], x[4]], [-x[1], x[0], 0.0, x[5]], [0.0; 4]];
    let (mut sum, mut term) = (IDENTITY, IDENTITY);
    for k in 1..60 {
        term = product(&term, &m).map(|r| r.map(|x| x / k as f64));
        (0..4).for_each(|i| (0..4).for_each(|j| sum[i][j] += term[i][j]));
    }
    sum
}

fn motions() -> Vec<[f64; 6]> {
    let x = real(&[4, 6], 5).to_f64_vec().unwrap();
    let row = |k: usize, s: f64| -> [f64; 6] { std::array::from_fn(|i| s * x[6 * k + i]) };
    vec![[0.0; 6], row(0, 1e-9), row(1, 1e-3), row(2, 1.0), row(3, 3.0)]
}

#[test]
fn poses_agree_with_the_power_series_of_the_matrix() {
    let base = series(&[0.3, -0.5, 0.9, 1.0, 2.0, 3.0]);
    let shift = |v: [f64; 3]| -> [[f64; 4]; 4] {
        std::array::from_fn(|i| std::array::from_fn(|j| if j == 3 && i < 3 { v[i] } else { IDENTITY[i][j] }))
    };
    let chart = Chart { unit: 1.0, pivot: [0.4, -0.7, 2.0] };
    let seen = product(&base, &shift(chart.pivot)).map(|row| row[3]);
    let (there, back) = (shift([seen[0], seen[1], seen[2]]), shift([-seen[0], -seen[1], -seen[2]]));
    for xi in motions() {
        let expected = product(&product(&there, &product(&series(&xi), &back)), &base);
        let on_host = retract(&[base], &xi, chart).unwrap()[0];
        let t = Tensor::from_slice(&Device::cpu(), &xi, &[1, 6]).unwrap();
        let found = poses(&t.into(), &[base], chart).unwrap().tensor().to_f64_vec().unwrap();
        for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i, j))) {
            assert!((found[4 * i + j] - expected[i][j]).abs() < 1e-12, "{xi:?}");
            assert!((on_host[i][j] - expected[i][j]).abs() < 1e-12, "{xi:?}");
        }
    }
}

#[test]
fn poses_have_right_derivatives_at_zero_and_at_large_angles() {
    let base = [series(&[0.3, -0.5, 0.9, 1.0, 2.0, 3.0]), series(&[-1.0, 0.2, 0.1, 0.0, 1.0, -1.0])];
    for range in [0.0, 1e-4, 0.3, 2.0] {
        let check = |x: &[lumigrad_core::Var]| {
            Ok(vec![poses(&x[0], &base, Chart { unit: 2.5, pivot: [0.1, 0.2, 0.3] }).unwrap()])
        };
        Check::new("poses", check).run(&[real_in(&[2, 6], 3, -range, range)]);
    }
}

#[test]
fn many_retractions_stay_rigid() {
    let mut pose = IDENTITY;
    for k in 0..2000 {
        let x = real(&[6], k).to_f64_vec().unwrap();
        pose = retract(&[pose], &x, Chart { unit: 0.1, pivot: [1.0, 0.0, 0.0] }).unwrap()[0];
    }
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let dot: f64 = (0..3).map(|k| pose[i][k] * pose[j][k]).sum();
        assert!((dot - (i == j) as u8 as f64).abs() < 1e-14);
    }
}
