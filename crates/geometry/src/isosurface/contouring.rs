//! Dual contouring.

use super::edges::{AXES, Edges};
use super::qef::meeting_point;
use super::table::offset;
use super::{Border, Dual, Field, Indexed, SampleGrid};
use crate::Error;
use glam::DVec3;
use rayon::prelude::*;

/// Heights that differ by less, in spacings, are taken for equal.
const LEVEL: f64 = 1e-4;

/// The surface where samples of a field are `iso`, with a vertex in each cell that it passes through: where the tangent
/// planes at the crossings of the cell's edges meet, within the cell. So it has the edges and corners of the field.
///
/// `tangents` gives the field and its gradient, (f, ∂x, ∂y, ∂z), at points [N, 3]: the plane is where they say that the field
/// is `iso`, which near an edge is not where the samples do. A gradient of zero leaves its plane out, and a cell without
/// planes has the mean of its crossings. Crossings at a closed border have the border's plane. Quads are cut along the
/// diagonal that passes nearer to the crossing of their edge, of equals the shorter. **Limits**: the surface may cross itself
/// and is not manifold where two sheets pass through one cell. Counter-clockwise from the positive side. **Determinism**:
/// the same for any number of threads.
///
/// **Source**: Ju et al., "Dual Contouring of Hermite Data", 2002.
///
/// # Errors
/// As [`marching_cubes`](super::marching_cubes); those of `tangents`; another number of them than of points.
pub fn dual_contouring<E: From<Error>>(
    samples: &[f32],
    grid: &SampleGrid,
    iso: f32,
    border: Border,
    tangents: impl FnOnce(&[[f32; 3]]) -> Result<Vec<[f32; 4]>, E>,
) -> Result<Indexed, E> {
    let Some(field) = Field::new(samples, grid, iso, border)? else { return Ok((vec![], vec![])) };
    let edges = Edges::new(&field.signs, AXES)?;
    let points = edges.crossings(&field);
    let tangents = tangents(&points)?;
    if tangents.len() != points.len() {
        return Err(Error::Samples { found: tangents.len(), size: [points.len(), 1, 1] }.into());
    }
    let outward: Vec<Option<[f32; 3]>> = edges.map(|at, axis| border_normal(&field, at, axis));
    let planes: Vec<(DVec3, DVec3)> = (0..points.len())
        .into_par_iter()
        .map(|k| plane(points[k], outward[k].map_or(tangents[k], |[x, y, z]| [iso, x, y, z]), iso))
        .collect();
    let dual = one_per_cell(Dual::of(&field)?);
    let place = |k: usize| place(&field, &edges, &planes, dual.cells[k].map(|x| x as usize), dual.edges[k]);
    let positions: Vec<[f32; 3]> = (0..dual.cells.len()).into_par_iter().map(place).collect();
    let crossing = |k: usize| {
        let (at, axis) = dual.around[k];
        (points[edges.number(at.map(|x| x as usize), axis as usize) as usize], axis as usize)
    };
    let level = LEVEL * grid.spacing.iter().copied().fold(f64::INFINITY, f64::min);
    let cut = |k: usize| cut(dual.quads[k], &positions, crossing(k), level);
    let triangles: Vec<[u32; 3]> = (0..dual.quads.len()).into_par_iter().flat_map_iter(cut).collect();
    Ok((positions, triangles))
}

/// A sampled field and its gradient, (f, ∂x, ∂y, ∂z), at points: trilinear interpolation of samples, and of their differences,
/// which are central within the grid.
///
/// # Errors
/// A grid without place or extent, another number of samples.
pub fn grid_tangents(samples: &[f32], grid: &SampleGrid, points: &[[f32; 3]]) -> crate::Result<Vec<[f32; 4]>> {
    grid.check(samples.len())?;
    let size = grid.size;
    let sample = |at: [usize; 3]| f64::from(samples[at[0] + size[0] * (at[1] + size[1] * at[2])]);
    let difference = |at: [usize; 3], c: usize| {
        let (mut lo, mut hi) = (at, at);
        (lo[c], hi[c]) = (at[c].saturating_sub(1), (at[c] + 1).min(size[c] - 1));
        (sample(hi) - sample(lo)) / ((hi[c] - lo[c]).max(1) as f64 * grid.spacing[c])
    };
    let tangent = |p: &[f32; 3]| {
        let local: [f64; 3] = std::array::from_fn(|c| {
            ((f64::from(p[c]) - grid.origin[c]) / grid.spacing[c]).clamp(0.0, (size[c] - 1) as f64)
        });
        let first = local.map(|x| x as usize);
        let mut sum = [0.0; 4];
        for corner in 0..8 {
            let at = std::array::from_fn(|c| (first[c] + (corner >> c & 1)).min(size[c] - 1));
            let part = |c: usize| {
                let t = local[c] - first[c] as f64;
                if corner >> c & 1 == 1 { t } else { 1.0 - t }
            };
            let weight = part(0) * part(1) * part(2);
            if weight > 0.0 {
                sum[0] += weight * sample(at);
                (0..3).for_each(|c| sum[c + 1] += weight * difference(at, c));
            }
        }
        sum.map(|x| x as f32)
    };
    Ok(if samples.is_empty() { vec![[0.0; 4]; points.len()] } else { points.par_iter().map(tangent).collect() })
}

