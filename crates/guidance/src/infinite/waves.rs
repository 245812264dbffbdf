//! Functions over the unit square by their cosine waves, which are the same at all resolutions.

use crate::cosine::{inverse, transform};
use crate::{CosineMixture, Result};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Device, Tensor, Var};
use std::f64::consts::PI;

/// Variance of waves that the trained pictures are too small for, and the least of others.
const LEAST: f64 = 1e-7;
/// Variance of noise against that of the signal, after the mollifier, that the Wiener filter expects.
const NOISE: f64 = 0.01;

/// The Gaussian of functions whose waves are independent, with the mollifier T: the filter whose kernel is a Gaussian with the
/// deviation of one trained pixel.
#[derive(Clone, Debug)]
pub struct Waves {
    gaussian: CosineMixture,
}

/// Waves of pictures of one size.
pub(super) struct Sized {
    /// Coefficients of pictures are this many times those at the trained size.
    pub ratio: f64,
    means: Var,
    variances: Var,
    soft: Var,
    sharp: Var,
}

impl Waves {
    /// From the Gaussian of pictures of the trained size, a mixture of one component.
    pub fn new(gaussian: CosineMixture) -> Self {
        Self { gaussian }
    }

    /// The Gaussian at the trained size.
    pub fn gaussian(&self) -> &CosineMixture {
        &self.gaussian
    }

    /// exp(−½(πk/n)²) for a wave with numbers k along both sides, n the trained size.
    fn soft(&self, y: usize, x: usize) -> f64 {
        let n = self.gaussian.size()[0] as f64;
        (-0.5 * (PI / n).powi(2) * (x * x + y * y) as f64).exp()
    }

    /// Of pictures with these rows and columns, where `like` is.
    pub(super) fn at(&self, [h, w]: [usize; 2], like: &Tensor) -> Result<Sized> {
        let [n, c] = self.gaussian.size();
        let [_, means, variances] = self.gaussian.moments();
        let put = |entry: &dyn Fn(usize, usize, usize) -> f64| -> Result<Var> {
            let all: Vec<f64> = (0..h * w * c).map(|k| entry(k / c / w, k / c % w, k % c)).collect();
            Ok(Tensor::from_slice(&Device::cpu(), &all, &[1, h, w, c])?
                .cast(like.dtype())?
                .to_device(like.device())?
                .into())
        };
        let of = |values: &[f32], y: usize, x: usize, k: usize, beyond: f64| {
            if y < n && x < n { values[(y * n + x) * c + k] as f64 } else { beyond }
        };
        Ok(Sized {
            ratio: ((h * w) as f64).sqrt() / n as f64,
            means: put(&|y, x, k| of(means, y, x, k, 0.0))?,
            variances: put(&|y, x, k| of(variances, y, x, k, LEAST).max(LEAST))?,
            soft: put(&|y, x, _| self.soft(y, x))?,
            sharp: put(&|y, x, _| {
                let m = self.soft(y, x);
                m / (m * m + NOISE)
            })?,
        })
    }

    /// Deviation of what the Gaussian leaves of the mollified noise at a flow level, on functions of its own law: √ of the mean
    /// over waves of m²α²λ/(α²λ + (1 − α)²).
    pub fn error(&self, alpha: f64) -> f64 {
        let [n, c] = self.gaussian.size();
        let variances = self.gaussian.moments()[2];
        let of = |(k, v): (usize, &f32)| {
            let (m, v) = (self.soft(k / c / n, k / c % n), alpha * alpha * *v as f64);
            m * m * v / (v + (1.0 - alpha).powi(2)).max(LEAST)
        };
        (variances.iter().enumerate().map(of).sum::<f64>() / variances.len() as f64).sqrt()
    }
}

impl Sized {
    /// Coefficients [N, H, W, C] of pictures, as at the trained size.
    pub fn of(&self, pictures: &Var) -> Result<Var> {
        Ok(transform(pictures)?.scale(1.0 / self.ratio)?)
    }

    /// Pictures of coefficients.
    pub fn pictures(&self, coefficients: &Var) -> Result<Var> {
        Ok(inverse(coefficients)?.scale(self.ratio)?)
    }

    /// Mollified coefficients.
    pub fn mollified(&self, coefficients: &Var) -> Result<Var> {
        Ok(coefficients.mul(&self.soft)?)
    }

    /// What was mollified, by the Wiener filter m/(m² + ν): waves that are lost in the noise stay small.
    pub fn sharpened(&self, coefficients: &Var) -> Result<Var> {
        Ok(coefficients.mul(&self.sharp)?)
    }

    /// The best predictions of x and of the noise z in y = α·x + (1 − α)·z by the Gaussian, in coefficients: with v = α²λ + (1 − α)²,
    /// μ + αλ(y − αμ)/v and (1 − α)(y − αμ)/v.
    pub fn guesses(&self, noisy: &Var, alphas: &Var) -> Result<[Var; 2]> {
        let inputs = [noisy, &self.means, &self.variances, alphas];
        let clean = pointwise("guidance/clean_of_waves", &inputs, |x| {
            let (a, s) = (x[3], 1.0 - x[3]);
            x[1] + a * x[2] * (x[0] - a * x[1]) / (a * a * x[2] + s * s)
        })?;
        let noise = pointwise("guidance/noise_of_waves", &inputs, |x| {
            let (a, s) = (x[3], 1.0 - x[3]);
            s * (x[0] - a * x[1]) / (a * a * x[2] + s * s)
        })?;
        Ok([clean, noise])
    }
}
