//! The loss of training: (1 − λ) · L1 + λ · (1 − SSIM), with its derivative.

mod curvature;

use crate::lanes::{Precision, V, level};
use fearless_simd::{Simd, SimdBase, SimdFloat, dispatch};
use lumigrad_core::Real;
use rayon::prelude::*;

/// Weight of 1 − SSIM.
const LAMBDA: f64 = 0.2;
const RADIUS: usize = 5;
const TAPS: usize = 2 * RADIUS + 1;
const SIGMA: f64 = 1.5;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;
/// Rows that are worked on together: the halo of a band is blurred twice.
const BAND: usize = 48;

/// From the middle to the end.
type Weights<R> = [R; RADIUS + 1];

/// Red, green and blue, each [H·W].
pub(crate) type Planes<R> = [Vec<R>; 3];

/// What the loss works in.
#[derive(Default)]
pub(crate) struct Scratch<R> {
    /// Derivative by the blurred picture, by that of its square, and by that of its product with the target: of one
    /// channel after the other, pixel by pixel.
    maps: [[Vec<R>; 3]; 3],
    /// Of one channel after the other, what [`Scratch::curvature`] blurs.
    stiffness: [Vec<R>; 3],
}

impl<R: Precision> Scratch<R> {
    /// Loss of a picture against its target, the mean over pixels and channels, and its derivative by the picture.
    ///
    /// SSIM has an 11×11 window of σ 1.5 with zeros beyond the borders (Wang et al. 2004; as 3DGS). L1 has gradient 0 at
    /// equality.
    pub fn loss(&mut self, picture: &Planes<R>, target: &Planes<R>, width: usize, out: &mut Planes<R>) -> R {
        self.gradient::<false>(picture, target, width, out)
    }

    /// As [`Scratch::loss`]; with `STIFF`, what [`Scratch::curvature`] needs is kept.
    pub fn gradient<const STIFF: bool>(
        &mut self,
        picture: &Planes<R>,
        target: &Planes<R>,
        width: usize,
        out: &mut Planes<R>,
    ) -> R {
        let loss = self.value::<STIFF>(picture, target, width);
        let (n, weights, band) = (picture[0].len(), window(), BAND * width.max(1));
        let scale = R::from_f64(1.0 / (3.0 * n.max(1) as f64));
        let channels = picture.iter().zip(target);
        let second = channels.zip(&self.maps).zip(out).flat_map(|(((x, y), maps), out)| {
            out.resize(n, R::ZERO);
            out.chunks_mut(band).enumerate().map(move |(k, out)| (x, y, maps, k * BAND, out))
        });
        let second: Vec<_> = second.collect();
        second.into_par_iter().for_each(|(x, y, maps, top, out)| {
            dispatch!(level(), simd => gradient_band(simd, [x, y], maps, width, top, &weights, scale, out));
        });
        loss
    }

    /// The loss alone.
    pub fn value<const STIFF: bool>(&mut self, picture: &Planes<R>, target: &Planes<R>, width: usize) -> R {
        let n = picture[0].len();
        let weights = window();
        let band = BAND * width.max(1);
        let channels = picture.iter().zip(target).zip(&mut self.maps).zip(&mut self.stiffness);
        let bands = channels.flat_map(|(((x, y), maps), stiffness)| {
            maps.iter_mut().for_each(|m| m.resize(n, R::ZERO));
            stiffness.resize(if STIFF { n } else { 0 }, R::ZERO);
            let [m, xx, xy] = maps;
            let parts = m.chunks_mut(band).zip(xx.chunks_mut(band)).zip(xy.chunks_mut(band));
            let stiffness = stiffness.chunks_mut(band).chain(std::iter::repeat_with(Default::default));
            let parts = parts.zip(stiffness).enumerate();
            parts.map(move |(k, (((m, xx), xy), stiffness))| (x, y, k * BAND, [m, xx, xy, stiffness]))
        });
        let sums = bands.collect::<Vec<_>>().into_par_iter().map(
            |(x, y, top, maps)| dispatch!(level(), simd => ssim_band::<_, R, STIFF>(simd, x, y, width, top, &weights, maps)),
        );
        // Summed in order: the same bits for any number of threads.
        let total: R = sums.collect::<Vec<R>>().into_iter().sum();
        total * R::from_f64(1.0 / (3.0 * n.max(1) as f64))
    }
}

