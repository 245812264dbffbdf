//! Light along rays through Gaussians: a tile at a time, 8 or 16 rays in a vector.

mod backward;

pub(crate) use backward::backward;

use super::blob::{Blob, Meeting, between, meet};
use super::profile::{Grid, before, fade};
use crate::composite::{PIXELS, PLANES, Tiled, place};
use crate::frame::TILE;
use crate::lanes::{Mask, Precision, V, level};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask, dispatch};
use rayon::prelude::*;

/// Rays end where less light than this is left.
pub(crate) const T_MIN: f64 = 1e-4;
/// Gaussians that a word has a bit for.
const WORD: usize = 64;
/// Numbers of an interval in a vector of rays: optical depth and, times it, red, green and blue.
const BIN: usize = 4;
/// Farthest interval.
const FAR: f32 = 1e30;

/// What a picture is made from.
pub(crate) struct Cast<'a, T> {
    pub size: [usize; 2],
    pub blobs: &'a [Blob<T>],
    /// Gaussians of all tiles, one tile after the other, by their nearest depths, and the first of each tile.
    pub ids: &'a [u32],
    pub starts: &'a [u32],
    /// Lengths of the rays' directions (x, y, 1), pixel by pixel.
    pub lengths: &'a [T],
    /// log₂ of the least optical depth that is seen.
    pub least: T,
    pub near: f32,
    pub grid: Grid,
}

/// Memory of a tile, used again.
#[derive(Default)]
struct Room<T> {
    /// Its Gaussians, counted from its first pixel's centre.
    blobs: Vec<Blob<T>>,
    /// Of each 64 of them, as bits, those that reach columns and rows of the tile.
    reach: Vec<[[u64; 8]; 2]>,
    /// For each vector of rays its intervals, and how many.
    bins: Vec<Vec<T>>,
    used: Vec<usize>,
    /// Vectors of rays that each Gaussian is met in, as bits.
    met: Vec<u128>,
}

/// Rays of a tile.
struct Rays<T> {
    places: [[T; PIXELS]; 2],
    lengths: [T; PIXELS],
    /// 1, or −1 beyond the picture.
    open: [T; PIXELS],
    /// The tile's first interval.
    base: usize,
}

impl<T: Precision> Cast<'_, T> {
    fn corner(&self, tile: usize) -> [usize; 2] {
        let columns = self.size[0].div_ceil(TILE);
        [tile % columns * TILE, tile / columns * TILE]
    }

    fn list(&self, tile: usize) -> &[u32] {
        &self.ids[self.starts[tile] as usize..self.starts[tile + 1] as usize]
    }

    /// Calls `each(pixel of the picture, place in the tile)` for the pixels of a tile.
    pub fn for_tile(&self, tile: usize, mut each: impl FnMut(usize, usize)) {
        let [left, top] = self.corner(tile);
        for y in 0..TILE.min(self.size[1] - top) {
            for x in 0..TILE.min(self.size[0] - left) {
                each((top + y) * self.size[0] + left + x, place(x, y));
            }
        }
    }

    fn rays(&self, tile: usize, blobs: &[Blob<T>]) -> Rays<T> {
        let nearest = blobs.first().map_or(self.near, |b| (b.near.to_f64() as f32).max(self.near));
        let base = self.grid.interval(nearest.min(FAR));
        let mut out = Rays { places: [[T::ZERO; PIXELS]; 2], lengths: [T::ONE; PIXELS], open: [-T::ONE; PIXELS], base };
        for y in 0..TILE {
            for x in 0..TILE {
                let at = place(x, y);
                (out.places[0][at], out.places[1][at]) = (T::of(x as f32), T::of(y as f32));
            }
        }
        self.for_tile(tile, |pixel, at| {
            out.lengths[at] = self.lengths[pixel];
            out.open[at] = T::ONE;
        });
        out
    }

    /// Brings the Gaussians of a tile together.
    fn gather(&self, tile: usize, room: &mut Room<T>) -> Rays<T> {
        let corner = self.corner(tile).map(|x| T::of(x as f32 + 0.5));
        room.blobs.clear();
        room.blobs.extend(self.list(tile).iter().map(|&i| self.blobs[i as usize].from(corner)));
        room.reach.clear();
        for word in room.blobs.chunks(WORD) {
            let mut reach = [[0u64; 8]; 2];
            for (i, blob) in word.iter().enumerate() {
                for axis in 0..2 {
                    // Pairs of columns or rows.
                    let first = (blob.low[axis] - T::ONE).max(T::ZERO).to_f64() as usize / 2;
                    let last = (blob.high[axis]).max(-T::ONE).min(T::of(15.0)).to_f64();
                    for pair in first..=(if last < 0.0 { 0 } else { last as usize / 2 }).min(7) {
                        reach[axis][pair] |= u64::from(last >= 0.0) << i;
                    }
                }
            }
            room.reach.push(reach);
        }
        let vectors = PIXELS / 2;
        room.bins.resize_with(vectors, Vec::new);
        room.used.resize(vectors, 0);
        room.met.clear();
        room.met.resize(room.blobs.len(), 0);
        self.rays(tile, &room.blobs)
    }
}

