//! The `.splat` files of web viewers: 32 bytes for each Gaussian, without harmonics.

use super::FormatError;
use super::common::{C0, logit, quantise, sigmoid};
use crate::Gaussians;

const SIZE: usize = 32;

pub fn read(bytes: &[u8]) -> Result<Gaussians, FormatError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(SIZE) {
        let message = format!("{} bytes, expected a multiple of {SIZE}", bytes.len());
        return Err(FormatError::new(message, "the file is truncated, or not a .splat"));
    }
    let mut out = Gaussians::default();
    for row in bytes.chunks_exact(SIZE) {
        let float = |k: usize| f32::from_le_bytes([row[4 * k], row[4 * k + 1], row[4 * k + 2], row[4 * k + 3]]);
        out.means.push([0, 1, 2].map(float));
        out.log_scales.push([3, 4, 5].map(|k| float(k).max(1e-30).ln()));
        out.sh.push([24, 25, 26].map(|k| (row[k] as f32 / 255.0 - 0.5) / C0));
        out.opacity_logits.push(logit(row[27] as f32 / 255.0));
        out.rotations.push([28, 29, 30, 31].map(|k| (row[k] as f32 - 128.0) / 128.0));
    }
    Ok(out)
}

/// What matters most stands first, for viewers that show a file while it arrives.
pub fn write(gaussians: &Gaussians) -> Vec<u8> {
    let weight = |i: usize| {
        let size: f32 = gaussians.log_scales[i].iter().sum();
        size + sigmoid(gaussians.opacity_logits[i]).max(1e-30).ln()
    };
    let mut order: Vec<usize> = (0..gaussians.len()).collect();
    order.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
    let mut out = Vec::with_capacity(SIZE * order.len());
    for i in order {
        let scales = gaussians.log_scales[i].map(f32::exp);
        gaussians.means[i].iter().chain(&scales).for_each(|x| out.extend(x.to_le_bytes()));
        out.extend(gaussians.sh[i * gaussians.n_basis()].map(|c| quantise(c * C0 + 0.5, 255) as u8));
        out.push(quantise(sigmoid(gaussians.opacity_logits[i]), 255) as u8);
        let q = gaussians.rotations[i];
        let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
        out.extend(q.map(|x| (x / norm * 128.0 + 128.0).round().clamp(0.0, 255.0) as u8));
    }
    out
}
