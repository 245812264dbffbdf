//! Operators of `Var`: derivatives, broadcasting, both devices.

use lumigrad_core::{DType, Device, Result, Tape, Tensor, Var};
use lumigrad_testkit::{Check, devices, real, real_in};

fn unary(name: &str, f: fn(&Var) -> Result<Var>, lo: f64, hi: f64) {
    Check::new(name, |x| Ok(vec![f(&x[0])?])).run(&[real_in(&[7, 5], 1, lo, hi)]);
}

#[test]
fn unary_operators_have_right_derivatives() {
    unary("neg", Var::neg, -2.0, 2.0);
    unary("abs", Var::abs, 0.1, 2.0);
    unary("exp", Var::exp, -2.0, 2.0);
    unary("ln", Var::ln, 0.1, 2.0);
    unary("sqrt", Var::sqrt, 0.1, 2.0);
    unary("recip", Var::recip, 0.3, 2.0);
    unary("sin", Var::sin, -6.0, 6.0);
    unary("cos", Var::cos, -6.0, 6.0);
    unary("tanh", Var::tanh, -3.0, 3.0);
    unary("sigmoid", Var::sigmoid, -3.0, 3.0);
    unary("silu", Var::silu, -3.0, 3.0);
    unary("gelu", Var::gelu, -3.0, 3.0);
    unary("quick_gelu", Var::quick_gelu, -3.0, 3.0);
    unary("softmax", Var::softmax, -3.0, 3.0);
    unary("softplus", Var::softplus, -3.0, 3.0);
    unary("relu", Var::relu, 0.1, 3.0);
    unary("sum", Var::sum, -1.0, 1.0);
    unary("mean", Var::mean, -1.0, 1.0);
    unary("clamp", |x| x.clamp(-0.5, 0.5), -0.4, 0.4);
}

#[test]
fn softplus_has_its_derivative_at_zero() {
    for device in devices("softplus") {
        let tape = Tape::new();
        let x = tape.variable(Tensor::from_slice(&device, &[0.0f32, -0.0, 90.0, -90.0], &[4]).unwrap());
        let y = x.softplus().unwrap();
        let found = tape.backward(&y.sum().unwrap()).unwrap().take(&x).unwrap().to_vec::<f32>().unwrap();
        for (found, expected) in found.iter().zip([0.5, 0.5, 1.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected} on {device}");
        }
    }
}

#[test]
fn binary_operators_broadcast_and_have_right_derivatives() {
    type Binary = fn(&Var, &Var) -> Result<Var>;
    let all: [(&str, Binary); 8] = [
        ("add", Var::add),
        ("sub", Var::sub),
        ("mul", Var::mul),
        ("div", Var::div),
        ("minimum", Var::minimum),
        ("maximum", Var::maximum),
        ("pow", Var::pow),
        ("atan2", Var::atan2),
    ];
    for (name, f) in all {
        for shape in [&[4, 3][..], &[3], &[1], &[4, 1], &[]] {
            let b = real_in(shape, 2, 0.5, 2.0);
            Check::new(name, |x| Ok(vec![f(&x[0], &x[1])?])).run(&[real_in(&[4, 3], 1, 0.5, 2.0), b]);
        }
    }
}

#[test]
fn axis_sums_have_right_derivatives() {
    for axis in 0..3 {
        Check::new("sum_axis", |x| Ok(vec![x[0].sum_axis(axis)?.square()?])).run(&[real(&[4, 3, 5], 1)]);
    }
}

#[test]
fn checkpoints_differentiate_like_what_they_wrap() {
    Check::new("checkpoint", |x| {
        lumigrad_core::checkpoint(&[&x[0], &x[1]], |v| Ok(vec![v[0].mul(&v[1])?.sin()?, v[0].exp()?]))
    })
    .run(&[real(&[9], 1), real(&[9], 2)]);
}

#[test]
fn shapes_that_do_not_broadcast_are_an_error() {
    let (a, b): (Var, Var) = (real(&[4, 3], 1).into(), real(&[2], 2).into());
    assert!(a.add(&b).unwrap_err().to_string().contains("broadcast"));
}

#[test]
fn slices_and_concatenations_have_right_derivatives() {
    for axis in 0..3 {
        Check::new("slice", |x| Ok(vec![x[0].slice(axis, 1, 3)?.sin()?])).run(&[real(&[4, 3, 5], 1)]);
        let mut shape = [4, 3, 5];
        shape[axis] = 2;
        Check::new("concat", |x| Ok(vec![lumigrad_core::ops::concat(&[&x[0], &x[1], &x[0]], axis)?.sin()?]))
            .run(&[real(&[4, 3, 5], 1), real(&shape, 2)]);
    }
}

