//! Equirectangular environment maps.

use crate::picture::Picture;
use crate::{Error, Result};
use rayon::prelude::*;
use std::f64::consts::{PI, TAU};
use std::path::Path;

/// Light from all directions: linear RGB radiance on an equirectangular grid.
///
/// u = 0.5 + atan2(z, x) / 2π, v = acos(y) / π; texel (i, j) has its centre at ((i + 0.5) / width, (j + 0.5) / height);
/// the top row is +Y. The picture's centre is +X, -Z is at u = 0.25.
#[derive(Clone, Debug, PartialEq)]
pub struct Environment {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Radiance `[height, width, 3]`, finite and not negative.
    pub data: Vec<f32>,
}

/// Texture coordinates of a direction (any length but zero).
pub fn uv_of_direction([x, y, z]: [f64; 3]) -> [f64; 2] {
    let length = (x * x + y * y + z * z).sqrt();
    [0.5 + z.atan2(x) / TAU, (y / length).clamp(-1.0, 1.0).acos() / PI]
}

/// The unit direction at texture coordinates.
pub fn direction_of_uv([u, v]: [f64; 2]) -> [f64; 3] {
    let ((sin, cos), (s, y)) = ((TAU * (u - 0.5)).sin_cos(), (PI * v).sin_cos());
    [s * cos, y, s * sin]
}

impl Environment {
    /// The same radiance from everywhere, as one texel.
    pub fn constant(radiance: [f32; 3]) -> Self {
        Self { width: 1, height: 1, data: radiance.to_vec() }
    }

    /// Reads an HDR (RGBE: mantissa / 256 · 2^(exponent − 128)) or EXR file, or any picture (decoded from sRGB).
    ///
    /// # Errors
    /// An unreadable picture; radiance that is negative or not finite.
    pub fn load(path: &Path) -> Result<Self> {
        let picture = Picture::load(path)?.into_linear().into_rgba();
        let data: Vec<f32> = picture.data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        if let Some(i) = data.iter().position(|x| !(x.is_finite() && *x >= 0.0)) {
            let (column, row) = (i / 3 % picture.width, i / 3 / picture.width);
            let message = format!("radiance {} at column {column}, row {row}", data[i]);
            return Err(Error::invalid(path.display(), message, "expected finite values that are not negative"));
        }
        Ok(Self { width: picture.width, height: picture.height, data })
    }

    /// Solid angle of one texel of row `row`, steradians; exact: 2π/width · (cos θ₀ − cos θ₁).
    pub fn solid_angle(&self, row: usize) -> f64 {
        let edge = |r: usize| (PI * r as f64 / self.height as f64).cos();
        TAU / self.width as f64 * (edge(row) - edge(row + 1))
    }

    /// A smaller map: each texel is the mean over its area of the old texture, weighted by solid angle.
    pub fn downsampled(&self, width: usize, height: usize) -> Self {
        let (width, height) = (width.clamp(1, self.width), height.clamp(1, self.height));
        let weights: Vec<f32> = (0..self.height).map(|row| self.solid_angle(row) as f32).collect();
        let data = self.data.chunks_exact(3).enumerate().flat_map(|(i, p)| {
            let weight = weights[i / self.width];
            [p[0] * weight, p[1] * weight, p[2] * weight, weight]
        });
        // Resampling the weights along with the values makes the result a weighted mean.
        let transfer = crate::picture::Transfer::Linear;
        let picture = Picture {
            width: self.width,
            height: self.height,
            channels: 4,
            data: data.collect(),
            transfer,
            premultiplied: true,
        };
        let small = picture.resized(width, height).into_straight().data;
        Self { width, height, data: small.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect() }
    }

