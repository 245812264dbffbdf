//! One channel of a picture, and separable filters over it.

use crate::quantise;
use rayon::prelude::*;

#[derive(Clone)]
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub data: Vec<f64>,
}

impl Plane {
    /// A channel of a picture, rounded to 8 bits.
    pub fn of_channel(picture: &[f32], width: usize, height: usize, channels: usize, channel: usize) -> Self {
        let data = picture.iter().skip(channel).step_by(channels).map(|&x| quantise(x)).collect();
        Self { width, height, data }
    }

    /// A function of each pixel of two planes.
    pub fn zip(&self, other: &Plane, f: impl Fn(f64, f64) -> f64) -> Self {
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| f(a, b)).collect();
        Self { data, ..*self }
    }

    /// Correlation with `across` along rows and `down` along columns, of odd lengths, at the pixels whose window lies
    /// inside.
    pub fn filtered(&self, across: &[f64], down: &[f64]) -> Self {
        let (width, height) = (self.width + 1 - across.len(), self.height + 1 - down.len());
        let mut rows = vec![0.0; width * self.height];
        rows.par_chunks_mut(width).zip(self.data.par_chunks(self.width)).for_each(|(out, row)| {
            for (x, out) in out.iter_mut().enumerate() {
                *out = across.iter().zip(&row[x..]).map(|(k, v)| k * v).sum();
            }
        });
        let mut data = vec![0.0; width * height];
        data.par_chunks_mut(width).enumerate().for_each(|(y, out)| {
            for (k, row) in down.iter().zip(rows[y * width..].chunks(width)) {
                out.iter_mut().zip(row).for_each(|(out, v)| *out += k * v);
            }
        });
        Self { width, height, data }
    }

    /// The plane with `border` more pixels on every side, which repeat the outermost ones.
    pub fn extended(&self, border: usize) -> Self {
        let (width, height) = (self.width + 2 * border, self.height + 2 * border);
        let inside = |i: usize, n: usize| i.saturating_sub(border).min(n - 1);
        let pixel = |i: usize| self.data[inside(i / width, self.height) * self.width + inside(i % width, self.width)];
        Self { width, height, data: (0..width * height).map(pixel).collect() }
    }

    /// Means of blocks of 2 × 2 pixels; an odd last row or column is left out.
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let at = |x: usize, y: usize| self.data[y * self.width + x];
        let block = |x: usize, y: usize| 0.25 * (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1));
        Self { width, height, data: (0..width * height).map(|i| block(i % width * 2, i / width * 2)).collect() }
    }
}

/// Gaussian exp(−x² / 2σ²) at −radius ..= radius, with the sum 1.
pub fn gaussian(sigma: f64, radius: usize) -> Vec<f64> {
    let raw = |k: usize| (-0.5 * ((k as f64 - radius as f64) / sigma).powi(2)).exp();
    let total: f64 = (0..=2 * radius).map(raw).sum();
    (0..=2 * radius).map(|k| raw(k) / total).collect()
}
