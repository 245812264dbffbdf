//! Forward mode of compositing.

use super::{ALPHA_MAX, Canvas, PIXELS, PLANES, T_MIN, Tiled, Vectors, cells};
use crate::frame::Frame;
use crate::lanes::{Precision, V, level};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, dispatch};
use rayon::prelude::*;

/// The change of a picture when splats change along `tangents`, rows of mean, quadratic form, log₂ of the opacity, red,
/// green, blue and depth.
pub(crate) fn tangent<T: Precision>(frame: &Frame<T>, tangents: &[[T; 10]]) -> Tiled<T> {
    let mut out = vec![[[T::ZERO; PIXELS]; PLANES]; frame.starts.len().saturating_sub(1)];
    out.par_iter_mut().enumerate().for_each(|(tile, out)| {
        let range = frame.starts[tile] as usize..frame.starts[tile + 1] as usize;
        dispatch!(level(), simd => tangent_tile(simd, frame, tile, &frame.ids[range], tangents, out));
    });
    out
}

#[inline(always)]
fn tangent_tile<S: Simd, T: Precision>(
    simd: S,
    frame: &Frame<T>,
    tile: usize,
    list: &[u32],
    tangents: &[[T; 10]],
    out: &mut [[T; PIXELS]; PLANES],
) {
    let mut left = [T::ZERO; PIXELS];
    let mut canvas = Canvas::new(simd, frame, tile, &mut left);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let value = |x: T| V::<S, T>::splat(simd, x);
    let len = V::<S, T>::LEN;
    let mut open = canvas.open();
    for &splat in list {
        let by = tangents[splat as usize];
        let splat = canvas.near(&frame.splats[splat as usize]);
        let mut vectors = Vectors::new(cells(&splat) & open, len);
        while let Some((at, own)) = vectors.next(len) {
            let f = canvas.falloff(&splat, canvas.place(at));
            let alpha = f.alpha;
            let t = canvas.left_at(at);
            let next = (-t).mul_add(alpha, t);
            let stays = next.simd_gt(c(T_MIN));
            let shown = f.hit & stays;
            let [qa, qb, qc] = splat.quadratic;
            let slope = (f.dx * qa * c(2.0) + f.dy * qb) * by[0] + (f.dx * qb + f.dy * qc * c(2.0)) * by[1];
            let form = f.dx * f.dx * by[2] + f.dx * f.dy * by[3] + f.dy * f.dy * by[4];
            let by_power = slope + form + value(by[5]);
            let moves = shown & alpha.simd_lt(c(ALPHA_MAX));
            let by_alpha = moves.select(alpha * by_power * c(std::f64::consts::LN_2), c(0.0));
            let by_left = V::<S, T>::from_slice(simd, &out[PLANES - 1][at..at + len]);
            let weight = shown.select(alpha * t, c(0.0));
            let by_weight = shown.select(by_alpha * t + alpha * by_left, c(0.0));
            for ch in 0..4 {
                let sum = V::<S, T>::from_slice(simd, &out[ch][at..at + len]);
                let sum = sum + by_weight * splat.channels[ch] + weight * by[6 + ch];
                sum.store_slice(&mut out[ch][at..at + len]);
            }
            let after = by_left * (c(1.0) - alpha) - t * by_alpha;
            shown.select(after, by_left).store_slice(&mut out[PLANES - 1][at..at + len]);
            canvas.leave(at, own, stays.select(next, -t.abs()), &mut open);
        }
    }
}
