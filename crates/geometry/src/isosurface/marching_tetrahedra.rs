//! Marching tetrahedra: each cell is six tetrahedra around its diagonal, one per order of the axes (Kuhn's), which fit those
//! of the neighbouring cells.
//!
//! Edges go from a corner to another that is further on along one, two or all axes: corner p and direction d, both of a bit
//! per axis, of which none is in both.

use super::edges::Edges;
use super::signs::BITS;
use super::{Border, Field, Indexed, SampleGrid};
use crate::Result;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Directions of edges.
const DIRECTIONS: [usize; 7] = [1, 2, 3, 4, 5, 6, 7];

/// An edge of a cell: the corner it begins at, and its direction.
type Edge = (u8, u8);

/// The surface where samples of a field are `iso`, as [`marching_cubes`](super::marching_cubes) has it, but with the field
/// linear within each of six tetrahedra per cell: no case is ambiguous.
///
/// The surface is manifold, whatever the field; vertices are at least 1/1024 of an edge from its ends. It has about three
/// times the triangles of marching cubes. **Shapes**: `samples [nz, ny, nx]`. **Determinism**: the same for any number of
/// threads.
///
/// **Source**: Doi & Koide, "An Efficient Method of Triangulating Equi-Valued Surfaces by Using Tetrahedral Cells", 1991.
///
/// # Errors
/// As [`marching_cubes`](super::marching_cubes).
pub fn marching_tetrahedra(samples: &[f32], grid: &SampleGrid, iso: f32, border: Border) -> Result<Indexed> {
    let Some(field) = Field::new(samples, grid, iso, border)? else { return Ok((vec![], vec![])) };
    let signs = &field.signs;
    let [_, ny, nz] = signs.size;
    let edges = Edges::new(signs, DIRECTIONS)?;
    let positions = edges.crossings(&field);
    let cases = cases();
    let triangles: Vec<Vec<[u32; 3]>> = (0..nz - 1)
        .into_par_iter()
        .map(|z| {
            let mut out = vec![];
            for y in 0..ny - 1 {
                signs.for_cells(y, z, |word, bit, pattern| {
                    let cell = [word * BITS + bit, y, z];
                    let vertex = |(corner, direction): Edge| {
                        let from = std::array::from_fn(|c| cell[c] + (corner as usize >> c & 1));
                        edges.number(from, direction as usize - 1)
                    };
                    out.extend(cases[pattern].iter().map(|t| t.map(vertex)));
                });
            }
            out
        })
        .collect();
    Ok((positions, triangles.concat()))
}

/// Triangles of a cell for each pattern of signs, whose bits are the negative corners.
fn cases() -> &'static [Vec<[Edge; 3]>; 256] {
    static CASES: OnceLock<[Vec<[Edge; 3]>; 256]> = OnceLock::new();
    CASES.get_or_init(|| std::array::from_fn(case))
}

fn case(negative: usize) -> Vec<[Edge; 3]> {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 2, 0], [1, 0, 2], [2, 0, 1], [2, 1, 0]];
    orders.iter().flat_map(|&[a, b, _]| tetrahedron([0, 1 << a, 1 << a | 1 << b, 7], negative)).collect()
}

/// The triangles in a tetrahedron.
fn tetrahedron(corners: [usize; 4], negative: usize) -> Vec<[Edge; 3]> {
    let edge = |p: usize, q: usize| ((p & q) as u8, (p ^ q) as u8);
    let (inside, outside): (Vec<usize>, Vec<usize>) = corners.into_iter().partition(|&c| negative >> c & 1 == 1);
    match (&inside[..], &outside[..]) {
        (&[p], &[a, b, c]) | (&[a, b, c], &[p]) => vec![facing([a, b, c].map(|q| edge(p, q)), negative)],
        (&[p, q], &[r, s]) => {
            let around = [edge(p, r), edge(q, r), edge(q, s), edge(p, s)];
            [[0, 1, 2], [0, 2, 3]].map(|t| facing(t.map(|k| around[k]), negative)).into()
        }
        _ => vec![],
    }
}

/// A triangle, counter-clockwise from the positive side.
fn facing([a, b, c]: [Edge; 3], negative: usize) -> [Edge; 3] {
    // Twice the middles of the edges, which lie on a plane between the signs.
    let at = |(corner, direction): Edge| [0, 1, 2].map(|k| i32::from(2 * (corner >> k & 1) + (direction >> k & 1)));
    let [p, q, r] = [a, b, c].map(at);
    let (u, v): ([i32; 3], [i32; 3]) = (std::array::from_fn(|k| q[k] - p[k]), std::array::from_fn(|k| r[k] - p[k]));
    let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    let along: i32 = (0..3).map(|k| normal[k] * i32::from(a.1 >> k & 1)).sum();
    // The edge begins at its first corner.
    if (along > 0) == (negative >> a.0 & 1 == 1) { [a, b, c] } else { [a, c, b] }
}

#[cfg(test)]
mod cases_tests {
    use super::*;
    use glam::DVec3;

    #[test]
    fn triangles_face_the_positive_side() {
        let corner = |c: u8| DVec3::new((c & 1) as f64, (c >> 1 & 1) as f64, (c >> 2 & 1) as f64);
        for (negative, triangles) in cases().iter().enumerate() {
            for t in triangles {
                let p = t.map(|(c, d)| 0.5 * (corner(c) + corner(c | d)));
                let normal = (p[1] - p[0]).cross(p[2] - p[0]);
                assert!(normal.length() > 1e-9);
                for (c, d) in t {
                    let sign = if negative >> c & 1 == 1 { 1.0 } else { -1.0 };
                    assert!(negative >> c & 1 != negative >> (c | d) & 1);
                    assert!(sign * normal.dot(corner(c | d) - corner(*c)) > 0.0, "{negative} {t:?}");
                }
            }
        }
    }
}