/// Where a field with a value and a gradient at a point is `iso`: a point of that plane, and its normal, which is 0 where there
/// is none.
fn plane(point: [f32; 3], [value, x, y, z]: [f32; 4], iso: f32) -> (DVec3, DVec3) {
    let (point, gradient) = (DVec3::from_array(point.map(f64::from)), DVec3::new(x.into(), y.into(), z.into()));
    match gradient.try_normalize() {
        Some(normal) if value.is_finite() => (point - normal * (f64::from(value - iso) / gradient.length()), normal),
        Some(normal) => (point, normal),
        None => (point, DVec3::ZERO),
    }
}

/// The normal of the grid's box where an edge leaves it.
fn border_normal(field: &Field, at: [usize; 3], axis: usize) -> Option<[f32; 3]> {
    let mut to = at;
    to[axis] += 1;
    let sign = match (field.is_within(at), field.is_within(to)) {
        (true, true) => return None,
        (true, false) => 1.0,
        (false, _) => -1.0,
    };
    Some(std::array::from_fn(|c| if c == axis { sign } else { 0.0 }))
}

/// The dual surface with all sheets of a cell in one vertex.
fn one_per_cell(dual: Dual) -> Dual {
    let mut out = Dual { around: dual.around, ..Dual::default() };
    let mut place = vec![];
    for (cell, edges) in dual.cells.into_iter().zip(dual.edges) {
        match out.cells.last() == Some(&cell) {
            true => *out.edges.last_mut().expect("as many as cells") |= edges,
            false => {
                out.cells.push(cell);
                out.edges.push(edges);
            }
        }
        place.push(out.cells.len() as u32 - 1);
    }
    out.quads = dual.quads.into_iter().map(|q| q.map(|v| place[v as usize])).collect();
    out
}

/// Where the vertex of a cell is.
fn place(field: &Field, edges: &Edges<3>, planes: &[(DVec3, DVec3)], cell: [usize; 3], crossed: u16) -> [f32; 3] {
    let crossings = (0..12).filter(|edge| crossed >> edge & 1 == 1).map(|edge| {
        let from = offset(edge);
        planes[edges.number(std::array::from_fn(|c| cell[c] + from[c]), edge / 4) as usize]
    });
    let point = meeting_point(crossings);
    let corner = |k: usize, c: usize| {
        let at = (cell[c] + k) as f64 - field.signs.pad as f64;
        field.grid.origin[c] + field.grid.spacing[c] * at.clamp(0.0, (field.grid.size[c] - 1) as f64)
    };
    std::array::from_fn(|c| point[c].clamp(corner(0, c), corner(1, c)) as f32)
}

/// Two triangles of a quad.
fn cut(quad: [u32; 4], positions: &[[f32; 3]], (crossing, axis): ([f32; 3], usize), level: f64) -> [[u32; 3]; 2] {
    let [a, b, c, d] = quad;
    let cuts = [[[a, b, c], [a, c, d]], [[a, b, d], [b, c, d]]];
    let p = quad.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
    let at = DVec3::from_array(crossing.map(f64::from));
    let apart = cuts.map(|triangles| {
        let corners = |t: [u32; 3]| t.map(|v| DVec3::from_array(positions[v as usize].map(f64::from)));
        triangles.iter().filter_map(|t| height(corners(*t), at, axis)).fold(f64::INFINITY, |m, h| m.min(h.abs()))
    });
    let other = match (apart[0] - apart[1]).abs() > level {
        true => apart[1] < apart[0],
        false => (p[1] - p[3]).length_squared() < (p[0] - p[2]).length_squared(),
    };
    cuts[other as usize]
}

/// How far a triangle is from a point along an axis; `None` where it is not above or below it.
fn height(p: [DVec3; 3], at: DVec3, axis: usize) -> Option<f64> {
    let [u, v] = [(axis + 1) % 3, (axis + 2) % 3];
    let twice = |a: DVec3, b: DVec3| (a[u] - at[u]) * (b[v] - at[v]) - (a[v] - at[v]) * (b[u] - at[u]);
    let parts = [twice(p[1], p[2]), twice(p[2], p[0]), twice(p[0], p[1])];
    let all: f64 = parts.iter().sum();
    let inside = parts.iter().all(|x| x * all >= -1e-9 * all * all);
    (inside && all != 0.0).then(|| (0..3).map(|k| parts[k] / all * (p[k][axis] - at[axis])).sum())
}

#[cfg(test)]
mod tests {
    use super::super::loops::sheets;
    use super::*;

    #[test]
    fn sheets_of_a_cell_become_one_vertex() {
        // Two opposite corners: two sheets.
        assert_eq!(sheets()[0b1000_0001].plain.n, 2);
        let mut samples = [1.0f32; 64];
        (samples[21], samples[42]) = (-1.0, -1.0);
        let grid = SampleGrid { size: [4; 3], origin: [0.0; 3], spacing: [1.0; 3] };
        let dual = Dual::new(&samples, &grid, 0.0, Border::Open).unwrap();
        assert_eq!((dual.cells.len(), one_per_cell(dual).cells.len()), (16, 15));
    }
}
