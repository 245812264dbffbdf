//! The largest singular value of a Jacobian.

use crate::Result;
use crate::vectors::{dot, scaled, unflatten};
use lumigrad_core::ops::random;
use lumigrad_core::{Jacobian, Tensor};

/// The largest singular value of J, by power iteration on JᵀJ from a random direction: a lower bound that closes in
/// geometrically. `like` are the variables of J. **Cost**: a forward and a reverse pass per iteration.
///
/// # Errors
/// Those of the operators.
pub fn largest_singular_value(jacobian: &Jacobian, like: &[Tensor], iterations: usize, seed: u64) -> Result<f64> {
    let n: usize = like.iter().map(Tensor::len).sum();
    let start: Vec<f64> = (0..n).map(|i| random::normal(seed, i as u64)).collect();
    let (mut v, mut value) = (unflatten(&start, like)?, 0.0);
    for _ in 0..iterations {
        let norm = dot(&v, &v)?.sqrt();
        if norm <= 0.0 || !norm.is_finite() {
            break;
        }
        v = scaled(1.0 / norm, &v)?;
        let image = jacobian.apply(&v)?;
        value = dot(std::slice::from_ref(&image), std::slice::from_ref(&image))?.sqrt();
        v = jacobian.apply_transpose(&image)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::{Device, Tape};

    #[test]
    fn of_a_diagonal_map_it_is_the_largest_factor() {
        let cpu = Device::cpu();
        let tape = Tape::new();
        let x = tape.variable(Tensor::from_slice(&cpu, &[1.0, 2.0, 3.0], &[3]).unwrap());
        let factors = Tensor::from_slice(&cpu, &[0.5, -4.0, 2.0], &[3]).unwrap();
        let y = x.mul(&factors.into()).unwrap();
        let j = tape.linearize(&y, &[&x]).unwrap();
        let like = [x.tensor().clone()];
        assert!((largest_singular_value(&j, &like, 30, 1).unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(largest_singular_value(&j, &like, 0, 1).unwrap(), 0.0);
    }
}
