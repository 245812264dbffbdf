//! How alike two arrays are but for scale and offset.

use crate::Result;
use lumigrad_core::Var;
use lumigrad_core::ops::pointwise;

/// Pearson's correlation of two arrays: ρ = Σ(a − ā)(b − b̄) / √(Σ(a − ā)² · Σ(b − b̄)²), a scalar.
///
/// 0 where one of them is constant, with gradients of 0. It does not change when an array is scaled by a positive number or
/// shifted; 1 − ρ keeps a grid of densities the shape that it had (Vox-E, Sella et al. 2023, eq. 3).
///
/// **Shapes**: a and b alike. **Gradients**: to both. **Cost**: some passes over both.
///
/// # Errors
/// Shapes that differ.
pub fn correlation(a: &Var, b: &Var) -> Result<Var> {
    if a.shape() != b.shape() {
        return Err(lumigrad_core::Error::shape("b of correlation", b.shape(), format!("{:?} of a", a.shape())).into());
    }
    let centred = |x: &Var| x.sub(&x.mean()?);
    let (a, b) = (centred(a)?, centred(b)?);
    let (aa, bb, ab) = (a.square()?.mean()?, b.square()?.mean()?, a.mul(&b)?.mean()?);
    Ok(pointwise("optim/correlation", &[&ab, &aa, &bb], |x| {
        let varied = x[1].min(x[2]).greater(0.0);
        let [s, t] = [x[1], x[2]].map(|v| varied.select(v, 1.0).sqrt());
        varied.select(x[0] / (s * t), 0.0)
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::{Device, Tape, Tensor};
    use lumigrad_testkit::{Check, real};

    fn of(a: &[f64], b: &[f64]) -> f64 {
        let var = |x: &[f64]| Var::from(Tensor::from_slice(&Device::cpu(), x, &[x.len()]).unwrap());
        correlation(&var(a), &var(b)).unwrap().tensor().item().unwrap()
    }

    #[test]
    fn correlation_has_its_gradient() {
        let f = |x: &[Var]| match correlation(&x[0], &x[1]) {
            Ok(v) => Ok(vec![v]),
            Err(crate::Error::Core(e)) => Err(e),
            Err(e) => panic!("{e}"),
        };
        Check::new("correlation", f).run(&[real(&[37], 1), real(&[37], 2)]);
    }

    #[test]
    fn correlation_is_that_of_anscombes_quartet() {
        // Anscombe 1973, data set 1: r = 0.81642.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        assert!((of(&x, &y) - 0.816_42).abs() < 1e-5);
    }

    #[test]
    fn correlation_does_not_see_scale_and_offset() {
        let a: Vec<f64> = (0..20).map(|k| (k as f64).sin()).collect();
        let b: Vec<f64> = a.iter().map(|x| 7.0 * x - 3.0).collect();
        assert!((of(&a, &b) - 1.0).abs() < 1e-12);
        let c: Vec<f64> = a.iter().map(|x| -0.1 * x).collect();
        assert!((of(&a, &c) + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_has_no_correlation_and_no_gradient() {
        let tape = Tape::new();
        let a = tape.variable(Tensor::from_slice(&Device::cpu(), &[2.0f64; 5], &[5]).unwrap());
        let b = tape.variable(Tensor::from_slice(&Device::cpu(), &[1.0f64, 2.0, 3.0, 5.0, 4.0], &[5]).unwrap());
        let r = correlation(&a, &b).unwrap();
        assert_eq!(r.tensor().item().unwrap(), 0.0);
        let mut gradients = tape.backward(&r).unwrap();
        for v in [&a, &b] {
            assert!(gradients.take(v).unwrap().to_f64_vec().unwrap().iter().all(|g| *g == 0.0));
        }
    }
}
