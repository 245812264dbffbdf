//! The curvature of the loss by pixels, for least squares.

use super::{BAND, LAMBDA, Planes, RADIUS, Ring, Scratch, Weights, window};
use crate::lanes::{Precision, level};
use fearless_simd::{Simd, dispatch};
use rayon::prelude::*;

/// Differences below this count as this large in the curvature of L1.
const GUARD: f64 = 0.004;
/// Each factor of SSIM counts as at least so large in the curvature by the other.
pub(super) const LEAST: f64 = 0.1;

impl<R: Precision> Scratch<R> {
    /// Numbers h per pixel and channel with which loss(x + δ) ≈ loss(x) + gradient · δ + ½ Σ h δ² is no underestimate, but for
    /// the change of the pictures' own variances: of the picture whose loss was found last by [`Scratch::value`], `STIFF`.
    ///
    /// |d| is below |d₀|/2 + d²/(2|d₀|), which touches it at d₀: h = 1/|d₀|. (The residual √|d| would have a quarter of that
    /// and half the gradient: its Gauss–Newton step goes twice as far as the target is.) Of SSIM = (1 − m²/d₁)(1 − v/d₂), with
    /// m and v mean and variance of the difference in a window, d₁ and d₂ of both pictures, 1 − SSIM is a quadratic in the
    /// difference for fixed d₁, d₂ and fixed other factor; m² and v are both below the mean of the squared difference.
    pub fn curvature(&mut self, picture: &Planes<R>, target: &Planes<R>, width: usize, out: &mut Planes<R>) {
        let (n, weights, band) = (picture[0].len(), window(), BAND * width.max(1));
        let scale = R::from_f64(1.0 / (3.0 * n.max(1) as f64));
        let channels = picture.iter().zip(target).zip(&self.stiffness).zip(out);
        let bands = channels.flat_map(|(((x, y), stiffness), out)| {
            out.resize(n, R::ZERO);
            out.chunks_mut(band).enumerate().map(move |(k, out)| (x, y, stiffness, k * BAND, out))
        });
        bands.collect::<Vec<_>>().into_par_iter().for_each(|(x, y, stiffness, top, out)| {
            dispatch!(level(), simd => curvature_band(simd, [x, y], stiffness, (width, top), &weights, scale, out));
        });
    }
}

#[inline(always)]
fn curvature_band<S: Simd, R: Precision>(
    simd: S,
    [x, y]: [&[R]; 2],
    stiffness: &[R],
    (width, top): (usize, usize),
    weights: &Weights<R>,
    scale: R,
    out: &mut [R],
) {
    let height = x.len() / width;
    let mut ring = Ring::<R, 1>::new(width);
    let (mut blurred, ones) = (vec![R::ZERO; width], vec![R::ONE; width]);
    let (guard, lambda) = (R::from_f64(GUARD), R::from_f64(LAMBDA));
    for line in 0..out.len() / width + 2 * RADIUS {
        let row = (top + line) as isize - RADIUS as isize;
        let inside = row >= 0 && (row as usize) < height;
        let at = if inside { row as usize * width } else { 0 };
        ring.push(simd, 0, row, weights, inside.then_some((&stiffness[at..at + width], &ones[..])));
        let Some(own) = line.checked_sub(2 * RADIUS) else { continue };
        ring.row(simd, 0, (top + own) as isize, weights, &mut blurred);
        let at = (top + own) * width;
        let out = &mut out[own * width..][..width];
        let (px, py, blurred) = (&x[at..][..width], &y[at..][..width], &blurred[..width]);
        for i in 0..width {
            let far = (px[i] - py[i]).abs().max(guard);
            out[i] = ((R::ONE - lambda) / far + R::of(2.0) * lambda * blurred[i]) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of waves, and the same with a difference of other waves.
    fn planes(n: usize, strength: f64) -> [Planes<f64>; 2] {
        let target = |i: usize, ch: usize| 0.5 + 0.3 * (0.37 * i as f64 + ch as f64).sin();
        let target: Planes<f64> = std::array::from_fn(|ch| (0..n).map(|i| target(i, ch)).collect());
        let mut picture = target.clone();
        for (ch, plane) in picture.iter_mut().enumerate() {
            plane.iter_mut().enumerate().for_each(|(i, x)| *x += strength * (1.7 * i as f64 + ch as f64).cos());
        }
        [picture, target]
    }

    #[test]
    fn the_quadratic_model_is_above_the_loss_and_touches_it() {
        let (width, height) = (17, 53);
        for strength in [0.02, 0.1] {
            let [x, y] = planes(width * height, strength);
            let (mut scratch, mut by, mut h) = (Scratch::default(), Planes::default(), Planes::default());
            scratch.loss(&x, &y, width, &mut by);
            let start = scratch.value::<true>(&x, &y, width);
            scratch.curvature(&x, &y, width, &mut h);
            // Towards the target, as least squares go, and elsewhere.
            for (part, noise) in [(0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.01), (0.3, 0.01)] {
                let mut to = x.clone();
                let mut model = start;
                for ch in 0..3 {
                    for i in 0..width * height {
                        let d = part * (y[ch][i] - x[ch][i]) + noise * (0.9 * (i * i % 97) as f64).sin();
                        to[ch][i] += d;
                        model += by[ch][i] * d + 0.5 * h[ch][i] * d * d;
                    }
                }
                let found = scratch.value::<false>(&to, &y, width);
                assert!(found <= 1.05 * model, "{strength} {part} {noise}: {found}, {model} was foreseen");
                if noise == 0.0 {
                    assert!(model < start, "{strength} {part}: {model}, {start} at the start");
                }
            }
        }
    }
}