    /// Radiance from a direction, bilinear between texel centres; u wraps, v stops at the poles.
    pub fn radiance(&self, direction: [f64; 3]) -> [f64; 3] {
        let [u, v] = uv_of_direction(direction);
        let (w, h) = (self.width as i64, self.height as i64);
        let (x, y) = (u * w as f64 - 0.5, v * h as f64 - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let texel = |dx: i64, dy: i64, c: usize| {
            let (i, j) = ((x0 as i64 + dx).rem_euclid(w), (y0 as i64 + dy).clamp(0, h - 1));
            f64::from(self.data[3 * (j * w + i) as usize + c])
        };
        let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
        [0, 1, 2].map(|c| {
            let row = |dy| mix(texel(0, dy, c), texel(1, dy, c), x - x0);
            mix(row(0), row(1), y - y0)
        })
    }

    /// Diffuse irradiance as spherical harmonics up to degree 2: `[9][rgb]`, already convolved with the cosine lobe, so
    /// that [`irradiance`] of them is the irradiance. Determinism: rows are summed in order.
    pub fn irradiance_sh(&self) -> [[f64; 3]; 9] {
        let row_sums: Vec<[[f64; 3]; 9]> = (0..self.height).into_par_iter().map(|row| self.row_sh(row)).collect();
        let mut sh = [[0.0; 3]; 9];
        for sum in &row_sums {
            (0..9).for_each(|k| (0..3).for_each(|c| sh[k][c] += sum[k][c]));
        }
        // Coefficients of the clamped cosine by degree (Ramamoorthi and Hanrahan 2001).
        let lobe = [PI, TAU / 3.0, TAU / 3.0, TAU / 3.0, PI / 4.0, PI / 4.0, PI / 4.0, PI / 4.0, PI / 4.0];
        (0..9).for_each(|k| (0..3).for_each(|c| sh[k][c] *= lobe[k]));
        sh
    }

    fn row_sh(&self, row: usize) -> [[f64; 3]; 9] {
        // A coarse map's texel is wide: sub-samples integrate the basis over it.
        let (across, down) = (64usize.div_ceil(self.width), 64usize.div_ceil(self.height));
        let mut sh = [[0.0; 3]; 9];
        let edge = |t: f64| (PI * (row as f64 + t) / self.height as f64).cos();
        for sub_row in 0..down {
            let (top, bottom) = (edge(sub_row as f64 / down as f64), edge((sub_row + 1) as f64 / down as f64));
            let weight = TAU / (self.width * across) as f64 * (top - bottom);
            let v = (row as f64 + (sub_row as f64 + 0.5) / down as f64) / self.height as f64;
            for column in 0..self.width * across {
                let basis = sh_basis(direction_of_uv([(column as f64 + 0.5) / (self.width * across) as f64, v]));
                let texel = 3 * (row * self.width + column / across);
                for (k, value) in basis.iter().enumerate() {
                    (0..3).for_each(|c| sh[k][c] += value * weight * f64::from(self.data[texel + c]));
                }
            }
        }
        sh
    }
}

/// Real orthonormal spherical harmonics up to degree 2 of a unit direction, order (0,0), (1,-1..1), (2,-2..2), with the
/// map's axes as they are (x, y, z).
pub fn sh_basis([x, y, z]: [f64; 3]) -> [f64; 9] {
    let c0 = 0.5 * (1.0 / PI).sqrt();
    let c1 = (3.0 / (4.0 * PI)).sqrt();
    let c2 = (15.0 / (4.0 * PI)).sqrt();
    let c20 = (5.0 / (16.0 * PI)).sqrt();
    let c22 = (15.0 / (16.0 * PI)).sqrt();
    [c0, c1 * y, c1 * z, c1 * x, c2 * x * y, c2 * y * z, c20 * (3.0 * z * z - 1.0), c2 * x * z, c22 * (x * x - y * y)]
}

/// Irradiance on a surface with unit normal `normal`, from [`Environment::irradiance_sh`].
pub fn irradiance(sh: &[[f64; 3]; 9], normal: [f64; 3]) -> [f64; 3] {
    let basis = sh_basis(normal);
    [0, 1, 2].map(|c| basis.iter().zip(sh).map(|(b, s)| b * s[c]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: [f64; 3], b: [f64; 3], tolerance: f64) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
    }

    #[test]
    fn directions_and_uv_are_inverses_with_the_stated_orientation() {
        for d in [[1.0, 0.0, 0.0], [0.3, -0.8, 0.1], [-0.2, 0.5, -0.9]] {
            let length = f64::sqrt(d.iter().map(|x| x * x).sum());
            assert!(close(direction_of_uv(uv_of_direction(d)), d.map(|x| x / length), 1e-12));
        }
        assert_eq!(uv_of_direction([1.0, 0.0, 0.0]), [0.5, 0.5]);
        assert_eq!(uv_of_direction([0.0, 0.0, -1.0]), [0.25, 0.5]);
        assert_eq!(uv_of_direction([0.0, 2.0, 0.0])[1], 0.0);
    }

    #[test]
    fn solid_angles_sum_to_the_sphere() {
        let map = Environment { width: 64, height: 33, data: vec![1.0; 64 * 33 * 3] };
        let sum: f64 = (0..33).map(|row| 64.0 * map.solid_angle(row)).sum();
        assert!((sum - 4.0 * PI).abs() < 1e-12);
    }

    #[test]
    fn irradiance_of_a_constant_map_is_pi_times_radiance() {
        let large = Environment { width: 128, height: 64, data: [1.0, 2.0, 0.5].repeat(128 * 64) };
        for map in [Environment::constant([1.0, 2.0, 0.5]), large] {
            for normal in [[0.0, 1.0, 0.0], [0.6, 0.0, -0.8]] {
                assert!(close(irradiance(&map.irradiance_sh(), normal), [PI, 2.0 * PI, 0.5 * PI], 5e-3));
            }
            assert!(close(map.radiance([0.1, -0.7, 0.2]), [1.0, 2.0, 0.5], 1e-9));
        }
    }

    #[test]
    fn downsampling_keeps_the_total_light() {
        let data: Vec<f32> = (0..32 * 16 * 3).map(|i| (i * 31 % 97) as f32).collect();
        let map = Environment { width: 32, height: 16, data };
        let total = |m: &Environment| {
            let texel = |(i, p): (usize, &[f32])| f64::from(p[0]) * m.solid_angle(i / m.width);
            m.data.chunks_exact(3).enumerate().map(texel).sum::<f64>()
        };
        let small = map.downsampled(8, 4);
        assert!((total(&small) / total(&map) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn lookup_wraps_across_the_seam() {
        let mut map = Environment { width: 4, height: 2, data: vec![0.0; 24] };
        (0..2).for_each(|row| map.data[row * 12] = 1.0);
        // u = 0 lies midway between the last column and the first.
        assert!((map.radiance([-1.0, 0.0, -1e-12])[0] - 0.5).abs() < 1e-9);
    }

    #[test]
    fn rgbe_is_mantissa_over_256_times_two_to_the_exponent() {
        let mut bytes = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n".to_vec();
        bytes.extend([128, 64, 0, 129, 255, 1, 3, 120]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.hdr");
        std::fs::write(&path, bytes).unwrap();
        let map = Environment::load(&path).unwrap();
        let expected = [1.0, 0.5, 0.0, 255.0 / 65536.0, 1.0 / 65536.0, 3.0 / 65536.0];
        assert_eq!((map.width, map.height, map.data), (2, 1, expected.to_vec()));
    }
}
