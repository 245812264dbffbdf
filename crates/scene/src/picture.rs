//! Pictures as floating-point pixels: reading, writing, colour transfer, alpha and resampling.

mod exr_file;
mod file;
mod transfer;

pub use exr_file::{Channels, Precision, load_exr_channels, save_exr};
pub use transfer::{linear_to_srgb, linear_to_srgb_f64, srgb_to_linear, srgb_to_linear_f64};

use rayon::prelude::*;

/// How stored colour values relate to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Proportional to light (Rec. 709 primaries).
    Linear,
    /// Encoded by the sRGB transfer function.
    Srgb,
}

/// A picture, `[height, width, channels]` row-major, row 0 on top.
///
/// One channel is grey, two are grey and alpha, three RGB, four RGBA. Alpha is always linear, 0 transparent, 1 opaque.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Values per pixel, 1 to 4.
    pub channels: usize,
    /// `height · width · channels` values.
    pub data: Vec<f32>,
    /// What the colour values mean.
    pub transfer: Transfer,
    /// Whether colour is multiplied by alpha. Always false without alpha.
    pub premultiplied: bool,
}

impl Picture {
    /// Whether the last channel is alpha.
    pub fn has_alpha(&self) -> bool {
        self.channels == 2 || self.channels == 4
    }

    /// The same picture with colour proportional to light. Premultiplied colour is divided first and stays premultiplied.
    pub fn into_linear(self) -> Self {
        self.with_transfer(Transfer::Linear, srgb_to_linear)
    }

    /// The same picture with colour encoded as sRGB (negative light becomes 0, light above 1 stays above 1).
    pub fn into_srgb(self) -> Self {
        self.with_transfer(Transfer::Srgb, linear_to_srgb)
    }

    fn with_transfer(self, transfer: Transfer, function: fn(f32) -> f32) -> Self {
        if self.transfer == transfer {
            return self;
        }
        let premultiplied = self.premultiplied;
        let mut picture = self.into_straight();
        let (channels, alpha) = (picture.channels, usize::from(picture.has_alpha()));
        picture.data.par_chunks_mut(channels * 1024).for_each(|pixels| {
            for pixel in pixels.chunks_exact_mut(channels) {
                pixel[..channels - alpha].iter_mut().for_each(|x| *x = function(*x));
            }
        });
        picture.transfer = transfer;
        if premultiplied { picture.into_premultiplied() } else { picture }
    }

    /// The same picture with colour multiplied by alpha.
    pub fn into_premultiplied(mut self) -> Self {
        if self.has_alpha() && !self.premultiplied {
            let n = self.channels;
            for pixel in self.data.chunks_exact_mut(n) {
                let alpha = pixel[n - 1];
                pixel[..n - 1].iter_mut().for_each(|x| *x *= alpha);
            }
            self.premultiplied = true;
        }
        self
    }

    /// The same picture with colour divided by alpha; colour where alpha is 0 becomes 0.
    pub fn into_straight(mut self) -> Self {
        if self.premultiplied {
            let n = self.channels;
            for pixel in self.data.chunks_exact_mut(n) {
                let alpha = pixel[n - 1];
                let scale = if alpha > 0.0 { 1.0 / alpha } else { 0.0 };
                pixel[..n - 1].iter_mut().for_each(|x| *x *= scale);
            }
            self.premultiplied = false;
        }
        self
    }

    /// The same picture as RGBA: grey is repeated, missing alpha is 1.
    pub fn into_rgba(self) -> Self {
        if self.channels == 4 {
            return self;
        }
        let rgba = |p: &[f32]| match *p {
            [y] => [y, y, y, 1.0],
            [y, a] => [y, y, y, a],
            [r, g, b] => [r, g, b, 1.0],
            _ => [p[0], p[1], p[2], p[3]],
        };
        let data = self.data.chunks_exact(self.channels).flat_map(rgba).collect();
        Self { channels: 4, data, ..self }
    }

    /// RGB over a background of colour `background` (in this picture's transfer); the result has no alpha.
    pub fn over(self, background: [f32; 3]) -> Self {
        let picture = self.into_rgba().into_premultiplied();
        let blend = |p: &[f32]| [0, 1, 2].map(|c| p[c] + (1.0 - p[3]) * background[c]);
        let data = picture.data.chunks_exact(4).flat_map(blend).collect();
        Self { channels: 3, data, premultiplied: false, ..picture }
    }

    /// Box-filtered resampling: each new pixel is the mean over the area it covers in this picture.
    ///
    /// The mean is taken of premultiplied values (the result stays premultiplied) in the picture's own transfer; call
    /// [`Self::into_linear`] first for a mean of light. A picture that grows repeats its pixels. Sizes of 0 become 1.
    pub fn resized(self, width: usize, height: usize) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        if (width, height) == (self.width, self.height) || self.data.is_empty() {
            return self;
        }
        let p = self.into_premultiplied();
        let n = p.channels;
        let columns: Vec<Span> = spans(p.width, width);
        let rows: Vec<Span> = spans(p.height, height);
        let mut across = vec![0.0f32; p.height * width * n];
        across.par_chunks_mut(width * n).zip(p.data.par_chunks(p.width * n)).for_each(|(out, line)| {
            for (pixel, span) in out.chunks_exact_mut(n).zip(&columns) {
                for c in 0..n {
                    pixel[c] = span.terms().map(|(i, w)| w * f64::from(line[i * n + c])).sum::<f64>() as f32;
                }
            }
        });
        let mut data = vec![0.0f32; height * width * n];
        data.par_chunks_mut(width * n).zip(&rows).for_each(|(out, span)| {
            for (k, value) in out.iter_mut().enumerate() {
                *value = span.terms().map(|(i, w)| w * f64::from(across[i * width * n + k])).sum::<f64>() as f32;
            }
        });
        Self { width, height, data, ..p }
    }
}

/// The source pixels that one target pixel covers.
struct Span {
    start: f64,
    end: f64,
    last: usize,
}

impl Span {
    fn terms(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let first = (self.start as usize).min(self.last);
        let end = (self.end.ceil() as usize).clamp(first + 1, self.last + 1);
        let length = self.end - self.start;
        (first..end).map(move |i| (i, (self.end.min(i as f64 + 1.0) - self.start.max(i as f64)).max(0.0) / length))
    }
}

fn spans(from: usize, to: usize) -> Vec<Span> {
    // Multiply before dividing: whole ratios give whole bounds, so exact reductions have exact weights.
    let at = |i: usize| (i * from) as f64 / to as f64;
    (0..to).map(|i| Span { start: at(i), end: at(i + 1), last: from - 1 }).collect()
}

#[cfg(test)]
mod tests;
