//! Surfaces of sampled fields.

mod signs;
mod table;
#[cfg(test)]
mod tests;

use crate::{Error, Result};
use rayon::prelude::*;
use signs::Signs;
use table::{Case, MOST, cases};

/// Positions [V, 3] and triangles [T, 3].
type Indexed = (Vec<[f32; 3]>, Vec<[u32; 3]>);

/// Parts of a spacing that vertices keep from the samples at the ends of their edges, so that no two meet.
const MARGIN: f64 = 1.0 / 1024.0;

/// A regular grid of samples, x fastest: sample (i, j, k) is number i + nx (j + ny k), at `origin + spacing * (i, j, k)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleGrid {
    /// Samples along x, y and z.
    pub size: [usize; 3],
    /// Where the first sample is.
    pub origin: [f64; 3],
    /// Distances of neighbouring samples.
    pub spacing: [f64; 3],
}

/// What becomes of a surface where the grid ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// It has a border there.
    Open,
    /// Everything beyond counts as outside: the surface is closed along the outermost samples.
    Closed,
}

impl SampleGrid {
    /// A grid of `size` samples over a box, samples on its faces.
    pub fn over(lo: [f64; 3], hi: [f64; 3], size: [usize; 3]) -> Self {
        let spacing = std::array::from_fn(|c| (hi[c] - lo[c]) / size[c].saturating_sub(1).max(1) as f64);
        Self { size, origin: lo, spacing }
    }

    /// Samples in all.
    pub fn n_samples(&self) -> usize {
        self.size.iter().product()
    }

    /// Where sample number `sample` is.
    pub fn point(&self, sample: usize) -> [f64; 3] {
        let [nx, ny, _] = self.size.map(|n| n.max(1));
        let at = [sample % nx, sample / nx % ny, sample / nx / ny];
        std::array::from_fn(|c| self.origin[c] + self.spacing[c] * at[c] as f64)
    }
}

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
    let expected = grid.size.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
    if expected != Some(samples.len()) {
        return Err(Error::Samples { found: samples.len(), size: grid.size });
    }
    if !grid.spacing.iter().all(|&s| s > 0.0 && s.is_finite()) || !grid.origin.iter().all(|x| x.is_finite()) {
        return Err(Error::Spacing { origin: grid.origin, spacing: grid.spacing });
    }
    if samples.is_empty() {
        return Ok((vec![], vec![]));
    }
    let signs = Signs::new(samples, grid.size, iso, (border == Border::Closed) as usize);
    let field = Field { samples, grid, iso: iso as f64, signs: &signs };
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
    let layer = |z: usize| (0..ny - 1).map(|y| count_triangles(&signs, y, z)).sum::<usize>();
    let layers: Vec<usize> = (0..nz - 1).into_par_iter().map(layer).collect();

    let mut positions = vec![[0.0; 3]; n_vertices];
    let per_layer = counts.chunks(ny).map(|rows| rows.iter().flatten().sum());
    split(&mut positions, per_layer).into_par_iter().enumerate().for_each(|(z, out)| field.vertices(z, out));
    let mut triangles = vec![[0; 3]; layers.iter().sum()];
    split(&mut triangles, layers.into_iter()).into_par_iter().enumerate().for_each(|(z, out)| {
        let mut rest = out;
        for y in 0..ny - 1 {
            let (row, after) = rest.split_at_mut(count_triangles(&signs, y, z));
            make_triangles(&signs, &firsts, y, z, row);
            rest = after;
        }
    });
    Ok((positions, triangles))
}

/// Pieces of these lengths, one after the other.
fn split<T>(mut all: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut out = vec![];
    for n in lengths {
        let (piece, rest) = std::mem::take(&mut all).split_at_mut(n);
        out.push(piece);
        all = rest;
    }
    out
}

/// What vertices are made from.
struct Field<'a> {
    samples: &'a [f32],
    grid: &'a SampleGrid,
    iso: f64,
    signs: &'a Signs,
}

impl Field<'_> {
    /// The field less `iso`; infinite outside of the grid and where it is NaN.
    fn value(&self, at: [usize; 3]) -> f64 {
        let size = self.grid.size;
        let [i, j, k] = at.map(|x| x.wrapping_sub(self.signs.pad));
        if i >= size[0] || j >= size[1] || k >= size[2] {
            return f64::INFINITY;
        }
        let value = self.samples[(k * size[1] + j) * size[0] + i] as f64 - self.iso;
        if value.is_nan() { f64::INFINITY } else { value }
    }

    /// Vertices on the edges that begin in layer `z`.
    fn vertices(&self, z: usize, out: &mut [[f32; 3]]) {
        let mut n = 0;
        let [_, ny, _] = self.signs.size;
        for (y, axis) in (0..ny).flat_map(|y| (0..3).map(move |axis| (y, axis))) {
            self.signs.for_crossings(z * ny + y, axis, |x| {
                let (from, mut to) = ([x, y, z], [x, y, z]);
                to[axis] += 1;
                let t = crossing(self.value(from), self.value(to));
                out[n] = std::array::from_fn(|c| {
                    let at = from[c] as f64 - self.signs.pad as f64 + if c == axis { t } else { 0.0 };
                    (self.grid.origin[c] + self.grid.spacing[c] * at) as f32
                });
                n += 1;
            });
        }
    }
}

/// Where between two values of different sides the field is 0.
fn crossing(a: f64, b: f64) -> f64 {
    // In f64 the difference of two f32 on different sides is not 0; what is infinite pulls the vertex to the other end.
    let t = match (a.is_finite(), b.is_finite()) {
        (true, true) => a / (a - b),
        (true, false) => 0.0,
        (false, true) => 1.0,
        (false, false) => 0.5,
    };
    t.clamp(MARGIN, 1.0 - MARGIN)
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
