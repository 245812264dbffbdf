//! The CPU bodies: levels one after the other, so that a level's rows stay in the cache; the table's gradient has one
//! writer per level, which sees points in their order.

use super::{GridEncodeBuffers, GridTableBuffers, LAPLACIAN, LEVEL, Params};
use lumigrad_core::Real;
use lumigrad_core::simd::vectorized;
use rayon::prelude::*;

const PRIMES: [u32; 4] = [1, 2_654_435_761, 805_459_861, 3_674_653_429];
/// Corners of a cell of four axes.
const MOST_CORNERS: usize = 16;
/// Points that a thread takes at a time, at least and at most: the more, the longer a level's rows stay in the cache.
const CHUNKS: [usize; 2] = [1 << 11, 1 << 14];

/// One level, as the buffer holds it.
#[derive(Clone, Copy)]
struct Level {
    offset: usize,
    rows: u32,
    resolution: u32,
    scale: f32,
    hashed: bool,
    n_axes: usize,
    axes: [usize; 4],
}

impl Level {
    fn read(levels: &[u32], k: usize) -> Self {
        let words = &levels[k * LEVEL..(k + 1) * LEVEL];
        Self {
            offset: words[0] as usize,
            rows: words[1],
            resolution: words[2],
            scale: f32::from_bits(words[3]),
            hashed: words[4] == 1,
            n_axes: words[5] as usize,
            axes: std::array::from_fn(|a| ((words[6] >> (8 * a)) & 255) as usize),
        }
    }

    /// Whether all its rows can be found by a mask.
    fn mask(&self) -> Option<u32> {
        (self.hashed && self.rows.is_power_of_two()).then(|| self.rows - 1)
    }
}

/// A cell: its lower corner, and weights of upper corners with their derivatives by the point.
struct Cell<R, const D: usize> {
    corner: [u32; D],
    upper: [[R; 4]; D],
}

impl<R: Real, const D: usize> Cell<R, D> {
    #[inline(always)]
    fn new(level: &Level, point: &[R], smooth: bool) -> Self {
        let half = R::from_f64(0.5);
        let scale = R::from_f64(level.scale as f64);
        let mut cell = Self { corner: [0; D], upper: [[R::ZERO; 4]; D] };
        for a in 0..D {
            let p = ((half * point[level.axes[a]] + half) * scale + half).to_f64();
            let low = p.floor();
            let t = R::from_f64(p - low);
            // SAFETY: in the range of the type, and not NaN, which is less than nothing.
            cell.corner[a] = if low.abs() < 2e9 { unsafe { low.to_int_unchecked::<i64>() as u32 } } else { 0 };
            let h = half * scale;
            let c = |x: f64| R::from_f64(x);
            cell.upper[a] = match smooth {
                false => [t, h, R::ZERO, R::ZERO],
                true => [
                    t * t * (c(3.0) - c(2.0) * t),
                    h * c(6.0) * t * (R::ONE - t),
                    h * h * (c(6.0) - c(12.0) * t),
                    c(-12.0) * h * h * h,
                ],
            };
        }
        cell
    }

    /// Rows of the corners; bit a of a corner's number tells its side along axis a.
    #[inline(always)]
    fn rows(&self, level: &Level, mask: Option<u32>) -> [u32; MOST_CORNERS] {
        let mut rows = [0u32; MOST_CORNERS];
        let mut stride = 1u32;
        for a in 0..D {
            let factor = if level.hashed { PRIMES[a] } else { stride };
            let (low, high) =
                (self.corner[a].wrapping_mul(factor), self.corner[a].wrapping_add(1).wrapping_mul(factor));
            for bits in 0..1 << a {
                let row = rows[bits];
                let join = |x: u32| if level.hashed { row ^ x } else { row.wrapping_add(x) };
                rows[bits | 1 << a] = join(high);
                rows[bits] = join(low);
            }
            stride = stride.wrapping_mul(level.resolution);
        }
        for row in &mut rows[..1 << D] {
            *row = match mask {
                Some(mask) => *row & mask,
                // Whole levels have a row for every corner of points of the domain.
                None if *row < level.rows => *row,
                None => *row % level.rows,
            };
        }
        rows
    }

