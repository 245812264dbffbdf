//! How surfaces of solids are shown.

use super::operators::{Derivation, Operators};
use super::seen::Seen;
use super::shade::{curvature_colours, scale_of};
use super::solid::Solid;
use crate::Result;
use glam::DVec3;
use lumigrad_scene::camera::View;
use lumigrad_scene::environment::{Environment, irradiance};
use lumigrad_scene::picture::{Picture, Transfer};
use std::f64::consts::{PI, TAU};

/// Ways to show a surface, by the words of jobs.
pub const SHADINGS: &[&str] = &["lit", "normals", "curvature", "mirror"];

/// How much of the light a grey surface gives back.
const ALBEDO: f64 = 0.8;
/// Lights that move with the camera: towards them in its axes (x right, y down, z forward), and their strength.
const LIGHTS: [(DVec3, f64); 2] = [(DVec3::new(-0.5, -0.7, -0.7), 0.8), (DVec3::new(0.9, 0.1, -0.4), 0.22)];
/// Light from all around, and how much of it comes from above.
const AMBIENT: [f64; 2] = [0.13, 0.05];
/// Strength and exponent of highlights.
const GLOSS: (f64, i32) = (0.18, 40);

/// A way to show surfaces.
pub struct Look {
    shading: String,
    how: Derivation,
    environment: Option<Environment>,
    /// The curvature of the last colour, once curvatures were shown: all pictures have that of the first.
    pub range: Option<f32>,
}

impl Look {
    /// By the word of a shading; without an environment lamps beside the camera light the surface, and mirrors show bands.
    pub fn new(shading: &str, how: Derivation, environment: Option<Environment>) -> Self {
        let environment = environment.or_else(|| (shading == "mirror").then(bands));
        Self { shading: shading.to_owned(), how, environment, range: None }
    }

    /// The picture of what a camera sees of a solid.
    pub fn picture(&mut self, seen: &Seen, solid: &Solid, operators: &Operators, view: &View) -> Result<Picture> {
        if self.shading == "curvature" {
            let curvatures = operators.curvatures(solid, self.how, &seen.points)?;
            let range = *self.range.get_or_insert_with(|| scale_of(&curvatures));
            return Ok(seen.picture(&curvature_colours(&curvatures, range), Transfer::Srgb));
        }
        let normals = operators.normals(solid, self.how, &seen.points)?;
        Ok(match (self.shading.as_str(), &self.environment) {
            ("normals", _) => seen.picture(&normal_colours(&normals), Transfer::Srgb),
            ("mirror", Some(sky)) => seen.picture(&mirror(&normals, &seen.directions, sky), Transfer::Linear),
            (_, sky) => seen.picture(&lit(&normals, &seen.directions, view, sky.as_ref()), Transfer::Linear),
        })
    }
}

/// A grey surface with unit normals under the light of an environment, or of lamps beside the camera, as linear light.
pub fn lit(
    normals: &[[f32; 3]],
    directions: &[DVec3],
    view: &View,
    environment: Option<&Environment>,
) -> Vec<[f32; 3]> {
    if let Some(environment) = environment {
        let light = environment.irradiance_sh();
        let colour = |n: &[f32; 3]| irradiance(&light, n.map(f64::from)).map(|e| (ALBEDO / PI * e.max(0.0)) as f32);
        return normals.iter().map(colour).collect();
    }
    let axis = |row: usize| DVec3::from_slice(&view.viewmat[row][..3]);
    let (right, down, forward) = (axis(0), axis(1), axis(2));
    let lights = LIGHTS.map(|(l, strength)| ((right * l.x + down * l.y + forward * l.z).normalize(), strength));
    let colour = |(n, &direction): (&[f32; 3], &DVec3)| {
        let n = DVec3::from_array(n.map(f64::from));
        let mut light = ALBEDO * (AMBIENT[0] - AMBIENT[1] * n.dot(down));
        for (towards, strength) in lights {
            let half = (towards - direction).normalize_or_zero();
            let facing = n.dot(towards).max(0.0);
            let gloss = if facing > 0.0 { GLOSS.0 * n.dot(half).max(0.0).powi(GLOSS.1) } else { 0.0 };
            light += strength * (ALBEDO * facing + gloss);
        }
        [light as f32; 3]
    };
    normals.iter().zip(directions).map(colour).collect()
}

/// What a perfect mirror with unit normals shows of an environment, as linear light.
pub fn mirror(normals: &[[f32; 3]], directions: &[DVec3], environment: &Environment) -> Vec<[f32; 3]> {
    let colour = |(n, &d): (&[f32; 3], &DVec3)| {
        let n = DVec3::from_array(n.map(f64::from));
        environment.radiance((d - n * (2.0 * d.dot(n))).to_array()).map(|x| x as f32)
    };
    normals.iter().zip(directions).map(colour).collect()
}

/// Bands of light around the horizon, as car bodies are inspected by: where reflections of them are rough, normals are.
pub fn bands() -> Environment {
    const SIZE: (usize, usize) = (256, 512);
    const BANDS: f64 = 6.0;
    let texel = |k: usize| {
        let (u, v) = ((k % SIZE.0) as f64 / SIZE.0 as f64, (k / SIZE.0) as f64 / SIZE.1 as f64);
        // Soft edges: a camera's pixel sees many texels where surfaces bend.
        let band = 0.5 + 0.5 * (4.0 * (TAU * BANDS * v).sin()).tanh();
        let warm = 0.5 + 0.5 * (TAU * u).cos();
        let (bright, dark) = ([0.8 + 0.2 * warm, 0.9, 1.0 - 0.3 * warm], [0.02, 0.03, 0.06]);
        [0, 1, 2].map(|c| (dark[c] + band * (bright[c] - dark[c])) as f32)
    };
    Environment { width: SIZE.0, height: SIZE.1, data: (0..SIZE.0 * SIZE.1).flat_map(texel).collect() }
}

/// Unit normals as display colours: −1 to 1 is 0 to 1.
pub fn normal_colours(normals: &[[f32; 3]]) -> Vec<[f32; 3]> {
    normals.iter().map(|n| n.map(|x| 0.5 + 0.5 * x)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_turn_rays_back() {
        let sky = Environment { width: 1, height: 2, data: vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0] };
        let seen = mirror(&[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], &[DVec3::NEG_Y, DVec3::NEG_Y], &sky);
        assert_eq!(seen, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
    }
}
