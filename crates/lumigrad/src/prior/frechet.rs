//! Distance between two sets of pictures, by the moments of fixed random features.

use crate::{Error, Result};
use faer::{Mat, Side};
use lumigrad_core::ops::{self, random};
use lumigrad_core::{Tensor, Var};

/// Channels of the two layers.
const WIDTHS: [usize; 2] = [24, 48];
/// Seed of the features: they are the same for every run.
const SEED: u64 = 0x0f2e_c4e7;
/// Pictures that go through at once.
const AT_ONCE: usize = 256;

/// Mean and covariance of features.
pub struct Moments {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Moments {
    /// Of pictures [N, P, P, C]: two convolutions of 3 × 3 with fixed normal weights (24 filters, then 48 at half the
    /// resolution), each cut off below 0; a feature is a filter's mean over the picture.
    pub fn of(pictures: &Tensor) -> Result<Self> {
        let &[n, h, w, c] = pictures.shape() else {
            return Err(Error::job(format!("pictures have shape {:?}, expected [N, H, W, C]", pictures.shape())));
        };
        if n < 2 {
            return Err(Error::job(format!("{n} pictures have no covariance, expected at least 2")));
        }
        let layer = |k: u64, inputs: usize, outputs: usize| -> Result<Var> {
            let deviation = (2.0 / (9 * inputs) as f64).sqrt();
            let weights = ops::random_normal(pictures.device(), pictures.dtype(), &[3, 3, inputs, outputs], SEED + k)?;
            Ok(ops::scale_tensor(&weights, deviation)?.into())
        };
        let weights = [layer(0, c, WIDTHS[0])?, layer(1, WIDTHS[0], WIDTHS[1])?];
        let d = WIDTHS[1];
        let mut rows = vec![];
        for first in (0..n).step_by(AT_ONCE) {
            let part = ops::slice_tensor(pictures, 0, first, (first + AT_ONCE).min(n))?;
            let x = ops::conv2d(&part.into(), &weights[0], None, 1)?.relu()?;
            let x = ops::conv2d(&x, &weights[1], None, 2)?.relu()?;
            let count = x.shape()[0];
            rows.extend(x.reshape(&[count, h.div_ceil(2) * w.div_ceil(2), d])?.mean_axis(1)?.tensor().to_f64_vec()?);
        }
        let mut mean = vec![0.0; d];
        rows.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / n as f64));
        let off = |i: usize, k: usize| rows[i * d + k] - mean[k];
        let covariance = Mat::from_fn(d, d, |a, b| (0..n).map(|i| off(i, a) * off(i, b)).sum::<f64>() / (n - 1) as f64);
        Ok(Self { mean, covariance })
    }

    /// ‖m₁ − m₂‖² + tr(C₁ + C₂ − 2(C₁C₂)^½): the squared Fréchet distance of two Gaussians (Dowson & Landau 1982).
    pub fn distance(&self, other: &Self) -> Result<f64> {
        let failed = |_| Error::job("a covariance of features has no eigenvalues");
        let eigen = self.covariance.self_adjoint_eigen(Side::Lower).map_err(failed)?;
        let (u, s) = (eigen.U(), eigen.S().column_vector());
        let d = self.mean.len();
        let half = Mat::from_fn(d, d, |i, k| u[(i, k)] * s[k].max(0.0).sqrt().sqrt());
        let root = &half * half.transpose();
        // tr (C₁C₂)^½ = tr (C₁^½ C₂ C₁^½)^½.
        let inner = &root * &other.covariance * &root;
        let roots = inner.self_adjoint_eigen(Side::Lower).map_err(failed)?;
        let cross: f64 = (0..d).map(|k| roots.S().column_vector()[k].max(0.0).sqrt()).sum();
        let trace = |m: &Mat<f64>| (0..d).map(|k| m[(k, k)]).sum::<f64>();
        let means: f64 = self.mean.iter().zip(&other.mean).map(|(a, b)| (a - b) * (a - b)).sum();
        Ok(means + trace(&self.covariance) + trace(&other.covariance) - 2.0 * cross)
    }
}

/// A stream of its own for everything that is drawn to be compared.
pub fn stream(seed: u64, which: u64) -> u64 {
    random::hash(seed ^ SEED, which)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::{DType, Device};

    #[test]
    fn the_distance_of_diagonal_gaussians_is_that_of_the_formula() {
        let law = |mean: [f64; 2], s: [f64; 2]| Moments {
            mean: mean.to_vec(),
            covariance: Mat::from_fn(2, 2, |i, j| if i == j { s[i] * s[i] } else { 0.0 }),
        };
        let (a, b) = (law([0.0, 1.0], [1.0, 2.0]), law([3.0, 1.0], [0.5, 2.5]));
        // Σ (m₁ − m₂)² + (s₁ − s₂)²
        assert!((a.distance(&b).unwrap() - (9.0 + 0.25 + 0.25)).abs() < 1e-9);
        assert!(a.distance(&a).unwrap().abs() < 1e-9);
    }

    #[test]
    fn pictures_of_one_law_are_nearer_than_pictures_of_two() {
        let noise = |seed| ops::random_normal(&Device::cpu(), DType::F32, &[600, 8, 8, 3], seed).unwrap();
        let spread = ops::scale_tensor(&noise(3), 1.5).unwrap();
        let of = |t: &Tensor| Moments::of(t).unwrap();
        let (same, other) = (of(&noise(1)).distance(&of(&noise(2))), of(&noise(1)).distance(&of(&spread)));
        assert!(10.0 * same.unwrap() < other.unwrap());
    }
}
