//! Operators of `Var`: derivatives, broadcasting, both devices.

use lumigrad_core::{Result, Var};
use lumigrad_testkit::{Check, real, real_in};

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
    unary("softplus", Var::softplus, -3.0, 3.0);
    unary("relu", Var::relu, 0.1, 3.0);
    unary("sum", Var::sum, -1.0, 1.0);
    unary("mean", Var::mean, -1.0, 1.0);
    unary("clamp", |x| x.clamp(-0.5, 0.5), -0.4, 0.4);
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
