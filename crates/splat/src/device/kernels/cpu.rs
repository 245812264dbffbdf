//! The CPU bodies: the compositing of [`crate::render`], on lists that were made elsewhere.

pub use super::tiles::{count_tiles, emit_tiles};
use super::{
    CompositeBuffers, CompositeMomentsBuffers, CompositePullsBuffers, CompositeTangentBuffers, Params, Ranks,
    SplatGradientBuffers, SplatMedianBuffers,
};
use crate::aov::median;
use crate::composite::{Drawn, PIXELS, PLANES, Tiled, backward, place};
use crate::frame::{Frame, TILE};
use crate::lanes::Precision;
use bytemuck::{cast_slice, cast_slice_mut};
use lumigrad_core::{DType, Real};
use rayon::prelude::*;

/// Calls a function with the number type that it is.
macro_rules! with_precision {
    ($R:ident, $f:ident($($arg:expr),*)) => {
        match $R::DTYPE {
            DType::F64 => $f::<f64>($($arg),*),
            _ => $f::<f32>($($arg),*),
        }
    };
}
pub(crate) use with_precision;

pub fn composite<R: Real>(p: &Params, _items: usize, b: CompositeBuffers<'_, R>) {
    with_precision!(R, draw(p, cast_slice(b.splats), b.ids, b.starts, cast_slice_mut(b.picture)))
}

fn size(p: &Params) -> [usize; 2] {
    [p.width as usize, p.height as usize]
}

fn frame<T: Precision>(p: &Params, splats: &[T], ids: &[u32], starts: &[u32]) -> Frame<T> {
    Frame::listed(splats.as_chunks::<10>().0, ids, starts, size(p), T::of(p.least))
}

/// Pixels [H · W, 5] as tiles.
pub(crate) fn tiled<T: Precision>([width, height]: [usize; 2], pixels: &[T]) -> Tiled<T> {
    let columns = width.div_ceil(TILE);
    let mut out = vec![[[T::ZERO; PIXELS]; PLANES]; columns * height.div_ceil(TILE)];
    out.par_iter_mut().enumerate().for_each(|(tile, planes)| {
        let (left, top) = (tile % columns * TILE, tile / columns * TILE);
        for y in 0..TILE.min(height - top) {
            for x in 0..TILE.min(width - left) {
                let from = PLANES * ((top + y) * width + left + x);
                (0..PLANES).for_each(|k| planes[k][place(x, y)] = pixels[from + k]);
            }
        }
    });
    out
}

/// The inverse of [`tiled`].
pub(crate) fn untiled<T: Precision>([width, _]: [usize; 2], tiles: &Tiled<T>, out: &mut [T]) {
    let columns = width.div_ceil(TILE);
    out.par_chunks_mut((TILE * width * PLANES).max(1)).enumerate().for_each(|(line, strip)| {
        for (i, pixel) in strip.as_chunks_mut::<PLANES>().0.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let (planes, at) = (&tiles[line * columns + x / TILE], place(x % TILE, y));
            (0..PLANES).for_each(|k| pixel[k] = planes[k][at]);
        }
    });
}

fn draw<T: Precision>(p: &Params, splats: &[T], ids: &[u32], starts: &[u32], picture: &mut [T]) {
    let mut drawn = Drawn::default();
    drawn.update(&frame(p, splats, ids, starts), true, false);
    untiled(size(p), &drawn.picture, picture);
}

pub fn composite_moments<R: Real>(p: &Params, _items: usize, b: CompositeMomentsBuffers<'_, R>) {
    let CompositeMomentsBuffers { ids, starts, slots, .. } = b;
    with_precision!(
        R,
        moments(
            p,
            cast_slice(b.splats),
            (ids, starts, slots),
            (cast_slice(b.picture), cast_slice(b.grads)),
            cast_slice_mut(b.moments)
        )
    )
}

pub fn composite_pulls<R: Real>(p: &Params, _items: usize, b: CompositePullsBuffers<'_, R>) {
    let CompositePullsBuffers { ids, starts, slots, .. } = b;
    with_precision!(
        R,
        pulls(
            p,
            cast_slice(b.splats),
            (ids, starts, slots),
            (cast_slice(b.picture), cast_slice(b.grads)),
            cast_slice_mut(b.pulls)
        )
    )
}

