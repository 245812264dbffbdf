//! Gaussians as the rays of one camera meet them.

use crate::lanes::{Mask, Precision, V};
use crate::raycast::profile::REACH;
use fearless_simd::{Select, Simd, SimdBase, SimdFloat};

/// Numbers of a Gaussian in a picture: mean, quadratic form, log₂ of the optical depth, red, green, blue, depth, width, how
/// depths slope, nearest and farthest depth.
pub(crate) const ROW: usize = 15;

/// A Gaussian of standard deviations S and rotation R, as rays (x, y, 1) · t of a camera meet it.
///
/// In the frame of its axes, in units of its standard deviations, a ray has the direction d(x, y), d₀ through the mean, at
/// the distance n. Along a ray the density is a Gaussian too: about t = z k / q, of the width s / √q, of the optical depth
/// e^level · √(x² + y² + 1) / √q · e^(−p / 2q) with q = |d|² / |d₀|² = p / n² + k² and k = d · d₀ / |d₀|², linear in the
/// picture, and p, a quadratic form in it. All of this is exact; p alone is widened by the pixel's own footprint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blob<T> {
    /// Pixels.
    pub mean: [T; 2],
    /// a, b, c of −p / 2 ln 2 = a dx² + b dx dy + c dy², d from the mean to the pixel.
    pub form: [T; 3],
    /// log₂ of the optical depth along the ray through the mean, for a direction (x, y, 1) of length 1.
    pub level: T,
    pub colour: [T; 3],
    /// z and s.
    pub depth: T,
    pub width: T,
    /// k = 1 + e dx + f dy.
    pub slope: [T; 2],
    /// −2 ln 2 / n².
    pub bend: T,
    /// The box outside of which nothing is seen of it.
    pub low: [T; 2],
    pub high: [T; 2],
    /// No light fades before this depth.
    pub near: T,
}

impl<T: Precision> Blob<T> {
    /// From a row; what has an optical depth below 2^`least` is cut off.
    pub fn new(row: &[T; ROW], least: T) -> Self {
        let [x, y, a, b, c, level, red, green, blue, depth, width, e, f, near, _] = *row;
        let c_ = T::from_f64;
        let per = width / depth;
        let mut out = Self {
            mean: [x, y],
            form: [a, b, c],
            level,
            colour: [red, green, blue],
            depth,
            width,
            slope: [e, f],
            bend: c_(-2.0 * std::f64::consts::LN_2) * per * per,
            low: [-T::INFINITY; 2],
            high: [T::INFINITY; 2],
            near,
        };
        // Where p ≤ r q, with r twice the logarithm of how far the optical depth is above the least.
        let r = c_(2.0 * std::f64::consts::LN_2) * (level - least).max(T::ZERO);
        let rest = T::ONE - r * per * per;
        let det = (a * c - b * b * c_(0.25)) * c_(-2.0 * std::f64::consts::LN_2) * rest;
        let cov = [c / det, -(c_(0.5) * b / det), a / det];
        let across = [cov[0] * e + cov[1] * f, cov[1] * e + cov[2] * f];
        let open = T::ONE - r * (e * across[0] + f * across[1]);
        if rest > T::ZERO && open > c_(1e-3) {
            for k in 0..2 {
                let middle = out.mean[k] + r * across[k] / open;
                let half = (r / open * (cov[2 * k] + r * across[k] * across[k] / open)).sqrt();
                // A little more, for rounding.
                let half = half * c_(1.001) + c_(0.125);
                (out.low[k], out.high[k]) = (middle - half, middle + half);
            }
        }
        out
    }

    /// Counted from another pixel.
    #[inline(always)]
    pub fn from(&self, corner: [T; 2]) -> Self {
        let mut out = *self;
        for k in 0..2 {
            out.mean[k] = self.mean[k] - corner[k];
            out.low[k] = self.low[k] - corner[k];
            out.high[k] = self.high[k] - corner[k];
        }
        out
    }
}

/// A vector of rays at a Gaussian.
pub(crate) struct Meeting<N, M> {
    pub dx: N,
    pub dy: N,
    pub form: N,
    pub k: N,
    /// 1/q and 1/√q.
    pub per: N,
    pub root: N,
    /// log₂ of what the distance to the mean leaves of the optical depth.
    pub power: N,
    /// Optical depth τ − ε²/τ, ε the least, which is zero where the Gaussian ends; zero where there is no meeting.
    pub tau: N,
    /// Its derivative by ln τ: τ + ε²/τ.
    pub swell: N,
    /// Where along the rays, and one over the width there.
    pub middle: N,
    pub narrow: N,
    pub hit: M,
}

#[inline(always)]
pub(crate) fn meet<S: Simd, T: Precision>(
    simd: S,
    blob: &Blob<T>,
    [x, y]: [V<S, T>; 2],
    length: V<S, T>,
    least: T,
) -> Meeting<V<S, T>, Mask<S, T>> {
    let c = |x: T| V::<S, T>::splat(simd, x);
    let zero = c(T::ZERO);
    let (dx, dy) = (x - c(blob.mean[0]), y - c(blob.mean[1]));
    let [a, b, c2] = blob.form;
    let form = dx.mul_add(dx.mul_add(c(a), dy * c(b)), dy * dy * c(c2));
    let k = dx.mul_add(c(blob.slope[0]), dy.mul_add(c(blob.slope[1]), c(T::ONE)));
    let q = form.mul_add(c(blob.bend), k * k).max(c(T::from_f64(1e-12)));
    let per = T::inverse(simd, q);
    let power = form * per;
    let hit = power.simd_ge(c(least - blob.level)) & k.simd_gt(zero);
    let sqrt = q.sqrt();
    let root = per * sqrt;
    let full = T::exp2(simd, (power + c(blob.level)).max(c(T::of(-126.0))).min(c(T::of(126.0))));
    let rest = T::exp2(simd, c(least + least)) * T::inverse(simd, full);
    let across = hit.select(root * length, zero);
    let (tau, swell) = ((full - rest) * across, (full + rest) * across);
    let middle = c(blob.depth) * k * per;
    let narrow = sqrt * c(T::ONE / blob.width);
    Meeting { dx, dy, form, k, per, root, power, tau, swell, middle, narrow, hit }
}

/// The depths between which light fades in a vector of rays, where they meet.
#[inline(always)]
pub(crate) fn between<S: Simd, T: Precision>(simd: S, blob: &Blob<T>, m: &Meeting<V<S, T>, Mask<S, T>>) -> [f32; 2] {
    let half = m.root * V::<S, T>::splat(simd, blob.width * T::from_f64(REACH));
    let (first, last) = (m.middle - half, m.middle + half);
    let large = V::<S, T>::splat(simd, T::of(1e30));
    let first = m.hit.select(first, large).reduce_min();
    let last = m.hit.select(last, -large).reduce_max();
    // A little more, for rounding.
    [first.to_f64() as f32 * (1.0 - 1e-6), last.to_f64() as f32 * (1.0 + 1e-6)]
}
