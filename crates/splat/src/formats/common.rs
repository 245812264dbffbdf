//! What several formats do alike.

use super::FormatError;
use std::f32::consts::FRAC_1_SQRT_2;

/// Value of the constant basis function of spherical harmonics.
pub const C0: f32 = 0.282_094_8;

/// Opacity of a logit.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Logit of an opacity, finite for 0 and 1 too.
pub fn logit(p: f32) -> f32 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

/// A number from 0 to 1 with `levels` + 1 steps.
pub fn quantise(x: f32, levels: u32) -> u32 {
    // NaN becomes 0.
    (x.clamp(0.0, 1.0) * levels as f32).round() as u32
}

/// A unit quaternion without its largest component, which is made positive: its place, and the others from −1 to 1 (in
/// units of ±1/√2, the most that they can be).
pub fn smallest_three(q: [f32; 4]) -> (usize, [f32; 3]) {
    let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
    let q = if norm > 0.0 && norm.is_finite() { q.map(|x| x / norm) } else { [1.0, 0.0, 0.0, 0.0] };
    let largest = (0..4).max_by(|&a, &b| q[a].abs().total_cmp(&q[b].abs())).unwrap_or(0);
    let sign = if q[largest] < 0.0 { -1.0 } else { 1.0 };
    let mut others = (0..4).filter(|&k| k != largest).map(|k| q[k] * sign / FRAC_1_SQRT_2);
    (largest, std::array::from_fn(|_| others.next().unwrap_or(0.0)))
}

/// The quaternion of [`smallest_three`].
pub fn from_smallest_three(largest: usize, others: [f32; 3]) -> [f32; 4] {
    let others = others.map(|x| x * FRAC_1_SQRT_2);
    let rest = 1.0 - others.iter().map(|x| x * x).sum::<f32>();
    let mut others = others.into_iter();
    std::array::from_fn(|k| if k == largest { rest.max(0.0).sqrt() } else { others.next().unwrap_or(0.0) })
}

/// The order of points along a Morton curve through their box (neighbours stay together).
pub fn morton_order(points: &[[f32; 3]]) -> Vec<usize> {
    let (low, high) = bounds(points.iter().copied());
    let spread = |x: u64| {
        let x = (x | x << 32) & 0x1f_0000_0000_ffff;
        let x = (x | x << 16) & 0x1f_0000_ff00_00ff;
        let x = (x | x << 8) & 0x100f_00f0_0f00_f00f;
        let x = (x | x << 4) & 0x10c3_0c30_c30c_30c3;
        (x | x << 2) & 0x1249_2492_4924_9249
    };
    let code = |p: &[f32; 3]| {
        let along = |k: usize| spread(quantise((p[k] - low[k]) / (high[k] - low[k]).max(1e-30), (1 << 20) - 1) as u64);
        along(0) | along(1) << 1 | along(2) << 2
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_cached_key(|&i| (code(&points[i]), i));
    order
}

/// Least and largest of each coordinate, of those that are finite.
pub fn bounds<const N: usize>(all: impl Iterator<Item = [f32; N]>) -> ([f32; N], [f32; N]) {
    let (mut low, mut high) = ([f32::INFINITY; N], [f32::NEG_INFINITY; N]);
    for x in all {
        for k in (0..N).filter(|&k| x[k].is_finite()) {
            (low[k], high[k]) = (low[k].min(x[k]), high[k].max(x[k]));
        }
    }
    for (low, high) in low.iter_mut().zip(&mut high).filter(|(l, h)| l > h) {
        (*low, *high) = (0.0, 0.0);
    }
    (low, high)
}

/// `count` rows of `width` bytes at the beginning of `rest`, which moves on.
pub fn take<'a>(rest: &mut &'a [u8], count: usize, width: usize) -> Result<&'a [u8], FormatError> {
    let size = count.checked_mul(width).filter(|&n| n <= rest.len()).ok_or_else(|| {
        let message = format!("{count} rows of {width} bytes are promised, {} bytes follow", rest.len());
        FormatError::new(message, "the file is truncated; copy it again")
    })?;
    let (own, others) = rest.split_at(size);
    *rest = others;
    Ok(own)
}
