//! What is dual to the cells of a grid: vertices in cells, quads around edges.

use super::loops::sheets;
use super::signs::BITS;
use super::table::offset;
use super::{Border, Field, SampleGrid};
use crate::{Error, Result};
use rayon::prelude::*;

/// How the vertices of a dual surface are connected: a vertex per sheet of surface in a cell, a quad per crossed edge that
/// has four cells around it.
///
/// Each side of a quad has two quads, but for those at an open border, and each vertex one fan of them. Where the sheet of a
/// cell would meet that of its neighbour in two lines of the face between them, both cells draw these lines the other way,
/// which makes two sheets of each.
///
/// **Source**: Nielson, "Dual Marching Cubes", 2004; Wenger, "Isosurfaces", 2013, for what is not manifold there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dual {
    /// The first corner of each vertex's cell. Of a closed border, one more than the sample's.
    pub cells: Vec<[u32; 3]>,
    /// A bit for each edge of the cell that a vertex's sheet crosses. Edge 4a + k runs along axis a; the bits of k are its
    /// place on the axes a + 1 and a + 2, modulo 3.
    pub edges: Vec<u16>,
    /// Vertices around each crossed edge, counter-clockwise from the positive side.
    pub quads: Vec<[u32; 4]>,
    /// The edge of each quad: the sample it begins at, and its axis.
    pub around: Vec<([u32; 3], u8)>,
}

/// Its vertices, and the edge that it is around.
type Quad = ([u32; 4], ([u32; 3], u8));

/// The cells of a word of samples that the surface passes through.
#[derive(Clone, Copy, Default)]
struct Word {
    mixed: u64,
    /// The first of them, among all.
    first: u32,
}

/// A cell that the surface passes through.
#[derive(Clone, Copy)]
struct Cell {
    pattern: u8,
    turned: bool,
    /// Its first vertex.
    first: u32,
}

impl Dual {
    /// Of a sampled field.
    ///
    /// # Errors
    /// As [`marching_cubes`](super::marching_cubes).
    pub fn new(samples: &[f32], grid: &SampleGrid, iso: f32, border: Border) -> Result<Self> {
        Field::new(samples, grid, iso, border)?.map_or(Ok(Self::default()), |field| Self::of(&field))
    }

    /// The corners of a cell, as x + 2y + 4z, at which an edge begins and ends.
    pub fn corners(edge: usize) -> [u32; 2] {
        let [x, y, z] = offset(edge).map(|at| at as u32);
        let first = x | y << 1 | z << 2;
        [first, first | 1 << (edge / 4)]
    }

    pub(super) fn of(field: &Field) -> Result<Self> {
        let signs = &field.signs;
        let [_, ny, nz] = signs.size;
        let layers: Vec<(Vec<Word>, Vec<Cell>, Self)> =
            (0..nz - 1).into_par_iter().map(|z| Self::layer(field, z)).collect();
        let mut out = Self::default();
        let (mut words, mut cells) = (vec![], vec![]);
        for (mut w, mut c, dual) in layers {
            w.iter_mut().for_each(|w| w.first += cells.len() as u32);
            c.iter_mut().for_each(|c| c.first += out.cells.len() as u32);
            words.extend(w);
            cells.extend(c);
            out.cells.extend(dual.cells);
            out.edges.extend(dual.edges);
        }
        if out.cells.len() > u32::MAX as usize {
            return Err(Error::TooLarge { vertices: out.cells.len() });
        }
        let vertex = |[x, y, z]: [usize; 3], edge: usize| {
            let word = &words[(z * (ny - 1) + y) * signs.words + x / BITS];
            let below = word.mixed & ((1u64 << (x % BITS)) - 1);
            let cell = cells[(word.first + below.count_ones()) as usize];
            cell.first + sheets()[cell.pattern as usize].loops(cell.turned).of[edge] as u32
        };
        let quads: Vec<Vec<Quad>> = (0..nz).into_par_iter().map(|z| quads_of_layer(field, z, vertex)).collect();
        (out.quads, out.around) = quads.into_iter().flatten().unzip();
        Ok(out)
    }

    /// The cells of a layer with their vertices, counted from the layer's first.
    fn layer(field: &Field, z: usize) -> (Vec<Word>, Vec<Cell>, Self) {
        let signs = &field.signs;
        let rows = signs.size[1] - 1;
        let (mut words, mut cells, mut out) = (vec![Word::default(); rows * signs.words], vec![], Self::default());
        for y in 0..rows {
            signs.for_cells(y, z, |word, bit, pattern| {
                let entry = &mut words[y * signs.words + word];
                entry.first = if entry.mixed == 0 { cells.len() as u32 } else { entry.first };
                entry.mixed |= 1 << bit;
                let cell = [word * BITS + bit, y, z];
                let turned = is_turned(field, cell, pattern);
                cells.push(Cell { pattern: pattern as u8, turned, first: out.cells.len() as u32 });
                let loops = sheets()[pattern].loops(turned);
                for sheet in 0..loops.n {
                    out.cells.push(cell.map(|x| x as u32));
                    out.edges.push(loops.edges(sheet));
                }
            });
        }
        (words, cells, out)
    }
}

/// Whether a cell and the one across its doubled face both have that face doubled.
fn is_turned(field: &Field, cell: [usize; 3], pattern: usize) -> bool {
    let Some(face) = sheets()[pattern].doubled else { return false };
    let (axis, side) = (face as usize / 2, face as usize % 2);
    let mut across = cell;
    across[axis] = match (side, cell[axis]) {
        (0, 0) => return false,
        (0, at) => at - 1,
        (_, at) => at + 1,
    };
    if across[axis] + 1 >= field.signs.size[axis] {
        return false;
    }
    sheets()[field.signs.pattern(across)].doubled == Some(face ^ 1)
}

/// Quads around the edges that begin in layer `z` of samples and are within the grid.
fn quads_of_layer(field: &Field, z: usize, vertex: impl Fn([usize; 3], usize) -> u32) -> Vec<Quad> {
    let signs = &field.signs;
    let ny = signs.size[1];
    let mut out = vec![];
    for (y, axis) in (0..ny).flat_map(|y| (0..3).map(move |axis| (y, axis))) {
        let [b, c] = [(axis + 1) % 3, (axis + 2) % 3];
        signs.for_crossings(z * ny + y, 1 << axis, |x| {
            let at = [x, y, z];
            if [b, c].iter().any(|&k| at[k] == 0 || at[k] + 1 == signs.size[k]) {
                return;
            }
            // Counter-clockwise from the edge's far end.
            let mut quad = [[1, 1], [0, 1], [0, 0], [1, 0]].map(|[before_b, before_c]: [usize; 2]| {
                let mut cell = at;
                cell[b] -= before_b;
                cell[c] -= before_c;
                vertex(cell, 4 * axis + before_b + 2 * before_c)
            });
            if !signs.is_negative(at) {
                quad.reverse();
            }
            out.push((quad, (at.map(|x| x as u32), axis as u8)));
        });
    }
    out
}
