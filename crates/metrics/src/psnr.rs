//! Peak signal-to-noise ratio.

use crate::{Error, check, quantise};

/// PSNR of equal pictures, dB.
pub const PSNR_CAP: f64 = 120.0;

/// PSNR in dB, −10 log₁₀ of the mean squared difference of all values, at most [`PSNR_CAP`].
///
/// # Errors
/// Different lengths.
pub fn psnr(a: &[f32], b: &[f32]) -> Result<f64, Error> {
    check(a, b, b.len())?;
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| (quantise(a) - quantise(b)).powi(2)).sum();
    let mse = sum / a.len().max(1) as f64;
    Ok(decibels(mse))
}

/// PSNR in dB of a mean squared difference, at most [`PSNR_CAP`].
pub fn decibels(mse: f64) -> f64 {
    if mse < 1e-12 { PSNR_CAP } else { -10.0 * mse.log10() }
}

#[test]
fn psnr_of_a_constant_difference_is_known() {
    let (a, b) = (vec![0.0; 300], vec![51.0 / 255.0; 300]);
    // −20 log₁₀ 0.2.
    assert!((psnr(&a, &b).unwrap() - 13.979_400_086_720_377).abs() < 1e-9);
    assert!(psnr(&a, &b[1..]).is_err());
    assert_eq!(psnr(&a, &a).unwrap(), PSNR_CAP);
}
