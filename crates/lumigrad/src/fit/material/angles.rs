//! Pairs of directions by their half vector and what is left (Rusinkiewicz 1998).

use crate::Result;
use glam::{DQuat, DVec3};
use lumigrad_core::{Device, Tensor, Var};
use std::f64::consts::{FRAC_PI_2, PI};

/// Directions to the light and to the viewer above a surface that looks the same when it is turned about its normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angles {
    /// From the normal to the half vector.
    pub half: f64,
    /// From the half vector to the light.
    pub difference: f64,
    /// Of the light about the half vector.
    pub turn: f64,
}

impl Angles {
    /// Of unit vectors above the horizon, z along the normal. Light and viewer exchanged give a turn by π.
    pub fn of(light: DVec3, view: DVec3) -> Self {
        let half = (light + view).normalize();
        // From the normal to the half vector along a great circle, which leaves the rest as it is.
        let frame = DQuat::from_rotation_arc(half, DVec3::Z);
        let away = half.truncate();
        let along = if away.length() > 1e-12 { away.normalize() } else { glam::DVec2::X };
        let d = frame * light;
        let turn = (along.x * d.y - along.y * d.x).atan2(along.x * d.x + along.y * d.y);
        // Sine and cosine both: an arc cosine near 1 has half of the digits.
        Self {
            half: away.length().atan2(half.z),
            difference: d.truncate().length().atan2(d.z),
            turn: turn.rem_euclid(2.0 * PI),
        }
    }

    /// From numbers in [0, 1): more of them near the highlight, as MERL's tables have it.
    pub fn from_unit([half, difference, turn]: [f64; 3]) -> Self {
        Self { half: half * half * FRAC_PI_2, difference: difference * FRAC_PI_2, turn: turn * PI }
    }

    /// Directions to the light and to the viewer, z along the normal and the half vector over x.
    pub fn directions(self) -> [DVec3; 2] {
        let frame = DQuat::from_rotation_y(self.half);
        let ((s, c), (st, ct)) = (self.difference.sin_cos(), self.turn.sin_cos());
        [DVec3::new(s * ct, s * st, c), DVec3::new(-s * ct, -s * st, c)].map(|d| frame * d)
    }

    /// Whether both directions are above the horizon, by a little.
    pub fn is_above(self) -> bool {
        self.directions().iter().all(|d| d.z > LEAST_COSINE)
    }
}

/// Measured data say little of directions that are closer to the horizon, and analytic ones grow there without bound.
pub const LEAST_COSINE: f64 = 0.02;

/// Rows [N, 9] of the vectors that rasteriser and network take: the normal, which is z, towards the viewer, towards the light.
pub fn vectors(angles: &[Angles], device: &Device) -> Result<Var> {
    let row = |a: &Angles| {
        let [light, view] = a.directions();
        [DVec3::Z, view, light].map(|d| d.as_vec3().to_array())
    };
    let rows: Vec<[[f32; 3]; 3]> = angles.iter().map(row).collect();
    Ok(Tensor::from_slice(device, rows.as_flattened().as_flattened(), &[rows.len(), 9])?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::ops::random::uniform;

    fn direction(k: u64) -> DVec3 {
        let (z, turn) = (0.01 + 0.98 * uniform(7, 2 * k), 2.0 * PI * uniform(7, 2 * k + 1));
        let r = (1.0 - z * z).sqrt();
        DVec3::new(r * turn.cos(), r * turn.sin(), z)
    }

    #[test]
    fn half_and_difference_angles_and_back_are_the_same_directions() {
        for k in 0..2000 {
            let (light, view) = (direction(2 * k), direction(2 * k + 1));
            let angles = Angles::of(light, view);
            let [l, v] = angles.directions();
            // Up to a turn about the normal: heights, the angle between them, and its sense.
            let sense = |a: DVec3, b: DVec3| a.cross(b).z;
            for (found, expected) in
                [(l.z, light.z), (v.z, view.z), (l.dot(v), light.dot(view)), (sense(l, v), sense(light, view))]
            {
                assert!((found - expected).abs() < 1e-12, "{light} {view}: {found}, expected {expected}");
            }
            let again = Angles::of(l, v);
            assert!((again.half - angles.half).abs() < 1e-9 && (again.difference - angles.difference).abs() < 1e-9);
        }
    }

    #[test]
    fn exchanged_directions_are_half_a_turn_apart() {
        for k in 0..500 {
            let (light, view) = (direction(2 * k), direction(2 * k + 1));
            let (a, b) = (Angles::of(light, view), Angles::of(view, light));
            assert!(((a.turn - b.turn).abs() - PI).abs() < 1e-9 || a.difference < 1e-6, "{a:?} {b:?}");
            assert!((a.half - b.half).abs() < 1e-9 && (a.difference - b.difference).abs() < 1e-9, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_mirrored_light_has_its_half_vector_along_the_normal() {
        let angles = Angles::of(DVec3::new(0.6, 0.0, 0.8), DVec3::new(-0.6, 0.0, 0.8));
        assert!(angles.half < 1e-12 && (angles.difference - 0.6f64.asin()).abs() < 1e-12, "{angles:?}");
        let same = Angles::of(DVec3::Z, DVec3::Z);
        assert_eq!((same.half, same.difference), (0.0, 0.0));
    }
}
