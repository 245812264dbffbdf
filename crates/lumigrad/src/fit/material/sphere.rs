//! Materials on a sphere, seen from afar.

use super::angles::{Angles, LEAST_COSINE};
use crate::Result;
use crate::fit::frames::picture;
use glam::{DQuat, DVec3};
use lumigrad_scene::picture::{Picture, Transfer};

/// Where lamps are, seen from the sphere, and their illuminance: one before it, one beside it, one behind it.
const LAMPS: [([f64; 3], f64); 3] = [([-0.45, 0.6, 0.66], 2.6), ([0.85, -0.35, 0.4], 0.5), ([0.55, 0.6, -0.58], 1.6)];
/// Samples of a pixel along each side.
const SAMPLES: usize = 2;
/// Linear light around the sphere.
const AROUND: f32 = 0.03;

/// What pixels of a sphere reflect.
pub struct Sphere {
    side: usize,
    /// Pairs of directions.
    angles: Vec<Angles>,
    /// Sample and irradiance of each pair.
    lit: Vec<(usize, f32)>,
    covered: Vec<bool>,
}

impl Sphere {
    /// Of so many pixels along each side.
    pub fn new(side: usize) -> Self {
        let fine = side * SAMPLES;
        let (mut angles, mut lit, mut covered) = (vec![], vec![], vec![]);
        for k in 0..fine * fine {
            let at = |i: usize| 1.05 * (2.0 * i as f64 + 1.0 - fine as f64) / fine as f64;
            let (x, y) = (at(k % fine), -at(k / fine));
            let square = 1.0 - x * x - y * y;
            covered.push(square > 0.0);
            let normal = DVec3::new(x, y, square.max(0.0).sqrt());
            if !(normal.z > LEAST_COSINE) {
                continue;
            }
            let turn = DQuat::from_rotation_arc(normal.normalize(), DVec3::Z);
            for (lamp, strength) in LAMPS {
                let (light, view) = (turn * DVec3::from_array(lamp).normalize(), turn * DVec3::Z);
                if light.z > LEAST_COSINE {
                    angles.push(Angles::of(light, view));
                    lit.push((k, (strength * light.z) as f32));
                }
            }
        }
        Self { side, angles, lit, covered }
    }

    /// The sphere of a BRDF, display-encoded.
    pub fn shown(&self, brdf: impl FnOnce(&[Angles]) -> Result<Vec<[f32; 3]>>) -> Result<Picture> {
        let fine = self.side * SAMPLES;
        let mut pixels: Vec<[f32; 3]> = self.covered.iter().map(|c| if *c { [0.0; 3] } else { [AROUND; 3] }).collect();
        for (f, (pixel, light)) in brdf(&self.angles)?.into_iter().zip(&self.lit) {
            (0..3).for_each(|c| pixels[*pixel][c] += f[c] * light);
        }
        // Cut off before the mean, or highlights would have jagged edges.
        let data = pixels.into_flattened().into_iter().map(|x| x.min(1.0)).collect();
        let whole = Picture { transfer: Transfer::Linear, ..picture(fine, fine, data) };
        Ok(whole.resized(self.side, self.side).into_srgb())
    }
}