/// What is learnt of a picture's derivative while light fades.
struct Backward<N> {
    /// Derivatives by red, green, blue, depth and the transmittance behind all.
    by: [N; PLANES],
    /// By the logarithm of the length of rays.
    by_length: N,
}

/// A vector of rays on its way.
struct March<N> {
    left: N,
    /// Red, green, blue, depth.
    sums: [N; 4],
}

/// Lets the light of a vector of rays fade through the intervals `range`. Backward, numbers of an interval become: how much
/// colour counts, the derivative by the optical depth as far as it is known, what the interval adds to the loss, the depth.
#[inline(always)]
fn settle<S: Simd, T: Precision, const BACK: bool>(
    simd: S,
    (grid, base): (Grid, usize),
    bins: &mut [T],
    range: std::ops::Range<usize>,
    march: &mut March<V<S, T>>,
    back: &mut Backward<V<S, T>>,
) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    for j in range {
        let bin = &mut bins[j * BIN * len..(j + 1) * BIN * len];
        let tau = V::<S, T>::from_slice(simd, &bin[..len]);
        if !tau.simd_gt(c(0.0)).any_true() {
            if BACK {
                bin.fill(T::ZERO);
            }
            continue;
        }
        let open = march.left.simd_ge(c(T_MIN));
        let before = open.select(march.left, c(0.0));
        let [fades, mean, slope] = fade::<S, T>(simd, tau);
        let share = before * mean;
        let weight = before - before * fades;
        let at = 0.5 * (f64::from(grid.edge(base + j)) + f64::from(grid.edge(base + j + 1)));
        let at = c(at);
        if BACK {
            let mut pull = c(0.0);
            for ch in 0..3 {
                let colour = V::<S, T>::from_slice(simd, &bin[(1 + ch) * len..(2 + ch) * len]);
                pull = colour.mul_add(back.by[ch], pull);
            }
            let far = back.by[3] * at;
            let by_tau = before * (slope * pull + fades * far);
            let adds = share * pull;
            back.by_length += adds;
            share.store_slice(&mut bin[..len]);
            by_tau.store_slice(&mut bin[len..2 * len]);
            (adds + weight * far).store_slice(&mut bin[2 * len..3 * len]);
            // Finished rays have no optical depth to learn.
            open.select(tau, c(0.0)).store_slice(&mut bin[3 * len..4 * len]);
        } else {
            for ch in 0..3 {
                let colour = V::<S, T>::from_slice(simd, &bin[(1 + ch) * len..(2 + ch) * len]);
                march.sums[ch] = share.mul_add(colour, march.sums[ch]);
            }
            march.sums[3] = weight.mul_add(at, march.sums[3]);
        }
        march.left = open.select(march.left * fades, march.left);
    }
}

/// Derivatives by the optical depths of a vector of rays, from the last interval to the first.
#[inline(always)]
fn unwind<S: Simd, T: Precision>(simd: S, bins: &mut [T], left: V<S, T>, back: &mut Backward<V<S, T>>) {
    let len = V::<S, T>::LEN;
    let mut behind = left * back.by[4];
    for bin in bins.chunks_exact_mut(BIN * len).rev() {
        let tau = V::<S, T>::from_slice(simd, &bin[3 * len..]);
        let known = V::<S, T>::from_slice(simd, &bin[len..2 * len]);
        let zero = V::<S, T>::splat(simd, T::ZERO);
        let by_tau = tau.simd_gt(zero).select(known - behind, zero);
        back.by_length = by_tau.mul_add(tau, back.by_length);
        by_tau.store_slice(&mut bin[len..2 * len]);
        behind += V::<S, T>::from_slice(simd, &bin[2 * len..3 * len]);
    }
}

/// Adds a Gaussian to the intervals that it is in.
#[inline(always)]
fn deposit<S: Simd, T: Precision>(
    simd: S,
    (grid, base): (Grid, usize),
    blob: &Blob<T>,
    m: &Meeting<V<S, T>, Mask<S, T>>,
    [first, last]: [f32; 2],
    [from, to]: [usize; 2],
    bins: &mut [T],
) {
    let c = |x: T| V::<S, T>::splat(simd, x);
    let len = V::<S, T>::LEN;
    let edge = |j: usize| T::of(grid.edge(base + j));
    let mut passed = c(T::ZERO);
    if grid.edge(base + from) > first {
        passed = before::<S, T>(simd, (c(edge(from)) - m.middle) * m.narrow);
    }
    let whole = grid.edge(base + to + 1) >= last;
    let colour = [c(blob.colour[0]), c(blob.colour[1]), c(blob.colour[2])];
    for j in from..=to {
        let mut next = c(T::ONE);
        if j < to || !whole {
            next = before::<S, T>(simd, (c(edge(j + 1)) - m.middle) * m.narrow);
        }
        let part = m.tau * (next - passed);
        passed = next;
        let bin = &mut bins[j * BIN * len..(j + 1) * BIN * len];
        (V::<S, T>::from_slice(simd, &bin[..len]) + part).store_slice(&mut bin[..len]);
        for ch in 0..3 {
            let place = (1 + ch) * len..(2 + ch) * len;
            let sum = V::<S, T>::from_slice(simd, &bin[place.clone()]);
            part.mul_add(colour[ch], sum).store_slice(&mut bin[place]);
        }
    }
}

