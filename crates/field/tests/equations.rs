//! Equations as text.

use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Derivatives, Equation, Field, Jet, Names};
use lumigrad_testkit::real;
use std::sync::Arc;

fn names() -> Names {
    Names { coordinates: vec!['x', 't'], unknowns: vec!["u".into()], constants: [("c".to_owned(), 2.0)].into() }
}

/// Value of an equation without unknowns at x = 0.5, t = −2.
fn number(text: &str) -> f64 {
    let points: Var = Tensor::from_slice(&Device::cpu(), &[0.5, -2.0], &[1, 2]).unwrap().into();
    let jet = Jet::seed(&points, Arc::new(Derivatives::none())).unwrap();
    let found =
        Equation::parse(text, &names()).unwrap_or_else(|e| panic!("{text}: {e}")).residual(&jet, &points).unwrap();
    found.tensor().to_vec::<f64>().unwrap()[0]
}

#[test]
fn arithmetic_is_read_as_it_is_written() {
    for (text, value) in [
        ("1 + 2*3", 7.0),
        ("-x^2", -0.25),
        ("2 - 3 - 4", -5.0),
        ("8 / 2 / 2", 2.0),
        ("2^-2 + t^3", -7.75),
        ("c*(x + t)", -3.0),
        ("1.5e1 - .5", 14.5),
        ("sin(pi/2) + abs(t)", 3.0),
        ("--1", 1.0),
        ("4^x", 2.0),
        ("exp(ln(3))*tanh(0) + sqrt(4)", 2.0),
    ] {
        assert!((number(text) - value).abs() < 1e-12, "{text}: {} {value}", number(text));
    }
}

#[test]
fn derivatives_are_those_of_the_field() {
    let equation = Equation::parse("u_tt - c^2*u_xx + u*u_x + u_tx - t", &names()).unwrap();
    assert_eq!(equation.needs().n_streams(), 1 + 2 + 3);
    let field = Field::siren(2, 1, 8, 2);
    let vars: Vec<Var> = field.shapes().iter().zip(1..).map(|((_, s), seed)| real(s, seed).into()).collect();
    let points: Var = real(&[5, 2], 9).into();
    let jet = field.jet(&vars, &points, &Arc::new(equation.needs().clone())).unwrap();
    let found = equation.residual(&jet, &points).unwrap().tensor().to_vec::<f64>().unwrap();
    let of = |v: Var| v.tensor().to_vec::<f64>().unwrap();
    let (u, ux, uxx) = (of(jet.value().clone()), of(jet.first(0).unwrap()), of(jet.second(0, 0).unwrap()));
    let (utt, uxt, p) = (of(jet.second(1, 1).unwrap()), of(jet.second(0, 1).unwrap()), of(points));
    for i in 0..5 {
        let expected = utt[i] - 4.0 * uxx[i] + u[i] * ux[i] + uxt[i] - p[2 * i + 1];
        assert!((found[i] - expected).abs() < 1e-9 * expected.abs().max(1.0));
    }
}

#[test]
fn linear_equations_are_factors_and_a_rest() {
    let points: Var = real(&[6, 2], 9).into();
    let equation = Equation::parse("x^2*u_tt - (c + sin(t))*u_xx + 3*u_tx/(2 + x) - u + exp(x)", &names()).unwrap();
    let factors = equation.linear(&points).unwrap().unwrap().tensor().to_vec::<f64>().unwrap();
    let field = Field::siren(2, 1, 8, 2);
    let vars: Vec<Var> = field.shapes().iter().zip(1..).map(|((_, s), seed)| real(s, seed).into()).collect();
    let jet = field.jet(&vars, &points, &Arc::new(equation.needs().clone())).unwrap();
    let whole = equation.residual(&jet, &points).unwrap().tensor().to_vec::<f64>().unwrap();
    let streams: Vec<Vec<f64>> = jet.streams().iter().flatten().map(|s| s.tensor().to_vec::<f64>().unwrap()).collect();
    for (i, row) in factors.chunks_exact(streams.len() + 1).enumerate() {
        let sum = streams.iter().zip(row).map(|(s, f)| s[i] * f).sum::<f64>() + row[streams.len()];
        assert!((sum - whole[i]).abs() < 1e-9 * whole[i].abs().max(1.0), "{sum}, expected {}", whole[i]);
    }
    for text in ["u*u_x", "u^2", "1/u", "sin(u)", "2^u", "x*(u - 1)*(t + u_x)"] {
        assert!(Equation::parse(text, &names()).unwrap().linear(&points).unwrap().is_none(), "{text}");
    }
    for text in ["u", "x + t", "(u_x - 1)*x/3", "-(u + u_t)"] {
        assert!(Equation::parse(text, &names()).unwrap().linear(&points).unwrap().is_some(), "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, what) in [
        ("u_xx + * u", "found '*'"),
        ("u_xx + q", "unknown name \"q\""),
        ("u_xy", "unknown name \"u_xy\""),
        ("u_xxt", "up to the second"),
        ("(u", "expected )"),
        ("u u", "expected an operator"),
        ("", "the end"),
        ("sin u", "expected ( after sin"),
        ("1..2", "no number"),
        ("u_", "unknown name"),
        ("u + é", "found 'é'"),
    ] {
        let error = Equation::parse(text, &names()).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("⟨here⟩"), "{text}: {error}");
    }
    assert!(Equation::parse(&"(".repeat(5000), &names()).unwrap_err().to_string().contains("deeply"));
    assert!(Equation::parse(&"-".repeat(9000), &names()).is_err());
    assert!(Equation::parse(&"2^".repeat(3000), &names()).is_err());
}
