//! Multi-scale structural similarity (Wang, Simoncelli & Bovik 2003).

use crate::plane::Plane;
use crate::ssim::{RADIUS, similarity};
use crate::{Error, check};
use rayon::prelude::*;

/// Exponents from the finest scale to the coarsest (the paper, §3.2).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The shorter side, pixels, from which [`ms_ssim`] has all five scales: the 11 × 11 window fits the coarsest.
pub const MS_SSIM_FULL_SIZE: usize = (2 * RADIUS + 1) << (WEIGHTS.len() - 1);

/// Number of scales at which the window fits a picture, 1 to 5.
pub fn ms_ssim_scales(width: usize, height: usize) -> usize {
    (1..WEIGHTS.len()).take_while(|k| width.min(height) >> k > 2 * RADIUS).count() + 1
}

/// MS-SSIM of [height, width, channels] pictures: ∏ⱼ csⱼ^wⱼ over the finer scales, times SSIM^w of the coarsest, each
/// the mean over a scale as in [`ssim`](crate::ssim), averaged over channels. 1 for empty pictures.
///
/// Scales are 2 × 2 box means, an odd last row or column left out; a negative factor counts as 0. A picture smaller
/// than [`MS_SSIM_FULL_SIZE`] has fewer scales ([`ms_ssim_scales`]), whose weights grow to the sum of all five: figures
/// of small pictures compare among themselves, not with those of large ones.
///
/// **Source**: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", 2003.
///
/// # Errors
/// Different lengths.
pub fn ms_ssim(a: &[f32], b: &[f32], width: usize, height: usize, channels: usize) -> Result<f64, Error> {
    check(a, b, width * height * channels)?;
    if a.is_empty() {
        return Ok(1.0);
    }
    let weights = &WEIGHTS[..ms_ssim_scales(width, height)];
    let growth = WEIGHTS.iter().sum::<f64>() / weights.iter().sum::<f64>();
    let plane = |x: &[f32], c: usize| Plane::of_channel(x, width, height, channels, c);
    let channel = |c: usize| {
        let (mut p, mut q) = (plane(a, c), plane(b, c));
        let mut product = 1.0;
        for (k, weight) in weights.iter().enumerate() {
            let found = similarity(&p, &q);
            let factor = if k + 1 == weights.len() { found.mean } else { found.contrast };
            product *= factor.max(0.0).powf(weight * growth);
            (p, q) = (p.halved(), q.halved());
        }
        product
    };
    let products: Vec<f64> = (0..channels).into_par_iter().map(channel).collect();
    Ok(products.iter().sum::<f64>() / channels as f64)
}

#[test]
fn small_pictures_have_fewer_scales() {
    assert_eq!(MS_SSIM_FULL_SIZE, 176);
    let scales = [(1, 1), (21, 99), (22, 22), (43, 90), (44, 44), (175, 400), (176, 176), (4000, 4000)];
    assert_eq!(scales.map(|(w, h)| ms_ssim_scales(w, h)), [1, 1, 2, 2, 3, 4, 5, 5]);
    let a: Vec<f32> = (0..21 * 15).map(|i| (i * 29 % 256) as f32 / 255.0).collect();
    let b: Vec<f32> = a.iter().map(|x| 0.7 * x).collect();
    // The published weights sum to 1.0001.
    let single = crate::ssim(&a, &b, 21, 15, 1).unwrap().powf(1.0001);
    assert!((ms_ssim(&a, &b, 21, 15, 1).unwrap() - single).abs() < 1e-12);
}