#[test]
fn select_takes_the_right_branch_and_differentiates_it() {
    Check::new("select", |x| Ok(vec![x[0].less(&x[1])?.select(&x[1].sin()?, &x[2])?])).run(&[
        real(&[4, 3], 1),
        real(&[4, 3], 2),
        real(&[3], 3),
    ]);
    for device in devices("select") {
        let v = |data: &[f32]| Var::from(Tensor::from_slice(&device, data, &[data.len()]).unwrap());
        let chosen = v(&[0.0, 1.0, -0.5]).select(&v(&[1.0, 2.0, 3.0]), &v(&[-1.0, -2.0, -3.0])).unwrap();
        assert_eq!(chosen.tensor().to_vec::<f32>().unwrap(), [-1.0, 2.0, 3.0]);
        let less = v(&[0.0, 1.0, 2.0]).less(&v(&[1.0])).unwrap();
        assert_eq!(less.tensor().to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0]);
    }
}

#[test]
fn the_normal_distribution_in_gelu_is_that_of_the_tables() {
    for device in devices("gelu") {
        let x = Tensor::from_slice(&device, &[-4.0f32, -1.0, 0.0, 0.5, 2.0], &[5]).unwrap();
        let found = Var::from(x).gelu().unwrap().tensor().to_vec::<f32>().unwrap();
        // x times P(X ≤ x) of a table with eight digits.
        let expected = [-1.2668496e-4, -0.15865525, 0.0, 0.34573123, 1.9544997];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found} for {expected} on {device}");
        }
    }
}

#[test]
fn saturated_and_clamped_values_have_the_gradients_that_are_stated() {
    let tape = Tape::new();
    let at = |data: &[f64]| tape.variable(Tensor::from_slice(&Device::cpu(), data, &[data.len()]).unwrap());
    let gradient =
        |x: &Var, y: Var| tape.backward(&y.sum().unwrap()).unwrap().take(x).unwrap().to_vec::<f64>().unwrap();
    let x = at(&[-2.0, 0.0, 0.5, 3.0]);
    assert_eq!(gradient(&x, x.clamp(-1.0, 1.0).unwrap()), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(gradient(&x, x.relu().unwrap()), [0.0, 1.0, 1.0, 1.0]);
    assert_eq!(gradient(&x, x.floor().unwrap()), [0.0; 4]);
    // Neither overflows.
    let far = at(&[-1000.0, 1000.0]);
    assert_eq!(far.sigmoid().unwrap().tensor().to_vec::<f64>().unwrap(), [0.0, 1.0]);
    assert_eq!(far.softplus().unwrap().tensor().to_vec::<f64>().unwrap(), [0.0, 1000.0]);
    assert_eq!(gradient(&far, far.softplus().unwrap()), [0.0, 1.0]);
}

#[test]
fn the_diagonal_is_exact_for_small_variables_and_estimated_within_its_deviation_for_large_ones() {
    for device in devices("diagonal") {
        let put = |t: Tensor| t.cast(DType::F32).and_then(|t| t.to_device(&device)).unwrap();
        let (a, b) = (real(&[200, 4], 1), real(&[200, 40], 2));
        let tape = Tape::new();
        let (x, y) = (tape.variable(put(real(&[4, 1], 3))), tape.variable(put(real(&[40, 1], 4))));
        let (va, vb) = (Var::from(put(a.clone())), Var::from(put(b.clone())));
        let result = va.matmul(&x).unwrap().add(&vb.matmul(&y).unwrap()).unwrap();
        let jacobian = tape.linearize(&result, &[&x, &y]).unwrap();
        let probes = 32;
        let found = jacobian.diagonal(probes, 5).unwrap();
        let columns = |t: &Tensor, n: usize| -> Vec<f64> {
            let t = t.to_f64_vec().unwrap();
            (0..n).map(|k| (0..200).map(|r| t[r * n + k].powi(2)).sum()).collect()
        };
        assert_eq!(found[0].shape(), [4, 1]);
        for (x, exact) in found[0].to_f64_vec().unwrap().iter().zip(columns(&a, 4)) {
            assert!((x - exact).abs() < 1e-4 * exact, "{x} for {exact} on {device}");
        }
        let ratios: Vec<f64> =
            found[1].to_f64_vec().unwrap().iter().zip(columns(&b, 40)).map(|(x, exact)| x / exact - 1.0).collect();
        let deviation = (ratios.iter().map(|r| r * r).sum::<f64>() / 40.0).sqrt();
        // √(2/32) = 0.25 is expected; four standard errors of a deviation from 40 samples are 0.11.
        assert!(deviation > 0.05 && deviation < 0.36, "{deviation} on {device}");
        // One result per element: exact with one probe.
        let squares = y.square().unwrap();
        let d = tape.linearize(&squares, &[&y]).unwrap().diagonal(1, 7).unwrap().remove(0).to_f64_vec().unwrap();
        for (d, y) in d.iter().zip(y.tensor().to_f64_vec().unwrap()) {
            assert!((d - 4.0 * y * y).abs() < 1e-5);
        }
    }
}
