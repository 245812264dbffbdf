//! Structural similarity (Wang et al. 2004).

use crate::plane::{Plane, gaussian};
use crate::{Error, check};
use rayon::prelude::*;

/// Standard deviation of the window, pixels.
const SIGMA: f64 = 1.5;
/// Radius of the window (11 × 11).
pub const RADIUS: usize = 5;
/// (K₁ L)² and (K₂ L)² for K₁ = 0.01, K₂ = 0.03 and the data range L = 1.
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// Mean SSIM (Wang et al. 2004) of [height, width, channels] pictures.
///
/// 11×11 Gaussian window of σ = 1.5, K₁ = 0.01, K₂ = 0.03, population covariance, averaged over channels and over pixels
/// whose window lies inside (where a side is shorter than 11, with the largest window that fits). 1 for empty pictures.
///
/// # Errors
/// Different lengths.
pub fn ssim(a: &[f32], b: &[f32], width: usize, height: usize, channels: usize) -> Result<f64, Error> {
    check(a, b, width * height * channels)?;
    if a.is_empty() {
        return Ok(1.0);
    }
    let plane = |x: &[f32], c: usize| Plane::of_channel(x, width, height, channels, c);
    let means: Vec<f64> = (0..channels).into_par_iter().map(|c| similarity(&plane(a, c), &plane(b, c)).mean).collect();
    Ok(means.iter().sum::<f64>() / channels as f64)
}

/// Means over a plane.
pub struct Similarity {
    /// Of SSIM.
    pub mean: f64,
    /// Of its factor for contrast and structure.
    pub contrast: f64,
}

/// Similarity of two planes of one size, at least one pixel.
pub fn similarity(a: &Plane, b: &Plane) -> Similarity {
    let window = gaussian(SIGMA, RADIUS.min((a.width.min(a.height) - 1) / 2));
    let local = |x: &Plane, y: &Plane| x.zip(y, |x, y| x * y).filtered(&window, &window).data;
    let (ma, mb) = (a.filtered(&window, &window).data, b.filtered(&window, &window).data);
    let (aa, bb, ab) = (local(a, a), local(b, b), local(a, b));
    let (mut mean, mut contrast) = (0.0, 0.0);
    for i in 0..ma.len() {
        let (x, y) = (ma[i], mb[i]);
        let (vx, vy, covariance) = (aa[i] - x * x, bb[i] - y * y, ab[i] - x * y);
        let cs = (2.0 * covariance + C2) / (vx + vy + C2);
        contrast += cs;
        mean += cs * (2.0 * x * y + C1) / (x * x + y * y + C1);
    }
    let n = ma.len() as f64;
    Similarity { mean: mean / n, contrast: contrast / n }
}
