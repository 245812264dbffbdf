//! The CPU bodies. The table's gradient is added up by layers of cells: even ones in parallel, then odd ones, each in the
//! order of its points, so that no two threads meet and the bits do not depend on their number.

use super::{Params, SampleAlongBuffers, SampleBuffers, SamplePointsBuffers, SampleTableBuffers};
use lumigrad_core::Real;
use lumigrad_core::simd::vectorized;
use rayon::prelude::*;

/// Points that a thread takes at a time.
const PIECE: usize = 1 << 10;

/// A lattice, and how its rows lie.
#[derive(Clone, Copy)]
struct Lattice<'a> {
    size: [usize; 3],
    /// From the first corner of a cell to its others.
    others: [usize; 8],
    /// Rows of corners, where not all have one.
    index: Option<&'a [u32]>,
}

/// The row of a corner that has none.
const NONE: u32 = u32::MAX;

/// A cell of the lattice: its first corner, how far a point lies in it, and slopes of that.
struct Cell<R> {
    corner: usize,
    upper: [R; 3],
    slope: [R; 3],
}

impl<'a> Lattice<'a> {
    fn new(p: &Params, index: &'a [u32]) -> Self {
        let size = [p.nx, p.ny, p.nz].map(|n| n as usize);
        let strides = [1, size[0], size[0] * size[1]];
        let others = std::array::from_fn(|bits: usize| (0..3).map(|a| (bits >> a & 1) * strides[a]).sum());
        Self { size, others, index: (p.sparse == 1).then_some(index) }
    }

    #[inline(always)]
    fn cell<R: Real>(&self, point: &[R]) -> Cell<R> {
        let half = R::of(0.5);
        let (mut corner, mut upper, mut slope) = ([0usize; 3], [R::ZERO; 3], [R::ZERO; 3]);
        for a in 0..3 {
            let most = R::from_f64((self.size[a] - 1) as f64);
            let inside = (half * point[a] + half) * most;
            // The comparisons let NaN become 0.
            let p = if inside > R::ZERO { inside.min(most) } else { R::ZERO };
            corner[a] = (p.to_f64() as usize).min(self.size[a] - 2);
            upper[a] = p - R::from_f64(corner[a] as f64);
            slope[a] = if p == inside { half * most } else { R::ZERO };
        }
        Cell { corner: (corner[2] * self.size[1] + corner[1]) * self.size[0] + corner[0], upper, slope }
    }

    /// Rows of a cell's corners; [`NONE`] of those that have none.
    #[inline(always)]
    fn rows<R>(&self, cell: &Cell<R>) -> [u32; 8] {
        let corners = self.others.map(|o| cell.corner + o);
        match self.index {
            None => corners.map(|c| c as u32),
            Some(index) => corners.map(|c| index[c]),
        }
    }

    /// The layer of cells that a point lies in.
    fn layer<R: Real>(&self, point: &[R]) -> usize {
        self.cell(point).corner / (self.size[0] * self.size[1])
    }
}

impl<R: Real> Cell<R> {
    #[inline(always)]
    fn weights(&self) -> [R; 8] {
        let mut product = [R::ONE; 8];
        for a in 0..3 {
            for bits in 0..1 << a {
                product[bits | 1 << a] = product[bits] * self.upper[a];
                product[bits] *= R::ONE - self.upper[a];
            }
        }
        product
    }

    /// Changes of the weights along an axis of the cube.
    #[inline(always)]
    fn slopes(&self, axis: usize) -> [R; 8] {
        let mut product = [R::ONE; 8];
        for a in 0..3 {
            let sides =
                if a == axis { [-self.slope[a], self.slope[a]] } else { [R::ONE - self.upper[a], self.upper[a]] };
            for bits in 0..1 << a {
                product[bits | 1 << a] = product[bits] * sides[1];
                product[bits] *= sides[0];
            }
        }
        product
    }
}

/// Weighted sums of the rows of a cell, channels `first` to `first` + C.
#[inline(always)]
fn blend<R: Real, const C: usize>(
    (table, channels, first): (&[R], usize, usize),
    rows: [u32; 8],
    weights: &[R; 8],
) -> [R; C] {
    let mut sum = [R::ZERO; C];
    for bits in 0..8 {
        if rows[bits] == NONE {
            continue;
        }
        let from = &table[rows[bits] as usize * channels + first..][..C];
        for c in 0..C {
            sum[c] += weights[bits] * from[c];
        }
    }
    sum
}

/// Runs `$f::<R, C>` for all channels, a known number at a time: `$first` is the first of them.
macro_rules! by_channels {
    ($channels:expr, |$first:ident| $f:ident::<$R:ty>($($args:expr),*)) => {
        match $channels {
            12 => { let $first = 0; $f::<$R, 12>($($args),*) }
            n => {
                for $first in (0..n / 4 * 4).step_by(4) { $f::<$R, 4>($($args),*); }
                for $first in n / 4 * 4..n { $f::<$R, 1>($($args),*); }
            }
        }
    };
}

/// What a kernel makes of each point: C numbers from its cell.
#[inline(always)]
fn fill<R: Real, const C: usize>(
    (points, table, out): (&[R], &[R], &mut [R]),
    lattice: &Lattice,
    (channels, first): (usize, usize),
    weights: impl Fn(usize, &Cell<R>) -> [R; 8],
) {
    for (i, (point, out)) in points.chunks_exact(3).zip(out.chunks_exact_mut(channels)).enumerate() {
        let cell = lattice.cell(point);
        let sum = blend::<R, C>((table, channels, first), lattice.rows(&cell), &weights(i, &cell));
        out[first..first + C].copy_from_slice(&sum);
    }
}

