//! Forward mode of compositing: a picture and its change together, what a pixel gathers in registers.

use super::{ALPHA_MAX, CELL, Canvas, NEAR, Near, PIXELS, PLANES, T_MIN, Tiled};
use crate::frame::{Frame, lists};
use crate::lanes::{Precision, V, level};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask, dispatch};
use rayon::prelude::*;

/// The change of a picture when splats change along `tangents`, rows of mean, quadratic form, log₂ of the opacity, red,
/// green, blue and depth.
pub(crate) fn tangent<T: Precision>(frame: &Frame<T>, tangents: &[[T; 10]]) -> Tiled<T> {
    let n = frame.starts.len().saturating_sub(1);
    let mut out = vec![[[T::ZERO; PIXELS]; PLANES]; n];
    out.par_iter_mut().enumerate().for_each(|(tile, out)| {
        let list = &frame.ids[frame.starts[tile] as usize..frame.starts[tile + 1] as usize];
        let mut picture = [[T::ZERO; PIXELS]; PLANES];
        let out = (&mut picture, out);
        dispatch!(level(), simd => tangent_tile::<_, T, 4, false>(simd, frame, tile, list, tangents, &mut [], out));
    });
    out
}

/// As [`super::Drawn::update`], without depth, and [`tangent`] at once, in the memory of earlier ones; `cells` as it keeps
/// them.
pub(super) fn drawn_along<T: Precision>(
    frame: &Frame<T>,
    tangents: &[[T; 10]],
    (picture, cells): (&mut Tiled<T>, &mut Vec<u32>),
    change: &mut Tiled<T>,
) {
    let n = frame.starts.len().saturating_sub(1);
    picture.resize_with(n, || [[T::ZERO; PIXELS]; PLANES]);
    change.resize_with(n, || [[T::ZERO; PIXELS]; PLANES]);
    cells.resize(frame.ids.len(), 0);
    let tiles = lists(cells, &frame.starts).into_par_iter();
    let pictures = picture.par_iter_mut().zip(change.par_iter_mut());
    tiles.zip(pictures).enumerate().for_each(|(tile, ((_, cells), (picture, change)))| {
        *picture = [[T::ZERO; PIXELS]; PLANES];
        *change = [[T::ZERO; PIXELS]; PLANES];
        let list = &frame.ids[frame.starts[tile] as usize..frame.starts[tile + 1] as usize];
        let out = (picture, change);
        dispatch!(level(), simd => tangent_tile::<_, T, 3, true>(simd, frame, tile, list, tangents, cells, out));
    });
}

/// The slope of log α at a splat's mean, and the change of its form and log opacity, in natural logarithms; then those of
/// the channels.
#[inline(always)]
fn along<T: Precision>(quadratic: [T; 3], by: &[T; 10]) -> [T; 10] {
    let ln2 = T::from_f64(std::f64::consts::LN_2);
    let ([a, b, c], two) = (quadratic, T::of(2.0));
    [
        ln2 * (two * a * by[0] + b * by[1]),
        ln2 * (b * by[0] + two * c * by[1]),
        ln2 * by[2],
        ln2 * by[3],
        ln2 * by[4],
        ln2 * by[5],
        by[6],
        by[7],
        by[8],
        by[9],
    ]
}

#[inline(always)]
fn tangent_tile<S: Simd, T: Precision, const C: usize, const KEEP: bool>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    tangents: &[[T; 10]],
    cells_drawn: &mut [u32],
    (picture, change): (&mut [[T; PIXELS]; PLANES], &mut [[T; PIXELS]; PLANES]),
) {
    let [red, green, blue, depth, left] = picture;
    let planes = [red, green, blue, depth];
    let canvas = Canvas::new(simd, frame, tile, left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let value = |x: T| V::<S, T>::splat(simd, x);
    let len = V::<S, T>::LEN;
    let mut near = Near::new();
    let mut by = [[T::ZERO; 10]; NEAR];
    for first in (0..list.len()).step_by(NEAR) {
        let count = (list.len() - first).min(NEAR);
        near.gather(&canvas, frame, &list[first..first + count]);
        for (k, &splat) in list[first..first + count].iter().enumerate() {
            by[k] = along(near.splats[k].quadratic, &tangents[splat as usize]);
        }
        let (columns, rows) = near.cells(simd, count);
        let (mut hits, mut open) = ([0u32; NEAR], false);
        for at in (0..PIXELS).step_by(len) {
            let mut t = canvas.left_at(at);
            if !t.simd_gt(c(0.0)).any_true() {
                continue;
            }
            open = true;
            let cell = at / CELL;
            let own: u32 = if len > CELL { 3 << cell } else { 1 << cell };
            let mut bits = columns[cell / 2 % 4] & rows[cell / 8 * 2 + cell % 2];
            let (mut sums, mut changes) = ([c(0.0); C], [c(0.0); C]);
            for ch in 0..C {
                sums[ch] = V::<S, T>::from_slice(simd, &planes[ch][at..at + len]);
                changes[ch] = V::<S, T>::from_slice(simd, &change[ch][at..at + len]);
            }
            let mut by_left = V::<S, T>::from_slice(simd, &change[PLANES - 1][at..at + len]);
            let place = canvas.place(at);
            while bits != 0 {
                let k = bits.trailing_zeros() as usize % NEAR;
                bits &= bits - 1;
                let (splat, by) = (&near.splats[k], &by[k]);
                let f = canvas.falloff(splat, place);
                let next = (-t).mul_add(f.alpha, t);
                let stays = next.simd_gt(c(T_MIN));
                let along_x = f.dx.mul_add(value(by[2]), f.dy.mul_add(value(by[3]), value(by[0])));
                let along_y = f.dy.mul_add(value(by[4]), value(by[1]));
                let by_log = f.dx.mul_add(along_x, f.dy.mul_add(along_y, value(by[5])));
                let weight = stays.select(f.alpha * t, c(0.0));
                // Alphas at their largest do not change; those that are zero have no weight.
                let by_log = f.alpha.simd_lt(c(ALPHA_MAX)).select(by_log, c(0.0));
                let by_weight = stays.select(f.alpha.mul_add(by_left, f.alpha * t * by_log), c(0.0));
                for ch in 0..C {
                    let colour = value(splat.channels[ch]);
                    sums[ch] = weight.mul_add(colour, sums[ch]);
                    changes[ch] = by_weight.mul_add(colour, weight.mul_add(value(by[6 + ch]), changes[ch]));
                }
                by_left -= by_weight;
                if KEEP {
                    let drawn = (f.hit & t.simd_gt(c(0.0))).any_true();
                    hits[k] |= if drawn { own } else { 0 };
                }
                t = stays.select(next, -t.abs());
                if !stays.any_true() {
                    break;
                }
            }
            for ch in 0..C {
                sums[ch].store_slice(&mut planes[ch][at..at + len]);
                changes[ch].store_slice(&mut change[ch][at..at + len]);
            }
            by_left.store_slice(&mut change[PLANES - 1][at..at + len]);
            t.store_slice(&mut canvas.left[at..at + len]);
        }
        if KEEP {
            cells_drawn[first..first + count].copy_from_slice(&hits[..count]);
        }
        if !open {
            if KEEP {
                cells_drawn[first..].fill(0);
            }
            break;
        }
    }
    canvas.left.iter_mut().for_each(|t| *t = t.abs());
}
