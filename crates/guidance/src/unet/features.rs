//! What a network is told of each picture: level of noise, labels, view.

use crate::{Condition, Level, Result, Subject, of_picture};
use lumigrad_core::{DType, Device, Tensor};

/// Numbers that tell the level of noise.
pub const FEATURES: usize = 32;
/// Numbers that tell the view: whether there is one, and sines and cosines of its angles.
pub(super) const VIEW: usize = 5;
/// Least part of noise or picture that levels tell apart.
const LEAST: f64 = 1e-3;
/// Highest frequency of the waves that levels are told by, per unit of u in [−1, 1].
const FASTEST: f64 = 16.0;

/// What the U-Net is told, a row per picture: [N, 32 + (labels + 1) + 5].
///
/// The level as waves of u = ln((σ + δ)/(a + δ)) over its range, for a level of the flow (a + σ = 1); a share for each label
/// of the condition, or the last share for none; the view.
pub fn features(
    levels: &[Level],
    conditions: &[Condition],
    n: usize,
    labels: usize,
    device: &Device,
    dtype: DType,
) -> Result<Tensor> {
    let width = FEATURES + labels + 1 + VIEW;
    let mut rows = vec![0.0; n * width];
    for (i, row) in rows.chunks_exact_mut(width).enumerate() {
        let (level, condition) = (of_picture(levels, i).to_flow().0, of_picture(conditions, i));
        let u = ((level.sigma + LEAST) / (level.a + LEAST)).ln() / ((1.0 + LEAST) / LEAST).ln();
        let (waves, rest) = row.split_at_mut(FEATURES);
        for (k, wave) in waves.chunks_exact_mut(2).enumerate() {
            let frequency = FASTEST.powf(k as f64 / (FEATURES / 2 - 1) as f64);
            (wave[0], wave[1]) = (frequency * u).sin_cos();
        }
        match &condition.subject {
            Subject::Labels(chosen) => chosen.iter().for_each(|&l| rest[l] += 1.0 / chosen.len() as f64),
            _ => rest[labels] = 1.0,
        }
        if let Some(view) = condition.view {
            let ((sa, ca), (se, ce)) = (view.azimuth.sin_cos(), view.elevation.sin_cos());
            rest[labels + 1..].copy_from_slice(&[1.0, sa, ca, se, ce]);
        }
    }
    Ok(Tensor::from_slice(&Device::cpu(), &rows, &[n, width])?.cast(dtype)?.to_device(device)?)
}
