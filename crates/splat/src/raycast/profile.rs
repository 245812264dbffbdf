//! How light fades along a ray, in closed form.

use crate::lanes::{Precision, V, exp};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat};
use lumigrad_core::Real;

/// Standard deviations along a ray beyond which a Gaussian has ended.
pub(crate) const REACH: f64 = 3.25;

/// Of the normal density, (1 − x²/r²)² Σ qₖ x²ᵏ within r = [`REACH`]: fitted to it, with the integral 1.
const Q: [f64; 5] = [0.399437197, -0.12482118, 0.0232882468, -2.66474895e-3, 1.49010193e-4];

/// Coefficients of the density in x²; the integral's are these over 1, 3, 5 …, so that the derivative is exact.
pub(crate) const DENSITY: [f64; 7] = density();

const fn density() -> [f64; 7] {
    let (mut out, mut k) = ([0.0; 7], 0);
    let r2 = REACH * REACH;
    while k < 5 {
        out[k] += Q[k];
        out[k + 1] -= 2.0 * Q[k] / r2;
        out[k + 2] += Q[k] / (r2 * r2);
        k += 1;
    }
    // The integral over all is 1, to the last digit.
    let (mut half, mut power) = (0.0, REACH);
    k = 0;
    while k < 7 {
        half += out[k] * power / (2 * k + 1) as f64;
        power *= r2;
        k += 1;
    }
    k = 0;
    while k < 7 {
        out[k] *= 0.5 / half;
        k += 1;
    }
    out
}

/// Part of a Gaussian that is before `x` standard deviations from its middle: the normal distribution to 10⁻³, 0 and 1
/// from ∓[`REACH`] on, with two continuous derivatives.
#[inline(always)]
pub(crate) fn before<S: Simd, T: Precision>(simd: S, x: V<S, T>) -> V<S, T> {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let x = x.max(c(-REACH)).min(c(REACH));
    let xx = x * x;
    let mut sum = c(DENSITY[6] / 13.0);
    for k in [5, 4, 3, 2, 1, 0] {
        sum = sum.mul_add(xx, c(DENSITY[k] / (2 * k + 1) as f64));
    }
    sum.mul_add(x, c(0.5))
}

/// [`before`] and its derivative.
#[inline(always)]
pub(crate) fn before_and_density<S: Simd, T: Precision>(simd: S, x: V<S, T>) -> (V<S, T>, V<S, T>) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let x = x.max(c(-REACH)).min(c(REACH));
    let xx = x * x;
    let (mut sum, mut density) = (c(DENSITY[6] / 13.0), c(DENSITY[6]));
    for k in [5, 4, 3, 2, 1, 0] {
        sum = sum.mul_add(xx, c(DENSITY[k] / (2 * k + 1) as f64));
        density = density.mul_add(xx, c(DENSITY[k]));
    }
    (sum.mul_add(x, c(0.5)), density)
}

/// What an interval of optical depth τ does to light: e^−τ, the mean of e^−s over s from 0 to τ, and the derivative of that
/// mean by τ.
#[inline(always)]
pub(crate) fn fade<S: Simd, T: Precision>(simd: S, depth: V<S, T>) -> [V<S, T>; 3] {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let left = exp::<S, T>(simd, -depth);
    // Quotients of differences, which cancel in thin intervals: there the series.
    let thin = depth.simd_lt(c(THIN));
    let per = c(1.0) / thin.select(c(1.0), depth);
    let mean = (c(1.0) - left) * per;
    let slope = (left - mean) * per;
    let (mut mean_series, mut slope_series) = (c(MEAN[7]), c(MEAN[7] * 7.0));
    for k in [6, 5, 4, 3, 2, 1] {
        mean_series = mean_series.mul_add(depth, c(MEAN[k]));
        slope_series = slope_series.mul_add(depth, c(MEAN[k] * k as f64));
    }
    mean_series = mean_series.mul_add(depth, c(MEAN[0]));
    [left, thin.select(mean_series, mean), thin.select(slope_series, slope)]
}

/// Optical depth below which series are taken.
const THIN: f64 = 0.1;
/// (1 − e^−τ)/τ = Σ (−τ)ᵏ/(k + 1)!.
const MEAN: [f64; 8] =
    [1.0, -1.0 / 2.0, 1.0 / 6.0, -1.0 / 24.0, 1.0 / 120.0, -1.0 / 720.0, 1.0 / 5040.0, -1.0 / 40320.0];

/// [`before`] and its derivative, of one number.
pub(crate) fn before_one<R: Real>(x: R) -> (R, R) {
    let c = R::from_f64;
    let x = x.max(c(-REACH)).min(c(REACH));
    let xx = x * x;
    let (mut sum, mut density) = (R::ZERO, R::ZERO);
    for k in (0..7).rev() {
        sum = sum * xx + c(DENSITY[k] / (2 * k + 1) as f64);
        density = density * xx + c(DENSITY[k]);
    }
    (sum * x + c(0.5), density)
}

/// [`fade`] of one number.
pub(crate) fn fade_one<R: Real>(depth: R) -> [R; 3] {
    let c = R::from_f64;
    let left = (-depth).exp();
    if depth < c(THIN) {
        let (mut mean, mut slope) = (R::ZERO, R::ZERO);
        for k in (0..8).rev() {
            mean = mean * depth + c(MEAN[k]);
            if k > 0 {
                slope = slope * depth + c(MEAN[k] * k as f64);
            }
        }
        return [left, mean, slope];
    }
    let mean = (R::ONE - left) / depth;
    [left, mean, (left - mean) / depth]
}

/// Intervals of distance that light fades over: each octave of distances has 2^`bits` of equal length, so that an interval is
/// known by the first bits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// log₂ of the intervals in an octave.
    pub bits: u32,
}

impl Grid {
    /// The interval that a positive distance is in.
    #[inline(always)]
    pub fn interval(self, distance: f32) -> usize {
        (distance.to_bits() >> (23 - self.bits)) as usize
    }

    /// Where an interval begins.
    #[inline(always)]
    pub fn edge(self, interval: usize) -> f32 {
        f32::from_bits((interval as u32) << (23 - self.bits))
    }
}
