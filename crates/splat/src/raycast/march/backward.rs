//! Reverse mode of light along rays: the rays are sent once more, which leaves derivatives by the optical depth of every
//! interval; then each Gaussian of the tile gathers them.

use super::{BIN, Backward, Cast, Rays, Room, advance, intervals, unwind};
use crate::composite::{PIXELS, PLANES, Tiled};
use crate::frame::lists;
use crate::lanes::{Precision, V, level};
use crate::raycast::blob::{Blob, ROW, between, meet};
use crate::raycast::profile::{REACH, before_and_density};
use fearless_simd::{Simd, SimdBase, SimdFloat, dispatch};
use rayon::prelude::*;

#[inline(always)]
fn backward_tile<S: Simd, T: Precision>(
    simd: S,
    cast: &Cast<T>,
    tile: usize,
    room: &mut Room<T>,
    by: &[[T; PIXELS]; PLANES],
    by_lengths: &mut [T; PIXELS],
    out: &mut [[T; ROW]],
) {
    let rays = cast.gather(tile, room);
    let len = V::<S, T>::LEN;
    let zero = V::<S, T>::splat(simd, T::ZERO);
    for at in (0..PIXELS).step_by(len) {
        let mut back = Backward { by: [zero; PLANES], by_length: zero };
        for ch in 0..PLANES {
            back.by[ch] = V::<S, T>::from_slice(simd, &by[ch][at..at + len]);
        }
        let march = advance::<S, T, true>(simd, cast, &rays, room, at, &mut back);
        let (vector, used) = (at / len, room.used[at / len]);
        unwind::<S, T>(simd, &mut room.bins[vector][..used * BIN * len], march.left, &mut back);
        let length = V::<S, T>::from_slice(simd, &rays.lengths[at..at + len]);
        (back.by_length / length).store_slice(&mut by_lengths[at..at + len]);
    }
    for (i, out) in out.iter_mut().enumerate() {
        *out = pull::<S, T>(simd, cast, &rays, room, i, by);
    }
}