/// The intervals, counted from the first one, that light fades in between two depths.
#[inline(always)]
fn intervals((grid, base): (Grid, usize), [first, last]: [f32; 2]) -> [usize; 2] {
    let start = grid.edge(base);
    let from = grid.interval(first.max(start)) - base;
    [from, grid.interval(last.max(start).min(FAR)) - base]
}

/// A vector of a tile's numbers.
#[inline(always)]
fn load<S: Simd, T: Precision>(simd: S, from: &[T; PIXELS], at: usize) -> V<S, T> {
    V::<S, T>::from_slice(simd, &from[at..at + V::<S, T>::LEN])
}

/// Sends the rays `at` of a tile through its Gaussians.
#[inline(always)]
fn advance<S: Simd, T: Precision, const BACK: bool>(
    simd: S,
    cast: &Cast<T>,
    rays: &Rays<T>,
    room: &mut Room<T>,
    at: usize,
    back: &mut Backward<V<S, T>>,
) -> March<V<S, T>> {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    let vector = at / len;
    let own = (cast.grid, rays.base);
    let bins = &mut room.bins[vector];
    let [columns, rows] = &rays.places;
    let place = [load(simd, columns, at), load(simd, rows, at)];
    let length = load(simd, &rays.lengths, at);
    let mut march = March { left: load(simd, &rays.open, at), sums: [c(0.0); 4] };
    // Intervals that light has faded through, and those that are in use.
    let (mut done, mut used) = (0, 0);
    // Columns and rows of the vector, as bits of pairs: it is 4 × 4 pixels, or a part of them.
    let square = at / 16;
    let (column, row) = (square % 4 * 2, square / 4 * 2 + if len < 16 { at % 16 / 8 } else { 0 });
    for (word, reach) in room.reach.iter().enumerate() {
        let near = room.blobs[word * WORD].near.to_f64() as f32;
        let safe = intervals(own, [near, near])[0].min(used).max(done);
        settle::<S, T, BACK>(simd, own, bins, done..safe, &mut march, back);
        done = safe;
        if !march.left.simd_ge(c(T_MIN)).any_true() {
            break;
        }
        let rows = if len < 16 { reach[1][row] } else { reach[1][row] | reach[1][row + 1] };
        let mut bits = (reach[0][column] | reach[0][column + 1]) & rows;
        while bits != 0 {
            let i = word * WORD + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            let blob = &room.blobs[i];
            let m = meet::<S, T>(simd, blob, place, length, cast.least);
            if !m.hit.any_true() {
                continue;
            }
            let ends = between::<S, T>(simd, blob, &m);
            if !(ends[1] > cast.grid.edge(rays.base)) {
                continue;
            }
            let [from, to] = intervals(own, ends);
            if used <= to {
                if bins.len() < (to + 1) * BIN * len {
                    bins.resize((to + 1) * BIN * len, T::ZERO);
                }
                bins[used * BIN * len..(to + 1) * BIN * len].fill(T::ZERO);
                used = to + 1;
            }
            let from = from.max(done);
            if from > to {
                continue;
            }
            deposit::<S, T>(simd, own, blob, &m, ends, [from, to], bins);
            if BACK {
                room.met[i] |= 1u128 << vector;
            }
        }
    }
    if march.left.simd_ge(c(T_MIN)).any_true() {
        settle::<S, T, BACK>(simd, own, bins, done..used, &mut march, back);
        done = used;
    }
    room.used[vector] = done;
    march
}

#[inline(always)]
fn forward_tile<S: Simd, T: Precision>(
    simd: S,
    cast: &Cast<T>,
    tile: usize,
    room: &mut Room<T>,
    out: &mut [[T; PIXELS]; PLANES],
) {
    let rays = cast.gather(tile, room);
    let len = V::<S, T>::LEN;
    let zero = V::<S, T>::splat(simd, T::ZERO);
    let mut none = Backward { by: [zero; PLANES], by_length: zero };
    for at in (0..PIXELS).step_by(len) {
        let march = advance::<S, T, false>(simd, cast, &rays, room, at, &mut none);
        for ch in 0..4 {
            march.sums[ch].store_slice(&mut out[ch][at..at + len]);
        }
        march.left.store_slice(&mut out[PLANES - 1][at..at + len]);
    }
}

/// The picture.
pub(crate) fn forward<T: Precision>(cast: &Cast<T>, out: &mut Tiled<T>) {
    out.resize_with(cast.starts.len().saturating_sub(1), || [[T::ZERO; PIXELS]; PLANES]);
    out.par_iter_mut().enumerate().for_each_init(Room::default, |room, (tile, out)| {
        dispatch!(level(), simd => forward_tile(simd, cast, tile, room, out));
    });
}