/// The weights of a window from its middle to its end; the whole sums to 1.
fn window<R: Real>() -> Weights<R> {
    let weight = |k: usize| (-(k as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let sum = weight(0) + 2.0 * (1..=RADIUS).map(weight).sum::<f64>();
    std::array::from_fn(|k| R::from_f64(weight(k) / sum))
}

/// Rows blurred along x, of which the last 11 are kept for the blur along y.
struct Ring<R, const N: usize> {
    width: usize,
    /// For each map 11 rows.
    rows: [Vec<R>; N],
    /// A row with zeros at both ends.
    padded: Vec<R>,
}

impl<R: Precision, const N: usize> Ring<R, N> {
    fn new(width: usize) -> Self {
        let rows = std::array::from_fn(|_| vec![R::ZERO; TAPS * width]);
        Self { width, rows, padded: vec![R::ZERO; width + 2 * RADIUS] }
    }

    /// Row `y` of map `k` becomes the product of both factors, blurred; zeros where it is outside of the picture.
    #[inline(always)]
    fn push<S: Simd>(&mut self, simd: S, k: usize, y: isize, weights: &Weights<R>, factors: Option<(&[R], &[R])>) {
        let n = self.width;
        let first = y.rem_euclid(TAPS as isize) as usize * n;
        let to = &mut self.rows[k][first..first + n];
        let Some((a, b)) = factors else { return to.fill(R::ZERO) };
        let (middle, a, b) = (&mut self.padded[RADIUS..RADIUS + n], &a[..n], &b[..n]);
        for i in 0..n {
            middle[i] = a[i] * b[i];
        }
        let mut starts = [0; TAPS];
        for (j, start) in starts.iter_mut().enumerate() {
            *start = j;
        }
        blur(simd, &self.padded, &starts, weights, to);
    }

    /// Row `y` of map `k`, blurred both ways.
    #[inline(always)]
    fn row<S: Simd>(&self, simd: S, k: usize, y: isize, weights: &Weights<R>, out: &mut [R]) {
        let mut starts = [0; TAPS];
        for (j, start) in starts.iter_mut().enumerate() {
            *start = (y - RADIUS as isize + j as isize).rem_euclid(TAPS as isize) as usize * self.width;
        }
        blur(simd, &self.rows[k], &starts, weights, out);
    }
}

/// The weighted sum of 11 rows of `from`, which begin at `starts`.
#[inline(always)]
fn blur<S: Simd, R: Precision>(simd: S, from: &[R], starts: &[usize; TAPS], weights: &Weights<R>, out: &mut [R]) {
    let (n, len) = (out.len(), V::<S, R>::LEN);
    if n < len {
        for x in 0..n {
            out[x] = weights[0] * from[starts[RADIUS] + x];
            for k in 1..=RADIUS {
                out[x] += weights[k] * (from[starts[RADIUS - k] + x] + from[starts[RADIUS + k] + x]);
            }
        }
        return;
    }
    let mut rows = [&from[..n]; TAPS];
    for (row, &start) in rows.iter_mut().zip(starts) {
        *row = &from[start..start + n];
    }
    let mut at = 0;
    while at + len <= n {
        blur_vector(simd, &rows, at, weights, out);
        at += len;
    }
    // The last vector overlaps the one before.
    if at < n {
        blur_vector(simd, &rows, n - len, weights, out);
    }
}

#[inline(always)]
fn blur_vector<S: Simd, R: Precision>(simd: S, rows: &[&[R]; TAPS], at: usize, weights: &Weights<R>, out: &mut [R]) {
    let end = at + V::<S, R>::LEN;
    let mut sum = V::<S, R>::from_slice(simd, &rows[RADIUS][at..end]) * weights[0];
    for k in 1..=RADIUS {
        let a = V::<S, R>::from_slice(simd, &rows[RADIUS - k][at..end]);
        let b = V::<S, R>::from_slice(simd, &rows[RADIUS + k][at..end]);
        sum = (a + b).mul_add(weights[k], sum);
    }
    sum.store_slice(&mut out[at..end]);
}

/// Sum of the loss over the rows of a band, and the derivative by its blurred maps; with `STIFF` the larger curvature of
/// 1 − SSIM by both of its factors, see [`Scratch::curvature`].
#[inline(always)]
fn ssim_band<S: Simd, R: Precision, const STIFF: bool>(
    simd: S,
    x: &[R],
    y: &[R],
    width: usize,
    top: usize,
    weights: &Weights<R>,
    maps: [&mut [R]; 4],
) -> R {
    let height = x.len() / width;
    let mut ring = Ring::<R, 5>::new(width);
    let mut means: [Vec<R>; 5] = std::array::from_fn(|_| vec![R::ZERO; width]);
    let (mut values, ones) = (vec![R::ZERO; width], vec![R::ONE; width]);
    let (c1, c2, two, lambda) = (R::from_f64(C1), R::from_f64(C2), R::of(2.0), R::from_f64(LAMBDA));
    let [to_m, to_xx, to_xy, to_stiffness] = maps;
    let lines = to_m.len() / width;
    let mut total = R::ZERO;
    for line in 0..lines + 2 * RADIUS {
        let row = (top + line) as isize - RADIUS as isize;
        let inside = row >= 0 && (row as usize) < height;
        let at = if inside { row as usize * width } else { 0 };
        let (px, py) = (&x[at..][..width], &y[at..][..width]);
        let ones = &ones[..];
        for (k, factors) in [(px, ones), (py, ones), (px, px), (py, py), (px, py)].into_iter().enumerate() {
            ring.push(simd, k, row, weights, inside.then_some(factors));
        }
        let Some(own) = line.checked_sub(2 * RADIUS) else { continue };
        let row = (top + own) as isize;
        for (k, mean) in means.iter_mut().enumerate() {
            ring.row(simd, k, row, weights, mean);
        }
        let [mx, my, bxx, byy, bxy] = &means;
        let (mx, my, bxx, byy, bxy) = (&mx[..width], &my[..width], &bxx[..width], &byy[..width], &bxy[..width]);
        let at = row as usize * width;
        let (px, py) = (&x[at..][..width], &y[at..][..width]);
        let own = own * width..(own + 1) * width;
        let to_stiffness = if STIFF { &mut to_stiffness[own.clone()][..width] } else { &mut [] };
        let (to_m, to_xx, to_xy) = (&mut to_m[own.clone()], &mut to_xx[own.clone()], &mut to_xy[own]);
        let (to_m, to_xx, to_xy) = (&mut to_m[..width], &mut to_xx[..width], &mut to_xy[..width]);
        let values = &mut values[..width];
        for i in 0..width {
            let (mx, my) = (mx[i], my[i]);
            let a1 = two * mx * my + c1;
            let a2 = two * (bxy[i] - mx * my) + c2;
            let d1 = mx * mx + my * my + c1;
            let d2 = bxx[i] - mx * mx + byy[i] - my * my + c2;
            let inverse = R::ONE / (d1 * d2);
            let ssim = a1 * a2 * inverse;
            let by_xx = -(ssim * d1 * inverse);
            let by_xy = two * a1 * inverse;
            to_m[i] = two * my * a2 * inverse - two * mx * ssim * d2 * inverse - two * mx * by_xx - my * by_xy;
            to_xx[i] = by_xx;
            to_xy[i] = by_xy;
            if STIFF {
                let (by_means, by_spread) = (a2 * inverse, a1 * inverse);
                let least = R::from_f64(curvature::LEAST);
                to_stiffness[i] = by_means.max(least / d1).max(by_spread.max(least / d2));
            }
            values[i] = (R::ONE - lambda) * (px[i] - py[i]).abs() + lambda * (R::ONE - ssim);
        }
        let (eights, others) = values.as_chunks::<8>();
        let mut sums = [R::ZERO; 8];
        for eight in eights {
            (0..8).for_each(|k| sums[k] += eight[k]);
        }
        total += sums.into_iter().sum::<R>() + others.iter().copied().sum::<R>();
    }
    total
}

/// The derivative by the rows of a band.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn gradient_band<S: Simd, R: Precision>(
    simd: S,
    [x, y]: [&[R]; 2],
    maps: &[Vec<R>; 3],
    width: usize,
    top: usize,
    weights: &Weights<R>,
    scale: R,
    out: &mut [R],
) {
    let height = x.len() / width;
    let mut ring = Ring::<R, 3>::new(width);
    let mut blurred: [Vec<R>; 3] = std::array::from_fn(|_| vec![R::ZERO; width]);
    let ones = vec![R::ONE; width];
    let (two, lambda) = (R::of(2.0), R::from_f64(LAMBDA));
    let lines = out.len() / width;
    for line in 0..lines + 2 * RADIUS {
        let row = (top + line) as isize - RADIUS as isize;
        let inside = row >= 0 && (row as usize) < height;
        let at = if inside { row as usize * width } else { 0 };
        for (k, map) in maps.iter().enumerate() {
            ring.push(simd, k, row, weights, inside.then_some((&map[at..at + width], &ones[..])));
        }
        let Some(own) = line.checked_sub(2 * RADIUS) else { continue };
        let row = (top + own) as isize;
        for (k, blurred) in blurred.iter_mut().enumerate() {
            ring.row(simd, k, row, weights, blurred);
        }
        let [m, xx, xy] = &blurred;
        let (m, xx, xy) = (&m[..width], &xx[..width], &xy[..width]);
        let at = row as usize * width;
        let (px, py) = (&x[at..][..width], &y[at..][..width]);
        let out = &mut out[own * width..][..width];
        for i in 0..width {
            let d = px[i] - py[i];
            let sign = if d > R::ZERO { R::ONE } else { R::ZERO } - if d < R::ZERO { R::ONE } else { R::ZERO };
            let by = (R::ONE - lambda) * sign - lambda * (m[i] + two * px[i] * xx[i] + py[i] * xy[i]);
            out[i] = by * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(n: usize, of: impl Fn(usize, usize) -> f64) -> Planes<f64> {
        std::array::from_fn(|ch| (0..n).map(|i| of(i, ch)).collect())
    }

    fn loss(x: &Planes<f64>, y: &Planes<f64>, width: usize) -> (f64, Planes<f64>) {
        let mut out = Default::default();
        let total = Scratch::default().loss(x, y, width, &mut out);
        (total, out)
    }

    #[test]
    fn gradient_matches_finite_differences() {
        // More rows than a band.
        for (width, height) in [(9, 7), (3, 55)] {
            let at = |i: usize, ch: usize| ((i * 31 + ch * 17 + 5) % 23) as f64 / 23.0;
            let (x, y) = (planes(width * height, at), planes(width * height, |i, ch| at(i + 3, ch + 1) * 0.9));
            let exact = loss(&x, &y, width).1;
            for i in 0..width * height {
                for ch in 0..3 {
                    let moved = |by: f64| {
                        let mut x = x.clone();
                        x[ch][i] += by;
                        loss(&x, &y, width).0
                    };
                    let found = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!((found - exact[ch][i]).abs() < 1e-8, "{found} {}", exact[ch][i]);
                }
            }
        }
    }

    #[test]
    fn loss_of_constant_pictures_is_the_closed_form() {
        // In the middle of a large constant picture SSIM is (2ab + C1) / (a² + b² + C1).
        let (a, b) = (0.3f64, 0.5);
        let total = |n: usize| loss(&planes(n * n, |_, _| a), &planes(n * n, |_, _| b), n).0 * (n * n) as f64;
        // The second difference in n leaves the middle: borders grow with n.
        let middle = (total(42) - 2.0 * total(41) + total(40)) / 2.0;
        let ssim = (2.0 * a * b + C1) / (a * a + b * b + C1);
        assert!((middle - (0.8 * (b - a) + 0.2 * (1.0 - ssim))).abs() < 1e-9);
    }
}
