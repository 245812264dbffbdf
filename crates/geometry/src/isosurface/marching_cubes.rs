//! Marching cubes.

use super::signs::Signs;
use super::table::{Case, MOST, cases};
use super::{Border, Field, Indexed, SampleGrid, split};
use crate::{Error, Result};
use rayon::prelude::*;

/// The surface where samples of a field are `iso`, with shared vertices, counter-clockwise from the positive side.
///
/// A sample is inside (negative) where it is below `iso`; one equal to `iso` is positive, as is NaN. An edge between
/// samples of two sides has a vertex where the field, linear between them, is `iso`, at least 1/1024 of the spacing
/// from both, so that no two vertices meet. On faces with two diagonal pairs, the negative corners are cut off from each
/// other.
///
/// The surface is manifold: every edge has two triangles, but for those at an [open](Border::Open) border, which have
/// one. **Shapes**: `samples [nz, ny, nx]`. **Determinism**: the same for any number of threads. **Cost**: one pass over the
/// samples, and memory for a bit per sample and 12 bytes per row beside the surface.
///
/// **Source**: Lorensen & Cline, "Marching Cubes", 1987; cases by rule, see `table.rs`.
///
/// # Errors
/// A number of samples other than the grid's; spacings that are not positive, origins that are not finite; more than 2³²
/// vertices.
pub fn marching_cubes(samples: &[f32], grid: &SampleGrid, iso: f32, border: Border) -> Result<Indexed> {
    let Some(field) = Field::new(samples, grid, iso, border)? else { return Ok((vec![], vec![])) };
    let signs = &field.signs;
    let [_, ny, nz] = signs.size;

    // Where the vertices of each row and the triangles of each layer begin.
    let counts: Vec<[usize; 3]> = (0..ny * nz).into_par_iter().map(|row| signs.count(row)).collect();
    let mut n_vertices = 0;
    let mut firsts = Vec::with_capacity(counts.len());
    for count in &counts {
        firsts.push([n_vertices, n_vertices + count[0], n_vertices + count[0] + count[1]].map(|n: usize| n as u32));
        n_vertices += count.iter().sum::<usize>();
    }
    if n_vertices > u32::MAX as usize {
        return Err(Error::TooLarge { vertices: n_vertices });
    }
    let layer = |z: usize| (0..ny - 1).map(|y| count_triangles(signs, y, z)).sum::<usize>();
    let layers: Vec<usize> = (0..nz - 1).into_par_iter().map(layer).collect();

    let mut positions = vec![[0.0; 3]; n_vertices];
    let per_layer = counts.chunks(ny).map(|rows| rows.iter().flatten().sum());
    split(&mut positions, per_layer).into_par_iter().enumerate().for_each(|(z, out)| vertices(&field, z, out));
    let mut triangles = vec![[0; 3]; layers.iter().sum()];
    split(&mut triangles, layers.into_iter()).into_par_iter().enumerate().for_each(|(z, out)| {
        let mut rest = out;
        for y in 0..ny - 1 {
            let (row, after) = rest.split_at_mut(count_triangles(signs, y, z));
            make_triangles(signs, &firsts, y, z, row);
            rest = after;
        }
    });
    Ok((positions, triangles))
}

/// Vertices on the edges that begin in layer `z`.
fn vertices(field: &Field, z: usize, out: &mut [[f32; 3]]) {
    let mut n = 0;
    let [_, ny, _] = field.signs.size;
    for (y, axis) in (0..ny).flat_map(|y| (0..3).map(move |axis| (y, axis))) {
        field.signs.for_crossings(z * ny + y, 1 << axis, |x| {
            out[n] = field.crossing([x, y, z], 1 << axis).map(|x| x as f32);
            n += 1;
        });
    }
}

fn count_triangles(signs: &Signs, y: usize, z: usize) -> usize {
    let cases = cases();
    let mut n = 0;
    signs.for_cells(y, z, |_, _, pattern| n += cases[pattern].n);
    n
}

fn make_triangles(signs: &Signs, firsts: &[[u32; 3]], y: usize, z: usize, out: &mut [[u32; 3]]) {
    let cases = cases();
    let mut n = 0;
    let mut ranks = signs.ranks(firsts, y, z);
    signs.for_cells(y, z, |word, bit, pattern| {
        let Case { n: count, triangles, edges } = &cases[pattern];
        ranks.advance(word);
        let mut ids = [0; 12];
        let mut left = *edges;
        while left != 0 {
            let edge = left.trailing_zeros() as usize;
            left &= left - 1;
            ids[edge] = ranks.vertex(edge, bit);
        }
        debug_assert!(*count <= MOST);
        for t in &triangles[..*count] {
            out[n] = t.map(|edge| ids[edge as usize]);
            n += 1;
        }
    });
}