    /// Weights of the corners of the value.
    #[inline(always)]
    fn plain_weights(&self) -> [R; MOST_CORNERS] {
        let mut product = [R::ONE; MOST_CORNERS];
        for a in 0..D {
            let high = self.upper[a][0];
            for bits in 0..1 << a {
                product[bits | 1 << a] = product[bits] * high;
                product[bits] *= R::ONE - high;
            }
        }
        product
    }

    /// Weights of the corners in a stream: a sum of products of derivatives along the axes.
    #[inline(always)]
    fn weights(&self, terms: &[[usize; D]]) -> [R; MOST_CORNERS] {
        let mut sum = [R::ZERO; MOST_CORNERS];
        for orders in terms {
            let mut product = [R::ONE; MOST_CORNERS];
            for a in 0..D {
                let order = orders[a] & 3;
                let high = self.upper[a][order];
                let low = if order == 0 { R::ONE - high } else { -high };
                for bits in 0..1 << a {
                    product[bits | 1 << a] = product[bits] * high;
                    product[bits] *= low;
                }
            }
            for bits in 0..1 << D {
                sum[bits] += product[bits];
            }
        }
        sum
    }
}

/// The terms of a stream on a level: a sum of so many derivatives of the weights.
fn terms<const D: usize>(level: &Level, code: u32) -> Vec<[usize; D]> {
    let orders: [usize; D] = std::array::from_fn(|a| ((code >> (4 * level.axes[a])) & 7) as usize);
    let own: u32 = (0..D).map(|a| 7 << (4 * level.axes[a])).fold(0, |x, y| x | y);
    if code & !LAPLACIAN & !own != 0 {
        return vec![]; // along an axis that the level does not look at
    }
    if code & LAPLACIAN == 0 {
        return vec![orders];
    }
    (0..D)
        .map(|a| {
            let mut orders = orders;
            orders[a] += 2;
            orders
        })
        .collect()
}

/// Runs `$f::<R, D, F, PLAIN>` for a level's number of axes and features; plain: the value alone is asked for.
macro_rules! dispatch {
    ($f:ident, $R:ty, $axes:expr, $features:expr, $plain:expr, $args:tt) => {
        if $plain { dispatch!(@ $f, $R, $axes, $features, true, $args) } else { dispatch!(@ $f, $R, $axes, $features, false, $args) }
    };
    (@ $f:ident, $R:ty, $axes:expr, $features:expr, $P:literal, $args:tt) => {
        match ($axes, $features) {
            (1, 1) => $f::<$R, 1, 1, $P> $args, (1, 2) => $f::<$R, 1, 2, $P> $args, (1, 4) => $f::<$R, 1, 4, $P> $args, (1, 8) => $f::<$R, 1, 8, $P> $args,
            (2, 1) => $f::<$R, 2, 1, $P> $args, (2, 2) => $f::<$R, 2, 2, $P> $args, (2, 4) => $f::<$R, 2, 4, $P> $args, (2, 8) => $f::<$R, 2, 8, $P> $args,
            (3, 1) => $f::<$R, 3, 1, $P> $args, (3, 2) => $f::<$R, 3, 2, $P> $args, (3, 4) => $f::<$R, 3, 4, $P> $args, (3, 8) => $f::<$R, 3, 8, $P> $args,
            (4, 1) => $f::<$R, 4, 1, $P> $args, (4, 2) => $f::<$R, 4, 2, $P> $args, (4, 4) => $f::<$R, 4, 4, $P> $args, (4, 8) => $f::<$R, 4, 8, $P> $args,
            _ => unreachable!("grids have 1 to 4 axes and 1, 2, 4 or 8 features"),
        }
    };
}

/// Whether the value alone is asked for.
fn is_plain(codes: &[u32]) -> bool {
    codes == [0]
}

/// A pointer to rows that threads write without overlap.
#[derive(Clone, Copy)]
struct Out<R>(*mut R);
// SAFETY: threads write disjoint elements.
unsafe impl<R: Send> Send for Out<R> {}
unsafe impl<R: Send> Sync for Out<R> {}

