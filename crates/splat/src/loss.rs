//! The loss of training: (1 − λ) · L1 + λ · (1 − SSIM), with its derivative.

use lumigrad_core::Real;
use rayon::prelude::*;

/// Weight of 1 − SSIM.
const LAMBDA: f64 = 0.2;
const RADIUS: usize = 5;
const SIGMA: f64 = 1.5;
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// Loss of a picture [H·W] against its target, mean over pixels and channels, and its derivative by the picture.
///
/// SSIM has an 11×11 window of σ 1.5 with zeros beyond the borders (Wang et al. 2004; as 3DGS). L1 has gradient 0 at
/// equality.
pub(crate) fn loss<R: Real>(picture: &[[R; 3]], target: &[[R; 3]], width: usize) -> (R, Vec<[R; 3]>) {
    let planes: Vec<(R, Vec<R>)> = (0..3usize)
        .into_par_iter()
        .map(|ch| {
            let x: Vec<R> = picture.iter().map(|p| p[ch]).collect();
            let y: Vec<R> = target.iter().map(|p| p[ch]).collect();
            plane(&x, &y, width)
        })
        .collect();
    let scale = R::from_f64(1.0 / (3.0 * picture.len() as f64));
    let total = planes.iter().map(|p| p.0).sum::<R>() * scale;
    (total, (0..picture.len()).map(|i| std::array::from_fn(|ch| planes[ch].1[i] * scale)).collect())
}

/// Sum of the loss over one channel, and its derivative.
fn plane<R: Real>(x: &[R], y: &[R], width: usize) -> (R, Vec<R>) {
    let mul = |a: &[R], b: &[R]| -> Vec<R> { a.iter().zip(b).map(|(&a, &b)| a * b).collect() };
    let [mx, my, bxx, byy, bxy] = [x.to_vec(), y.to_vec(), mul(x, x), mul(y, y), mul(x, y)].map(|p| blur(&p, width));
    let (c1, c2, two, lambda) = (R::from_f64(C1), R::from_f64(C2), R::of(2.0), R::from_f64(LAMBDA));
    let mut total = R::ZERO;
    let mut by = [vec![R::ZERO; x.len()], vec![R::ZERO; x.len()], vec![R::ZERO; x.len()]];
    for i in 0..x.len() {
        let (mx, my) = (mx[i], my[i]);
        let a1 = two * mx * my + c1;
        let a2 = two * (bxy[i] - mx * my) + c2;
        let d1 = mx * mx + my * my + c1;
        let d2 = bxx[i] - mx * mx + byy[i] - my * my + c2;
        let ssim = a1 * a2 / (d1 * d2);
        let by_xx = -(ssim / d2);
        let by_xy = two * a1 / (d1 * d2);
        by[0][i] = two * my * a2 / (d1 * d2) - two * mx * ssim / d1 - two * mx * by_xx - my * by_xy;
        by[1][i] = by_xx;
        by[2][i] = by_xy;
        total += (R::ONE - lambda) * (x[i] - y[i]).abs() + lambda * (R::ONE - ssim);
    }
    let [m, xx, xy] = by.map(|p| blur(&p, width));
    let grads = (0..x.len()).map(|i| {
        let d = x[i] - y[i];
        let sign = if d > R::ZERO {
            R::ONE
        } else if d < R::ZERO {
            -R::ONE
        } else {
            R::ZERO
        };
        (R::ONE - lambda) * sign - lambda * (m[i] + two * x[i] * xx[i] + y[i] * xy[i])
    });
    (total, grads.collect())
}

/// Separable Gaussian window, zeros beyond the borders; its own transpose.
fn blur<R: Real>(p: &[R], width: usize) -> Vec<R> {
    let weights: [f64; 2 * RADIUS + 1] =
        std::array::from_fn(|k| (-(k as f64 - RADIUS as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp());
    let sum: f64 = weights.iter().sum();
    let weights = weights.map(|w| R::from_f64(w / sum));
    let height = p.len() / width;
    let mut across = vec![R::ZERO; p.len()];
    let mut out = vec![R::ZERO; p.len()];
    for (row, to) in p.chunks(width).zip(across.chunks_mut(width)) {
        for (k, &w) in weights.iter().enumerate() {
            let (from, start) = (k.saturating_sub(RADIUS).min(width), RADIUS.saturating_sub(k).min(width));
            to[start..].iter_mut().zip(&row[from..]).for_each(|(o, &v)| *o += w * v);
        }
    }
    for y in 0..height {
        for (k, &w) in weights.iter().enumerate() {
            let Some(from) = (y + k).checked_sub(RADIUS).filter(|&from| from < height) else { continue };
            let row = &across[from * width..(from + 1) * width];
            out[y * width..(y + 1) * width].iter_mut().zip(row).for_each(|(o, &v)| *o += w * v);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_gradient_matches_finite_differences() {
        for width in [3, 13] {
            let value = |i: usize, k: usize| ((i * 29 + k * 13 + i * i * 7) % 101) as f64 / 101.0;
            let x: Vec<[f64; 3]> = (0..width * 9).map(|i| std::array::from_fn(|k| value(i, k))).collect();
            let y: Vec<[f64; 3]> = (0..width * 9).map(|i| std::array::from_fn(|k| value(i + 5, k + 1) * 0.9)).collect();
            let exact = loss(&x, &y, width).1;
            for i in 0..x.len() {
                for ch in 0..3 {
                    let moved = |by: f64| {
                        let mut x = x.clone();
                        x[i][ch] += by;
                        loss(&x, &y, width).0
                    };
                    let found = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    assert!((found - exact[i][ch]).abs() < 1e-8, "{found} {}", exact[i][ch]);
                }
            }
        }
    }

    #[test]
    fn loss_of_constant_pictures_is_the_closed_form() {
        // In the middle of a large constant picture SSIM is (2ab + C1) / (a² + b² + C1).
        let (a, b) = (0.3f64, 0.5);
        let total = |n: usize| loss(&vec![[a; 3]; n * n], &vec![[b; 3]; n * n], n).0 * (n * n) as f64;
        // The second difference in n leaves the middle: borders grow with n.
        let middle = (total(42) - 2.0 * total(41) + total(40)) / 2.0;
        let ssim = (2.0 * a * b + C1) / (a * a + b * b + C1);
        assert!((middle - (0.8 * (b - a) + 0.2 * (1.0 - ssim))).abs() < 1e-9);
    }
}
