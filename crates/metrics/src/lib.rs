//! Quality of pictures as one number: [`psnr`], [`ssim`], [`ms_ssim`], [`flip`], and [`mask_iou`] of silhouettes.
//!
//! Pictures are `[height, width, channels]` rows of display-encoded (sRGB) values in [0, 1], and are rounded to 8 bits
//! first: figures are those of the PNG files that would be written. Everything is computed in f64; results are the same
//! bits for any number of threads.
//!
//! ```
//! let grey = vec![0.5f32; 16 * 16 * 3];
//! let dark = vec![0.25f32; 16 * 16 * 3];
//! assert_eq!(lumigrad_metrics::psnr(&grey, &grey)?, lumigrad_metrics::PSNR_CAP);
//! assert!(lumigrad_metrics::ssim(&grey, &dark, 16, 16, 3)? < 1.0);
//! # Ok::<(), lumigrad_metrics::Error>(())
//! ```

mod aligned;
mod flip;
mod mask;
mod ms_ssim;
mod plane;
mod psnr;
mod ssim;

pub use aligned::aligned;
pub use flip::{FLIP_PIXELS_PER_DEGREE, flip, flip_map};
pub use mask::mask_iou;
pub use ms_ssim::{MS_SSIM_FULL_SIZE, ms_ssim, ms_ssim_scales};
pub use psnr::{PSNR_CAP, decibels, psnr};
pub use ssim::ssim;

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
    /// The viewing condition of FLIP is out of range.
    #[error("pixels per degree are {0}, expected 1 to 1000")]
    PixelsPerDegree(f64),
}

/// A value in [0, 1] rounded to 8 bits; NaN counts as 0.
pub fn quantise(x: f32) -> f64 {
    (x.clamp(0.0, 1.0).max(0.0) as f64 * 255.0).round() / 255.0
}

/// Fails when `a` and `b` do not both have `n` values.
fn check(a: &[f32], b: &[f32], n: usize) -> Result<(), Error> {
    match [a, b].into_iter().find(|x| x.len() != n) {
        Some(x) => Err(Error::Size { found: x.len(), expected: n }),
        None => Ok(()),
    }
}