pub fn encode<R: Real>(p: &Params, _items: usize, b: GridEncodeBuffers<'_, R>) {
    let (n, levels, features) = (p.points as usize, p.levels as usize, p.features as usize);
    assert_eq!(b.encoded.len(), p.streams as usize * n * levels * features);
    let out = Out(b.encoded.as_mut_ptr());
    let size = (n / (4 * rayon::current_num_threads())).clamp(CHUNKS[0], CHUNKS[1]);
    (0..n.div_ceil(size)).into_par_iter().for_each(|chunk| {
        let range = chunk * size..((chunk + 1) * size).min(n);
        for k in 0..levels {
            let level = Level::read(b.levels, k);
            let range = range.clone();
            vectorized(|| {
                dispatch!(encode_level, R, level.n_axes, features, is_plain(b.codes), (p, &b, level, k, range, out))
            });
        }
    });
}

#[inline(always)]
fn encode_level<R: Real, const D: usize, const F: usize, const PLAIN: bool>(
    p: &Params,
    b: &GridEncodeBuffers<'_, R>,
    level: Level,
    k: usize,
    range: std::ops::Range<usize>,
    out: Out<R>,
) {
    let (n, levels, dim) = (p.points as usize, p.levels as usize, p.dim as usize);
    let streams: Vec<Vec<[usize; D]>> = b.codes.iter().map(|&c| terms::<D>(&level, c)).collect();
    let (mask, smooth) = (level.mask(), p.ease == 1);
    let table = &b.table[level.offset * F..(level.offset + level.rows as usize) * F];
    for i in range {
        let cell = Cell::<R, D>::new(&level, &b.points[i * dim..(i + 1) * dim], smooth);
        let rows = cell.rows(&level, mask);
        for (s, terms) in streams.iter().enumerate() {
            let weights = if PLAIN { cell.plain_weights() } else { cell.weights(terms) };
            let mut sum = [R::ZERO; F];
            for bits in 0..1 << D {
                // SAFETY: rows of a level are below its number of rows.
                let row = unsafe { table.get_unchecked(rows[bits] as usize * F..(rows[bits] as usize + 1) * F) };
                for f in 0..F {
                    sum[f] += weights[bits] * row[f];
                }
            }
            let at = ((s * n + i) * levels + k) * F;
            // SAFETY: in bounds by the assertion of `encode`; points belong to one thread.
            unsafe { std::slice::from_raw_parts_mut(out.0.add(at), F) }.copy_from_slice(&sum);
        }
    }
}

pub fn table<R: Real>(p: &Params, _items: usize, b: GridTableBuffers<'_, R>) {
    let (levels, features) = (p.levels as usize, p.features as usize);
    let mut rest = b.gradient;
    let mut start = 0;
    let mut parts = vec![];
    for k in 0..levels {
        let level = Level::read(b.levels, k);
        let (_, own) = std::mem::take(&mut rest).split_at_mut((level.offset - start) * features);
        let (own, others) = own.split_at_mut(level.rows as usize * features);
        start = level.offset + level.rows as usize;
        rest = others;
        parts.push((k, Level { offset: 0, ..level }, own));
    }
    let (points, codes, cotangents) = (b.points, b.codes, b.cotangents);
    parts.into_par_iter().for_each(|(k, level, own)| {
        vectorized(|| {
            dispatch!(
                table_level,
                R,
                level.n_axes,
                features,
                is_plain(codes),
                (p, points, codes, cotangents, level, k, own)
            )
        });
    });
}

#[inline(always)]
fn table_level<R: Real, const D: usize, const F: usize, const PLAIN: bool>(
    p: &Params,
    points: &[R],
    codes: &[u32],
    cotangents: &[R],
    level: Level,
    k: usize,
    own: &mut [R],
) {
    let (n, levels, dim) = (p.points as usize, p.levels as usize, p.dim as usize);
    let streams: Vec<Vec<[usize; D]>> = codes.iter().map(|&c| terms::<D>(&level, c)).collect();
    let (mask, smooth) = (level.mask(), p.ease == 1);
    for i in 0..n {
        let cell = Cell::<R, D>::new(&level, &points[i * dim..(i + 1) * dim], smooth);
        let rows = cell.rows(&level, mask);
        for (s, terms) in streams.iter().enumerate() {
            let weights = if PLAIN { cell.plain_weights() } else { cell.weights(terms) };
            let from: [R; F] = std::array::from_fn(|f| cotangents[((s * n + i) * levels + k) * F + f]);
            for bits in 0..1 << D {
                let row = &mut own[rows[bits] as usize * F..][..F];
                for f in 0..F {
                    row[f] += weights[bits] * from[f];
                }
            }
        }
    }
}
