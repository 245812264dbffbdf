//! Defines an operator with its own derivatives: Kepler's equation, solved by Newton's method.
//!
//! The orbit's mean anomaly M and its eccentric anomaly E fulfil E − e·sin E = M. Recording the iterations would keep
//! them all for the derivative; the implicit function theorem needs only the solution: dE = dM / (1 − e·cos E).
//!
//! `cargo run -p lumigrad --example custom_operator`

use lumigrad::core::{Device, Operator, Result, Tape, Tensor, Var, apply};
use std::sync::Arc;

/// E of M [N] for an eccentricity in 0 ≤ e < 1.
struct Kepler {
    eccentricity: f64,
}

impl Kepler {
    /// 1 − e·cos E, the derivative of M by E.
    fn slope(&self, e: &Var) -> Result<Var> {
        e.cos()?.scale(-self.eccentricity)?.offset(1.0)
    }
}

impl Operator for Kepler {
    fn name(&self) -> &str {
        "kepler"
    }

    /// Values made from plain tensors are not recorded: no iteration is kept.
    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mean = Var::from(inputs[0].clone());
        // Starting on the far side, Newton's method converges from everywhere.
        let mut e = mean.add(&mean.sin()?.scale(self.eccentricity)?)?;
        for _ in 0..8 {
            let excess = e.sub(&e.sin()?.scale(self.eccentricity)?)?.sub(&mean)?;
            e = e.sub(&excess.div(&self.slope(&e)?)?)?;
        }
        Ok(vec![e.tensor().clone()])
    }

    /// Reverse mode: the cotangent of E becomes one of M.
    fn vjp(&self, _: &[Tensor], outputs: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        self.jvp(&[], outputs, c)
    }

    /// Forward mode: the same factor, because the Jacobian is diagonal.
    fn jvp(&self, _: &[Tensor], outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let Some(t) = &tangents[0] else { return Ok(vec![None]) };
        let slope = self.slope(&Var::from(outputs[0].clone()))?;
        Ok(vec![Some(Var::from(t.clone()).div(&slope)?.tensor().clone())])
    }
}

fn kepler(mean: &Var, eccentricity: f64) -> Result<Var> {
    Ok(apply(Arc::new(Kepler { eccentricity }), &[mean])?.remove(0))
}

fn main() -> Result<()> {
    let tape = Tape::new();
    let mean = tape.variable(Tensor::from_slice(&Device::cpu(), &[0.5, 1.0, 2.0], &[3])?);
    let e = kepler(&mean, 0.3)?;
    let gradient = tape.backward(&e.sum()?)?.take(&mean).expect("e depends on mean");
    println!("eccentric anomalies {:?}", e.tensor().to_vec::<f64>()?);
    println!("their derivatives   {:?}", gradient.to_vec::<f64>()?);
    Ok(())
}

#[test]
fn the_solution_fulfils_keplers_equation_and_has_right_derivatives() {
    use lumigrad_testkit::{Check, real_in};
    let mean = real_in(&[40], 1, -3.0, 3.0);
    let e = kepler(&mean.clone().into(), 0.6).unwrap().tensor().to_vec::<f64>().unwrap();
    for (e, m) in e.into_iter().zip(mean.to_vec::<f64>().unwrap()) {
        assert!((e - 0.6 * e.sin() - m).abs() < 1e-12);
    }
    Check::new("kepler", |x| Ok(vec![kepler(&x[0], 0.6)?])).run(&[mean]);
    main().unwrap();
}
