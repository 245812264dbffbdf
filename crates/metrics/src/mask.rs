//! Overlap of silhouettes.

use crate::{Error, check};

/// Intersection over union of the pixels above `threshold` (0.5 for soft masks); 1 for two empty masks.
///
/// # Errors
/// Different lengths.
pub fn mask_iou(a: &[f32], b: &[f32], threshold: f32) -> Result<f64, Error> {
    check(a, b, b.len())?;
    let (mut both, mut either) = (0usize, 0usize);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (a > threshold, b > threshold);
        both += (a && b) as usize;
        either += (a || b) as usize;
    }
    Ok(if either == 0 { 1.0 } else { both as f64 / either as f64 })
}
