//! Dual marching cubes: FlexiCubes with its weights at rest.

use super::edges::{AXES, Edges};
use super::table::offset;
use super::{Border, Dual, Field, Indexed, SampleGrid};
use crate::Result;
use rayon::prelude::*;

/// The surface where samples of a field are `iso`, with a vertex for each sheet of surface in a cell, at the mean of the
/// crossings of the sheet's edges, and a quad around each crossed edge, cut along its shorter diagonal.
///
/// At a [closed](Border::Closed) border the surface is manifold and watertight; at an open one it may be pinched where it
/// leaves the grid. Its triangles are more even than those of marching cubes. Counter-clockwise from the positive side.
/// **Shapes**: `samples [nz, ny, nx]`. **Determinism**: the same for any number of threads.
///
/// **Source**: Nielson, "Dual Marching Cubes", 2004; Shen et al., "Flexible Isosurface Extraction for Gradient-Based Mesh
/// Optimization", 2023, with equal weights.
///
/// # Errors
/// As [`marching_cubes`](super::marching_cubes).
pub fn dual_marching_cubes(samples: &[f32], grid: &SampleGrid, iso: f32, border: Border) -> Result<Indexed> {
    let Some(field) = Field::new(samples, grid, iso, border)? else { return Ok((vec![], vec![])) };
    let edges = Edges::new(&field.signs, AXES)?;
    let (points, dual) = (edges.crossings(&field), Dual::of(&field)?);
    let place = |k: usize| {
        let (cell, crossed) = (dual.cells[k], dual.edges[k]);
        let mut sum = [0f64; 3];
        for edge in (0..12).filter(|edge| crossed >> edge & 1 == 1) {
            let from = offset(edge);
            let number = edges.number(std::array::from_fn(|c| cell[c] as usize + from[c]), edge / 4);
            (0..3).for_each(|c| sum[c] += f64::from(points[number as usize][c]));
        }
        sum.map(|x| (x / f64::from(crossed.count_ones())) as f32)
    };
    let positions: Vec<[f32; 3]> = (0..dual.cells.len()).into_par_iter().map(place).collect();
    let length = |a: u32, b: u32| -> f32 {
        let [p, q] = [a, b].map(|v| positions[v as usize]);
        (0..3).map(|c| (p[c] - q[c]).powi(2)).sum()
    };
    let cut = |&[a, b, c, d]: &[u32; 4]| match length(b, d) < length(a, c) {
        true => [[a, b, d], [b, c, d]],
        false => [[a, b, c], [a, c, d]],
    };
    let triangles = dual.quads.par_iter().flat_map_iter(cut).collect();
    Ok((positions, triangles))
}
