//! Quality of pictures: PSNR and SSIM of 8-bit, display-encoded values.

use rayon::prelude::*;

/// PSNR of equal pictures, dB.
pub const PSNR_CAP: f64 = 120.0;
/// Standard deviation of SSIM's window, pixels, and its radius (11 × 11).
const SIGMA: f64 = 1.5;
const RADIUS: usize = 5;

/// What cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pictures have different sizes.
    #[error("pictures have {found} and {expected} values; compare pictures of one size")]
    Size {
        /// Values of the first.
        found: usize,
        /// Values of the second.
        expected: usize,
    },
}

/// A value in [0, 1] rounded to 8 bits.
pub fn quantise(x: f32) -> f64 {
    (x.clamp(0.0, 1.0) as f64 * 255.0).round() / 255.0
}

/// PSNR in dB over all values after rounding to 8 bits, at most [`PSNR_CAP`].
///
/// # Errors
/// Different lengths.
pub fn psnr(a: &[f32], b: &[f32]) -> Result<f64, Error> {
    if a.len() != b.len() {
        return Err(Error::Size { found: a.len(), expected: b.len() });
    }
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (quantise(a) - quantise(b)).powi(2)).sum();
    let mse = sum / a.len().max(1) as f64;
    Ok(if mse < 1e-12 { PSNR_CAP } else { -10.0 * mse.log10() })
}

/// Mean SSIM (Wang et al. 2004) of [height, width, channels] pictures after rounding to 8 bits.
///
/// 11×11 Gaussian window of σ = 1.5, K₁ = 0.01, K₂ = 0.03, population covariance, averaged over channels and over pixels
/// whose window lies inside (over all pixels, with a smaller window, where a side is shorter than 11).
///
/// # Errors
/// Different lengths.
pub fn ssim(a: &[f32], b: &[f32], width: usize, height: usize, channels: usize) -> Result<f64, Error> {
    let n = width * height * channels;
    if a.len() != n || b.len() != n {
        return Err(Error::Size { found: a.len().min(b.len()), expected: n });
    }
    if n == 0 {
        return Ok(1.0);
    }
    let radius = RADIUS.min((width.min(height) - 1) / 2);
    let means: Vec<f64> = (0..channels)
        .into_par_iter()
        .map(|c| {
            let plane = |x: &[f32]| -> Vec<f64> { x.iter().skip(c).step_by(channels).map(|&v| quantise(v)).collect() };
            plane_ssim(&plane(a), &plane(b), width, height, radius)
        })
        .collect();
    Ok(means.iter().sum::<f64>() / channels as f64)
}

fn plane_ssim(a: &[f64], b: &[f64], width: usize, height: usize, radius: usize) -> f64 {
    let blur = |x: &[f64]| blur_inside(x, width, height, radius);
    let product = |x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| x * y).collect() };
    let (ma, mb) = (blur(a), blur(b));
    let (aa, bb, ab) = (blur(&product(a, a)), blur(&product(b, b)), blur(&product(a, b)));
    let (c1, c2) = (0.01f64.powi(2), 0.03f64.powi(2));
    let sum: f64 = (0..ma.len())
        .map(|i| {
            let (x, y) = (ma[i], mb[i]);
            let (vx, vy, cov) = (aa[i] - x * x, bb[i] - y * y, ab[i] - x * y);
            (2.0 * x * y + c1) * (2.0 * cov + c2) / ((x * x + y * y + c1) * (vx + vy + c2))
        })
        .sum();
    sum / ma.len() as f64
}

/// Gaussian blur at the pixels whose window lies inside.
fn blur_inside(x: &[f64], width: usize, height: usize, radius: usize) -> Vec<f64> {
    let raw: Vec<f64> = (0..=2 * radius).map(|k| (-0.5 * ((k as f64 - radius as f64) / SIGMA).powi(2)).exp()).collect();
    let total: f64 = raw.iter().sum();
    let kernel: Vec<f64> = raw.iter().map(|k| k / total).collect();
    let (w, h) = (width - 2 * radius, height - 2 * radius);
    let mut rows = vec![0.0; w * height];
    for y in 0..height {
        for i in 0..w {
            rows[y * w + i] = kernel.iter().enumerate().map(|(k, g)| g * x[y * width + i + k]).sum();
        }
    }
    let mut out = vec![0.0; w * h];
    for y in 0..h {
        for i in 0..w {
            out[y * w + i] = kernel.iter().enumerate().map(|(k, g)| g * rows[(y + k) * w + i]).sum();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(seed: usize) -> Vec<f32> {
        (0..40 * 32 * 3).map(|i| ((i * (17 + seed) + i / 7 * seed) % 256) as f32 / 255.0).collect()
    }

    #[test]
    fn equal_pictures_have_the_highest_scores() {
        let a = pattern(1);
        assert_eq!(psnr(&a, &a).unwrap(), PSNR_CAP);
        assert!((ssim(&a, &a, 40, 32, 3).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn psnr_of_a_constant_difference_is_known() {
        let (a, b) = (vec![0.0; 300], vec![51.0 / 255.0; 300]);
        assert!((psnr(&a, &b).unwrap() - 13.979_400_086_720_377).abs() < 1e-9);
        assert!(psnr(&a, &b[1..]).is_err());
    }

    #[test]
    fn ssim_agrees_with_scikit_image() {
        // skimage 0.26: structural_similarity(a, b, channel_axis=2, gaussian_weights=True, sigma=1.5,
        // use_sample_covariance=False, data_range=1.0) on pattern(1), pattern(2) and pattern(1), 0.61 pattern(1) + 0.13.
        let (a, b) = (pattern(1), pattern(2));
        let dim: Vec<f32> = a.iter().map(|x| 0.61 * x + 0.13).collect();
        let values = [ssim(&a, &b, 40, 32, 3).unwrap(), ssim(&a, &dim, 40, 32, 3).unwrap()];
        for (value, reference) in values.iter().zip(SKIMAGE) {
            assert!((value - reference).abs() < 1e-6, "{values:?}");
        }
    }

    const SKIMAGE: [f64; 2] = [0.002_488_048_568_195_911_4, 0.8812831416142227];
}
