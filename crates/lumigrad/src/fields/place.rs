//! Where things of the world lie in a field's domain.

use crate::Result;
use lumigrad_core::{Tensor, Var};
use lumigrad_scene::mesh::TriangleMesh;
use std::collections::BTreeMap;

/// A box of the world in the domain [−1, 1]³.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The middle of the box.
    pub centre: [f64; 3],
    /// Units of the world in one of the domain.
    pub scale: f64,
}

impl Place {
    /// Of points, whose longest side goes from −extent to extent; its scale is not positive where they are one or none.
    pub fn of(points: impl IntoIterator<Item = [f32; 3]>, extent: f64) -> Self {
        let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for p in points {
            (0..3).for_each(|c| (lo[c], hi[c]) = (lo[c].min(p[c] as f64), hi[c].max(p[c] as f64)));
        }
        let longest = (0..3).map(|c| hi[c] - lo[c]).fold(0.0, f64::max);
        Self { centre: std::array::from_fn(|c| 0.5 * (lo[c] + hi[c])), scale: 0.5 * longest / extent }
    }

    /// A point of the world in the domain.
    pub fn inwards(&self, p: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| ((p[c] as f64 - self.centre[c]) / self.scale) as f32)
    }

    /// A point of the domain in the world.
    pub fn outwards(&self, p: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|c| (p[c] as f64 * self.scale + self.centre[c]) as f32)
    }

    /// A surface of the domain in the world.
    pub fn mesh(&self, positions: &[[f32; 3]], triangles: Vec<[u32; 3]>, normals: Vec<[f32; 3]>) -> TriangleMesh {
        let positions = positions.iter().map(|&p| self.outwards(p)).collect();
        TriangleMesh { positions, normals: Some(normals), triangles, ..TriangleMesh::default() }
    }

    /// What a file says of a field that lives here; `side` is the longest side of its shape, in the domain.
    pub fn facts(&self, kind: &str, side: f64) -> BTreeMap<String, String> {
        let facts = [
            ("kind", kind.to_owned()),
            ("centre", format!("{:?}", self.centre)),
            ("scale", self.scale.to_string()),
            ("side", side.to_string()),
        ];
        facts.map(|(k, v)| (k.to_owned(), v)).into()
    }
}

/// Centres of a picture's pixels in the square [−1, 1]², row after row from the top: x to the right, y upwards.
pub fn pixels(width: usize, height: usize) -> impl Iterator<Item = [f32; 2]> {
    let along = |i: usize, n: usize| (2.0 * i as f32 + 1.0) / n as f32 - 1.0;
    (0..width * height).map(move |k| [along(k % width, width), -along(k / width, height)])
}

/// Points [N, d] of the domain times `scale`, plus `centre`, coordinate by coordinate.
pub fn affine(points: &Tensor, scale: &[f64], centre: &[f64]) -> Result<Var> {
    let row = |numbers: &[f64]| -> Result<Var> {
        let narrow: Vec<f32> = numbers.iter().map(|&x| x as f32).collect();
        Ok(Var::from(Tensor::from_slice(points.device(), &narrow, &[1, narrow.len()])?).broadcast_to(points.shape())?)
    };
    Ok(Var::from(points.clone()).mul(&row(scale)?)?.add(&row(centre)?)?)
}
