//! Which texels lie on which triangles.

use super::{Atlas, NONE};
use glam::{DVec2, DVec3};
use rayon::prelude::*;

/// Rows that are looked at together.
const BAND: usize = 32;

/// The place on the surface of each texel's centre.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texels {
    /// Rows and columns.
    pub size: usize,
    /// Numbers of the triangles, row by row; `u32::MAX` where there is none near.
    pub triangles: Vec<u32>,
    /// Weights of the triangle's corners; they add up to 1.
    pub weights: Vec<[f32; 3]>,
}

impl Texels {
    /// Whether a texel is on the surface, or near it.
    pub fn is_known(&self, texel: usize) -> bool {
        self.triangles[texel] != NONE
    }

    /// Numbers of the texels that are.
    pub fn known(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.triangles.len()).filter(|&k| self.is_known(k))
    }

    /// Vertex values [V, 3] of the atlas' triangles at a texel; 0 where it is of none.
    pub fn blend(&self, texel: usize, triangles: &[[u32; 3]], values: &[[f32; 3]]) -> [f32; 3] {
        let Some(t) = triangles.get(self.triangles[texel] as usize) else { return [0.0; 3] };
        let weights = self.weights[texel];
        std::array::from_fn(|c| (0..3).map(|k| weights[k] * values[t[k] as usize][c]).sum())
    }
}

impl Atlas {
    /// The triangle at each texel of a picture with `size` rows and columns; where there is none, the nearest one of a chart up
    /// to `reach` texels away, at its nearest point. Colours that are looked up there fill the gutters.
    ///
    /// **Determinism**: the same for any number of threads. Of triangles as near the first is taken.
    pub fn texels(&self, size: usize, reach: f64) -> Texels {
        let corners: Vec<[DVec2; 3]> = self
            .triangles
            .iter()
            .map(|t| t.map(|v| DVec2::from(self.uvs[v as usize].map(f64::from)) * size as f64))
            .collect();
        let (mut triangles, mut weights) = (vec![NONE; size * size], vec![[0.0; 3]; size * size]);
        let band = (BAND * size).max(1);
        triangles.par_chunks_mut(band).zip(weights.par_chunks_mut(band)).enumerate().for_each(|(k, (own, weights))| {
            let (first, rows) = (k * BAND, own.len() / size);
            let mut squares = vec![reach * reach; own.len()];
            for (number, t) in corners.iter().enumerate() {
                let (lo, hi) = super::flatten::bounds(t.iter().copied());
                let range = |c: usize, from: usize, to: usize| {
                    let low = (lo[c] - reach - 0.5).ceil().max(from as f64);
                    let high = (hi[c] + reach - 0.5).floor().min(to as f64 - 1.0);
                    if low <= high { low as usize..high as usize + 1 } else { 0..0 }
                };
                for y in range(1, first, first + rows) {
                    for x in range(0, 0, size) {
                        let at = (y - first) * size + x;
                        let (square, found) = nearest(DVec2::new(x as f64 + 0.5, y as f64 + 0.5), t);
                        if square < squares[at] || (own[at] == NONE && square <= squares[at]) {
                            (squares[at], own[at]) = (square, number as u32);
                            weights[at] = found.as_vec3().to_array();
                        }
                    }
                }
            }
        });
        Texels { size, triangles, weights }
    }
}

/// The squared distance from a point to a triangle in the plane, and the weights of its corners there.
fn nearest(p: DVec2, t: &[DVec2; 3]) -> (f64, DVec3) {
    let whole = (t[1] - t[0]).perp_dot(t[2] - t[0]);
    if whole != 0.0 {
        let part = |k: usize| (t[(k + 2) % 3] - t[(k + 1) % 3]).perp_dot(p - t[(k + 1) % 3]) / whole;
        let weights = DVec3::new(part(0), part(1), part(2));
        if weights.min_element() >= 0.0 {
            return (0.0, weights);
        }
    }
    let mut best = (f64::INFINITY, DVec3::X);
    for k in 0..3 {
        let (a, b) = (t[k], t[(k + 1) % 3]);
        let side = b - a;
        let length = side.length_squared();
        let s = if length > 0.0 { ((p - a).dot(side) / length).clamp(0.0, 1.0) } else { 0.0 };
        let square = p.distance_squared(a + side * s);
        if square < best.0 {
            let mut weights = DVec3::ZERO;
            (weights[k], weights[(k + 1) % 3]) = (1.0 - s, s);
            best = (square, weights);
        }
    }
    best
}