fn pulls<T: Precision>(
    p: &Params,
    splats: &[T],
    (ids, starts, slots): (&[u32], &[u32], &[u32]),
    (picture, grads): (&[T], &[T]),
    out: &mut [T],
) {
    let mut sums = vec![];
    let frame = frame(p, splats, ids, starts);
    backward(&frame, &tiled(size(p), picture), None, &tiled(size(p), grads), (false, true), &mut sums);
    sums.iter().zip(slots).for_each(|(sum, &slot)| out[slot as usize] = sum[9]);
}

fn moments<T: Precision>(
    p: &Params,
    splats: &[T],
    (ids, starts, slots): (&[u32], &[u32], &[u32]),
    (picture, grads): (&[T], &[T]),
    out: &mut [T],
) {
    let mut sums = vec![];
    let frame = frame(p, splats, ids, starts);
    backward(&frame, &tiled(size(p), picture), None, &tiled(size(p), grads), (true, false), &mut sums);
    let out = out.as_chunks_mut::<10>().0;
    sums.iter().zip(slots).for_each(|(sum, &slot)| out[slot as usize] = *sum);
}

pub fn composite_tangent<R: Real>(p: &Params, _items: usize, b: CompositeTangentBuffers<'_, R>) {
    with_precision!(
        R,
        tangent(p, cast_slice(b.splats), cast_slice(b.tangents), b.ids, b.starts, cast_slice_mut(b.change))
    )
}

fn tangent<T: Precision>(p: &Params, splats: &[T], tangents: &[T], ids: &[u32], starts: &[u32], out: &mut [T]) {
    let frame = frame(p, splats, ids, starts);
    let change = crate::composite::tangent(&frame, tangents.as_chunks::<10>().0);
    untiled(size(p), &change, out);
}

pub fn splat_gradient<R: Real>(p: &Ranks, _items: usize, b: SplatGradientBuffers<'_, R>) {
    let (splats, moments) = (b.splats.as_chunks::<10>().0, b.moments.as_chunks::<10>().0);
    let two = R::from_f64(2.0);
    let scale = R::from_f64(-std::f64::consts::LN_2);
    let gradient = |rank: usize| {
        let mut s = [R::from_f64(0.0); 10];
        for row in &moments[b.offsets[rank] as usize..b.offsets[rank + 1] as usize] {
            (0..10).for_each(|k| s[k] += row[k]);
        }
        let [_, _, a, b, c, ..] = splats[b.order[rank] as usize];
        let by_mean = [two * a * s[1] + b * s[2], b * s[1] + two * c * s[2]];
        let by = [by_mean[0], by_mean[1], s[3], s[4], s[5], s[0]].map(|x| scale * x);
        [by[0], by[1], by[2], by[3], by[4], by[5], s[6], s[7], s[8], s[9]]
    };
    let by_rank: Vec<[R; 10]> = (0..p.ranks as usize).into_par_iter().map(gradient).collect();
    let out = b.gradient.as_chunks_mut::<10>().0;
    by_rank.iter().zip(b.order).for_each(|(row, &splat)| out[splat as usize] = *row);
}

pub fn splat_median<R: Real>(p: &Params, _items: usize, b: SplatMedianBuffers<'_, R>) {
    with_precision!(R, halves(p, cast_slice(b.splats), b.ids, b.starts, b.chosen))
}

fn halves<T: Precision>(p: &Params, splats: &[T], ids: &[u32], starts: &[u32], chosen: &mut [u32]) {
    let frame = frame(p, splats, ids, starts);
    let (width, columns) = (p.width as usize, p.columns as usize);
    chosen.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
        for (x, chosen) in row.iter_mut().enumerate() {
            let tile = y / TILE * columns + x / TILE;
            let list = &ids[starts[tile] as usize..starts[tile + 1] as usize];
            *chosen = median(&frame, list, [x, y].map(|k| T::from_f64(k as f64 + 0.5))).map_or(0, |id| id + 1);
        }
    });
}
