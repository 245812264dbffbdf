//! Pictures of sounds: waveforms, spectrograms, the mean spectrum.

use crate::Result;
use crate::fields::shade::ramp;
use crate::run::report::Image;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::f64::consts::PI;
use std::sync::Arc;

/// Samples of a window, with those between the beginnings of two.
const WINDOW: usize = 1024;
const WIDTH: usize = 900;
const WAVE_HEIGHT: usize = 200;
const HEIGHT: usize = 320;
/// Decibels between black and white of a spectrogram.
const RANGE: f64 = 90.0;
/// Colours from silence to loud, evenly spaced: dark ones first, brighter step by step.
const RAMP: [[f32; 3]; 6] = [
    [0.02, 0.02, 0.06],
    [0.20, 0.07, 0.40],
    [0.55, 0.13, 0.45],
    [0.87, 0.29, 0.33],
    [0.98, 0.62, 0.25],
    [1.0, 0.97, 0.75],
];

/// Magnitudes of windows: [`WINDOW`]/2 + 1 frequencies each; a full-scale sine has magnitude 1.
struct Windows {
    fft: Arc<dyn Fft<f64>>,
    window: Vec<f64>,
}

impl Windows {
    fn new() -> Self {
        let hann = |k: usize| 0.5 - 0.5 * (2.0 * PI * k as f64 / WINDOW as f64).cos();
        Self { fft: FftPlanner::new().plan_fft_forward(WINDOW), window: (0..WINDOW).map(hann).collect() }
    }

    /// Of the samples around `centre`; beyond the ends is silence.
    fn magnitudes(&self, samples: &[f32], centre: usize) -> Vec<f64> {
        let at = |k: usize| (centre + k).checked_sub(WINDOW / 2).and_then(|i| samples.get(i)).copied().unwrap_or(0.0);
        let mut line: Vec<Complex<f64>> =
            (0..WINDOW).map(|k| Complex::new(at(k) as f64 * self.window[k], 0.0)).collect();
        self.fft.process(&mut line);
        let full = WINDOW as f64 / 4.0;
        line[..=WINDOW / 2].iter().map(|c| c.norm() / full).collect()
    }
}

fn decibels(magnitude: f64) -> f64 {
    20.0 * magnitude.max(1e-10).log10()
}

/// Time to the right, frequency upwards, 90 dB below full scale black.
///
/// # Errors
/// The picture cannot be encoded.
pub fn spectrogram(samples: &[f32]) -> Result<Image> {
    let windows = Windows::new();
    let mut pixels = vec![0.0; 3 * WIDTH * HEIGHT];
    for x in 0..WIDTH {
        let found = windows.magnitudes(samples, (2 * x + 1) * samples.len() / (2 * WIDTH));
        for y in 0..HEIGHT {
            // The loudest of the frequencies of a row.
            let bin = |row: usize| row * (WINDOW / 2) / HEIGHT;
            let row = HEIGHT - 1 - y;
            let loudest = found[bin(row)..=bin(row + 1)].iter().copied().fold(0.0, f64::max);
            let pixel = ramp(&RAMP, (1.0 + decibels(loudest) / RANGE) as f32);
            pixels[3 * (y * WIDTH + x)..][..3].copy_from_slice(&pixel);
        }
    }
    Image::from_encoded(&pixels, WIDTH, HEIGHT)
}

/// The range of the samples in each column, −1 at the bottom and 1 on top.
///
/// # Errors
/// The picture cannot be encoded.
pub fn waveform(samples: &[f32]) -> Result<Image> {
    let mut pixels = vec![1.0; 3 * WIDTH * WAVE_HEIGHT];
    let row = |value: f32| ((0.5 - 0.5 * value.clamp(-1.0, 1.0)) * (WAVE_HEIGHT - 1) as f32).round() as usize;
    for x in 0..WIDTH {
        let start = x * samples.len() / WIDTH;
        let end = ((x + 1) * samples.len() / WIDTH).max(start + 1).min(samples.len());
        let own = &samples[start.min(end - 1)..end];
        let low = own.iter().copied().fold(f32::INFINITY, f32::min);
        let high = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for y in row(high)..=row(low) {
            pixels[3 * (y * WIDTH + x)..][..3].copy_from_slice(&[0.06, 0.46, 0.43]);
        }
    }
    Image::from_encoded(&pixels, WIDTH, WAVE_HEIGHT)
}

/// Frequency in hertz and mean power in decibels below full scale.
pub fn mean_spectrum(samples: &[f32], rate: u32) -> Vec<(f64, f64)> {
    let windows = Windows::new();
    let n = samples.len().div_ceil(WINDOW / 2).clamp(1, 2000);
    let mut power = vec![0.0; WINDOW / 2 + 1];
    for k in 0..n {
        let found = windows.magnitudes(samples, (2 * k + 1) * samples.len() / (2 * n));
        power.iter_mut().zip(found).for_each(|(p, m)| *p += m * m / n as f64);
    }
    let hertz = |k: usize| k as f64 * rate as f64 / WINDOW as f64;
    power.iter().enumerate().map(|(k, p)| (hertz(k), decibels(p.sqrt()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_sine_stands_at_its_frequency_with_0_decibels() {
        let (rate, hertz) = (8192, 1024.0);
        let sine: Vec<f32> = (0..8192).map(|k| (2.0 * PI * hertz * k as f64 / rate as f64).sin() as f32).collect();
        let spectrum = mean_spectrum(&sine, rate);
        let top = spectrum.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert_eq!(top.0, hertz);
        assert!(top.1.abs() < 0.5, "{} dB", top.1);
    }

    #[test]
    fn sounds_of_one_sample_have_pictures() {
        for samples in [&[0.5f32][..], &[0.0, -2.0]] {
            assert!(!waveform(samples).unwrap().png.is_empty());
            assert!(!spectrogram(samples).unwrap().png.is_empty());
        }
    }
}