/// The derivative by the row of a Gaussian of a tile.
#[inline(always)]
fn pull<S: Simd, T: Precision>(
    simd: S,
    cast: &Cast<T>,
    rays: &Rays<T>,
    room: &Room<T>,
    i: usize,
    by: &[[T; PIXELS]; PLANES],
) -> [T; ROW] {
    let c = |x: T| V::<S, T>::splat(simd, x);
    let (len, own) = (V::<S, T>::LEN, (cast.grid, rays.base));
    let blob = &room.blobs[i];
    let mut met = room.met[i];
    if met == 0 {
        return [T::ZERO; ROW];
    }
    let (zero, half) = (c(T::ZERO), c(T::of(0.5)));
    let mut sums = [zero; 15];
    let colour = [c(blob.colour[0]), c(blob.colour[1]), c(blob.colour[2])];
    while met != 0 {
        let vector = met.trailing_zeros() as usize;
        met &= met - 1;
        let at = vector * len;
        let place = [
            V::<S, T>::from_slice(simd, &rays.places[0][at..at + len]),
            V::<S, T>::from_slice(simd, &rays.places[1][at..at + len]),
        ];
        let length = V::<S, T>::from_slice(simd, &rays.lengths[at..at + len]);
        let m = meet::<S, T>(simd, blob, place, length, cast.least);
        let ends = between::<S, T>(simd, blob, &m);
        let [from, to] = intervals(own, ends);
        // What lies beyond the last interval counts for nothing.
        let to = to.min(room.used[vector].wrapping_sub(1));
        if room.used[vector] == 0 || from > to {
            continue;
        }
        let mut g = [zero; 3];
        let mut shade = zero;
        for ch in 0..3 {
            g[ch] = V::<S, T>::from_slice(simd, &by[ch][at..at + len]);
            shade = g[ch].mul_add(colour[ch], shade);
        }
        let bins = &room.bins[vector];
        let (mut share, mut by_tau) = (zero, zero);
        // By the middle, in widths, and by the logarithm of the width.
        let (mut by_middle, mut by_width) = (zero, zero);
        let (mut passed, mut density, mut x) = (zero, zero, c(T::from_f64(-REACH)));
        if cast.grid.edge(rays.base + from) > ends[0] {
            x = (c(T::of(cast.grid.edge(rays.base + from))) - m.middle) * m.narrow;
            (passed, density) = before_and_density::<S, T>(simd, x);
        }
        let mut counted = zero;
        for j in from..=to {
            let bin = &bins[j * BIN * len..(j + 1) * BIN * len];
            let weight = V::<S, T>::from_slice(simd, &bin[..len]);
            let slope = V::<S, T>::from_slice(simd, &bin[len..2 * len]);
            let counts = shade.mul_add(weight, slope);
            let moves = density * (counted - counts);
            by_middle += moves;
            by_width = moves.mul_add(x, by_width);
            counted = counts;
            x = (c(T::of(cast.grid.edge(rays.base + j + 1))) - m.middle) * m.narrow;
            let (next, now) = before_and_density::<S, T>(simd, x);
            let part = next - passed;
            (passed, density) = (next, now);
            share = part.mul_add(weight, share);
            by_tau = part.mul_add(counts, by_tau);
        }
        by_middle = density.mul_add(counted, by_middle);
        by_width = (density * x).mul_add(counted, by_width);
        let by_log = m.tau * by_tau;
        let by_middle = -(m.tau * m.narrow * by_middle);
        let by_width = -(m.tau * by_width);
        let by_power = m.swell * by_tau * T::from_f64(std::f64::consts::LN_2);
        let by_per = by_power * m.power + by_middle * m.middle + half * (by_log + by_width);
        let by_q = -(by_per * m.per);
        let by_form = by_power * m.per + by_q * blob.bend;
        let by_k = by_middle * m.per * blob.depth + by_q * m.k * T::of(2.0);
        let (fx, fy) = (by_form * m.dx, by_form * m.dy);
        sums[0] = fx.mul_add(m.dx, sums[0]);
        sums[1] = fx.mul_add(m.dy, sums[1]);
        sums[2] = fy.mul_add(m.dy, sums[2]);
        sums[3] += fx;
        sums[4] += fy;
        sums[5] += by_k;
        sums[6] = by_k.mul_add(m.dx, sums[6]);
        sums[7] = by_k.mul_add(m.dy, sums[7]);
        sums[8] += by_power;
        sums[9] = (by_middle * m.k).mul_add(m.per, sums[9]);
        sums[10] += by_width;
        sums[11] = by_q.mul_add(m.form, sums[11]);
        let seen = m.tau * share;
        for ch in 0..3 {
            sums[12 + ch] = seen.mul_add(g[ch], sums[12 + ch]);
        }
    }
    let mut s = [T::ZERO; 15];
    for k in 0..15 {
        s[k] = sums[k].reduce_sum();
    }
    row(blob, &s)
}

/// The derivative by a row, given what all rays say of the form (in squares of distances, and in distances), of k (itself,
/// in distances), of the level, depth, width, bend and colour.
#[inline(always)]
fn row<T: Precision>(blob: &Blob<T>, s: &[T; 15]) -> [T; ROW] {
    let two = T::of(2.0);
    let ([a, b, c], [e, f]) = (blob.form, blob.slope);
    let bend = two * blob.bend * s[11];
    [
        -(two * a * s[3] + b * s[4] + e * s[5]),
        -(b * s[3] + two * c * s[4] + f * s[5]),
        s[0],
        s[1],
        s[2],
        s[8],
        s[12],
        s[13],
        s[14],
        s[9] - bend / blob.depth,
        (s[10] + bend) / blob.width,
        s[6],
        s[7],
        T::ZERO,
        T::ZERO,
    ]
}

/// For each entry of the lists the derivative by its row, and that by the lengths of rays, given that by the picture.
pub(crate) fn backward<T: Precision>(
    cast: &Cast<T>,
    by: &Tiled<T>,
    by_lengths: &mut Vec<[T; PIXELS]>,
    out: &mut Vec<[T; ROW]>,
) {
    out.resize(cast.ids.len(), [T::ZERO; ROW]);
    by_lengths.resize(by.len(), [T::ZERO; PIXELS]);
    let tiles = lists(out, cast.starts).into_par_iter().zip(by_lengths.par_iter_mut()).enumerate();
    tiles.for_each_init(Room::default, |room, (tile, ((_, out), by_lengths))| {
        let by = &by[tile];
        dispatch!(level(), simd => backward_tile(simd, cast, tile, room, by, by_lengths, out));
    });
}
