//! The CPU bodies: levels one after the other, so that a level's rows stay in the cache; the table's gradient has one
//! writer per level, which sees points in their order.

use super::{GridEncodeBuffers, GridTableBuffers, LAPLACIAN, LEVEL, Params};
use lumigrad_core::Real;
use rayon::prelude::*;

const PRIMES: [u32; 4] = [1, 2_654_435_761, 805_459_861, 3_674_653_429];
/// Points that a thread takes at a time.
const CHUNK: usize = 2048;

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
            cell.corner[a] = low as i64 as u32;
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

    #[inline(always)]
    fn row(&self, level: &Level, mask: Option<u32>, bits: usize) -> usize {
        let mut index = 0u32;
        let mut stride = 1u32;
        for a in 0..D {
            let at = self.corner[a].wrapping_add(((bits >> a) & 1) as u32);
            if level.hashed {
                index ^= at.wrapping_mul(PRIMES[a]);
            } else {
                index = index.wrapping_add(at.wrapping_mul(stride));
                stride = stride.wrapping_mul(level.resolution);
            }
        }
        level.offset
            + match mask {
                Some(mask) => index & mask,
                None => index % level.rows,
            } as usize
    }

    /// Weight of a corner, differentiated so often along each of the level's axes.
    #[inline(always)]
    fn weight(&self, bits: usize, orders: [usize; D]) -> R {
        let mut product = R::ONE;
        for a in 0..D {
            let up = self.upper[a][orders[a]];
            let lower = if orders[a] == 0 { R::ONE - up } else { -up };
            product *= if (bits >> a) & 1 == 1 { up } else { lower };
        }
        product
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

#[inline(always)]
fn weight_of<R: Real, const D: usize>(cell: &Cell<R, D>, bits: usize, terms: &[[usize; D]]) -> R {
    let mut sum = R::ZERO;
    for &orders in terms {
        sum += cell.weight(bits, orders.map(|o| o.min(3)));
    }
    sum
}

/// Runs `$f::<R, D, F>` for a level's number of axes and features.
macro_rules! dispatch {
    ($f:ident, $R:ty, $axes:expr, $features:expr, $args:tt) => {
        match ($axes, $features) {
            (1, 1) => $f::<$R, 1, 1> $args, (1, 2) => $f::<$R, 1, 2> $args, (1, 4) => $f::<$R, 1, 4> $args, (1, 8) => $f::<$R, 1, 8> $args,
            (2, 1) => $f::<$R, 2, 1> $args, (2, 2) => $f::<$R, 2, 2> $args, (2, 4) => $f::<$R, 2, 4> $args, (2, 8) => $f::<$R, 2, 8> $args,
            (3, 1) => $f::<$R, 3, 1> $args, (3, 2) => $f::<$R, 3, 2> $args, (3, 4) => $f::<$R, 3, 4> $args, (3, 8) => $f::<$R, 3, 8> $args,
            (4, 1) => $f::<$R, 4, 1> $args, (4, 2) => $f::<$R, 4, 2> $args, (4, 4) => $f::<$R, 4, 4> $args, (4, 8) => $f::<$R, 4, 8> $args,
            _ => unreachable!("grids have 1 to 4 axes and 1, 2, 4 or 8 features"),
        }
    };
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
    (0..n.div_ceil(CHUNK)).into_par_iter().for_each(|chunk| {
        let range = chunk * CHUNK..((chunk + 1) * CHUNK).min(n);
        for k in 0..levels {
            let level = Level::read(b.levels, k);
            dispatch!(encode_level, R, level.n_axes, features, (p, &b, level, k, range.clone(), out));
        }
    });
}

fn encode_level<R: Real, const D: usize, const F: usize>(
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
    for i in range {
        let cell = Cell::<R, D>::new(&level, &b.points[i * dim..(i + 1) * dim], smooth);
        let rows: [[usize; 16]; 1] =
            [std::array::from_fn(|bits| if bits < 1 << D { cell.row(&level, mask, bits) } else { 0 })];
        for (s, terms) in streams.iter().enumerate() {
            let mut sum = [R::ZERO; F];
            for bits in 0..1 << D {
                let w = weight_of(&cell, bits, terms);
                let row = &b.table[rows[0][bits] * F..][..F];
                for f in 0..F {
                    sum[f] += w * row[f];
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
        dispatch!(table_level, R, level.n_axes, features, (p, points, codes, cotangents, level, k, own));
    });
}

fn table_level<R: Real, const D: usize, const F: usize>(
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
        for bits in 0..1 << D {
            let row = cell.row(&level, mask, bits);
            let row = &mut own[row * F..][..F];
            for (s, terms) in streams.iter().enumerate() {
                let w = weight_of(&cell, bits, terms);
                let from = &cotangents[((s * n + i) * levels + k) * F..][..F];
                for f in 0..F {
                    row[f] += w * from[f];
                }
            }
        }
    }
}
