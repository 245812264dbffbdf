//! The sphere that materials are shown on.

use lumigrad_scene::MeshData;
use std::f32::consts::{PI, TAU};

/// A sphere of radius 1 with normals and texture coordinates, of `cells` cells each way.
pub fn sphere(cells: usize) -> MeshData {
    let (mut positions, mut texcoords, mut triangles) = (vec![], vec![], vec![]);
    for j in 0..=cells {
        for i in 0..=cells {
            let (u, v) = (i as f32 / cells as f32, j as f32 / cells as f32);
            let (a, b) = (TAU * u, PI * v);
            positions.push([b.sin() * a.cos(), b.cos(), -b.sin() * a.sin()]);
            texcoords.push([u, v]);
        }
    }
    let index = |i: usize, j: usize| (j * (cells + 1) + i) as u32;
    for j in 0..cells {
        for i in 0..cells {
            let (a, b, c, d) = (index(i, j), index(i + 1, j), index(i + 1, j + 1), index(i, j + 1));
            triangles.extend([[a, d, b], [b, d, c]]);
        }
    }
    MeshData {
        normals: Some(positions.clone()),
        positions,
        texcoords: Some(texcoords),
        triangles,
        ..Default::default()
    }
}