pub fn sample<R: Real>(p: &Params, _items: usize, b: SampleBuffers<'_, R>) {
    let (lattice, channels, table) = (Lattice::new(p, b.index), p.channels as usize, b.table);
    let pieces = b.points.par_chunks(3 * PIECE).zip(b.values.par_chunks_mut(channels * PIECE));
    pieces.for_each(|(points, values)| {
        vectorized(
            #[inline(always)]
            || {
                by_channels!(channels, |first| fill::<R>(
                    (points, table, values),
                    &lattice,
                    (channels, first),
                    |_, cell| cell.weights()
                ))
            },
        )
    });
}

pub fn along<R: Real>(p: &Params, _items: usize, b: SampleAlongBuffers<'_, R>) {
    let (lattice, channels, table) = (Lattice::new(p, b.index), p.channels as usize, b.table);
    let pieces = b.points.par_chunks(3 * PIECE).zip(b.directions.par_chunks(3 * PIECE));
    pieces.zip(b.changes.par_chunks_mut(channels * PIECE)).for_each(|((points, directions), changes)| {
        let weights = |i: usize, cell: &Cell<R>| {
            let mut sum = [R::ZERO; 8];
            for a in 0..3 {
                let slopes = cell.slopes(a);
                (0..8).for_each(|bits| sum[bits] += slopes[bits] * directions[3 * i + a]);
            }
            sum
        };
        by_channels!(channels, |first| fill::<R>((points, table, changes), &lattice, (channels, first), weights));
    });
}

pub fn points<R: Real>(p: &Params, _items: usize, b: SamplePointsBuffers<'_, R>) {
    let (lattice, channels, table) = (Lattice::new(p, b.index), p.channels as usize, b.table);
    let rows = b.points.par_chunks(3).zip(b.cotangents.par_chunks(channels)).zip(b.gradient.par_chunks_mut(3));
    rows.with_min_len(PIECE).for_each(|((point, cotangents), gradient)| {
        let cell = lattice.cell(point);
        let rows = lattice.rows(&cell);
        let pulls: [R; 8] = std::array::from_fn(|bits| {
            if rows[bits] == NONE {
                return R::ZERO;
            }
            let row = &table[rows[bits] as usize * channels..][..channels];
            row.iter().zip(cotangents).fold(R::ZERO, |sum, (&x, &g)| sum + x * g)
        });
        for a in 0..3 {
            gradient[a] = cell.slopes(a).iter().zip(&pulls).fold(R::ZERO, |sum, (&w, &g)| sum + w * g);
        }
    });
}

/// The table's gradient, which threads write in different layers of.
#[derive(Clone, Copy)]
struct Rows<R>(*mut R);
// SAFETY: threads write disjoint rows.
unsafe impl<R: Send> Send for Rows<R> {}
unsafe impl<R: Send> Sync for Rows<R> {}

impl<R> Rows<R> {
    /// # Safety
    /// In bounds, and nobody else has this row.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    unsafe fn at(&self, at: usize, n: usize) -> &mut [R] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(at), n) }
    }
}

pub fn table<R: Real>(p: &Params, _items: usize, b: SampleTableBuffers<'_, R>) {
    let (lattice, channels) = (Lattice::new(p, b.index), p.channels as usize);
    let n = lattice.size.iter().product::<usize>();
    let most = lattice.index.map_or(n, |index| {
        assert_eq!(index.len(), n, "a row or none for every corner");
        index.iter().filter(|row| **row != NONE).map(|row| *row as usize + 1).max().unwrap_or(0)
    });
    assert!(most * channels <= b.gradient.len(), "rows of the gradient");
    let layers: Vec<u32> = b.points.par_chunks(3).with_min_len(PIECE).map(|x| lattice.layer(x) as u32).collect();
    let (starts, order) = sorted(&layers, lattice.size[2] - 1);
    let rows = Rows(b.gradient.as_mut_ptr());
    for parity in 0..2 {
        (parity..starts.len() - 1).into_par_iter().step_by(2).for_each(|layer| {
            let own = &order[starts[layer]..starts[layer + 1]];
            vectorized(
                #[inline(always)]
                || {
                    by_channels!(channels, |first| scatter::<R>(
                        (b.points, b.cotangents),
                        own,
                        &lattice,
                        (channels, first),
                        rows
                    ))
                },
            );
        });
    }
}

/// Points by layers, each layer's in their order: where layers begin, and the points.
fn sorted(layers: &[u32], n: usize) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0usize; n + 1];
    layers.iter().for_each(|&l| starts[l as usize + 1] += 1);
    (0..n).for_each(|l| starts[l + 1] += starts[l]);
    let (mut next, mut order) = (starts.clone(), vec![0; layers.len()]);
    for (i, &layer) in layers.iter().enumerate() {
        order[next[layer as usize]] = i as u32;
        next[layer as usize] += 1;
    }
    (starts, order)
}

#[inline(always)]
fn scatter<R: Real, const C: usize>(
    (points, cotangents): (&[R], &[R]),
    own: &[u32],
    lattice: &Lattice,
    (channels, first): (usize, usize),
    rows: Rows<R>,
) {
    for &i in own {
        let cell = lattice.cell(&points[3 * i as usize..][..3]);
        let weights = cell.weights();
        let g: [R; C] = std::array::from_fn(|c| cotangents[i as usize * channels + first + c]);
        for (bits, row) in lattice.rows(&cell).into_iter().enumerate().filter(|(_, row)| *row != NONE) {
            // SAFETY: rows by the assertions of `table`; layers of the same parity have no corner in common, and no two
            // corners a row.
            let row = unsafe { rows.at(row as usize * channels + first, C) };
            for c in 0..C {
                row[c] += weights[bits] * g[c];
            }
        }
    }
}
