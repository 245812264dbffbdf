//! The CPU bodies: the compositing of [`crate::render`], on lists that were made elsewhere.

use super::{CompositeBuffers, CompositeMomentsBuffers, CompositeTangentBuffers, Params};
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

pub fn composite<R: Real>(p: &Params, _items: usize, b: CompositeBuffers<'_, R>) {
    with_precision!(R, draw(p, cast_slice(b.splats), b.ids, b.starts, cast_slice_mut(b.picture)))
}

fn frame<T: Precision>(p: &Params, splats: &[T], ids: &[u32], starts: &[u32]) -> Frame<T> {
    let size = [p.width as usize, p.height as usize];
    Frame::listed(splats.as_chunks::<10>().0, ids, starts, size, T::of(p.least))
}

/// Pixels [H · W, 5] as tiles.
fn tiled<T: Precision>(p: &Params, pixels: &[T]) -> Tiled<T> {
    let (width, height, columns) = (p.width as usize, p.height as usize, p.columns as usize);
    let mut out = vec![[[T::ZERO; PIXELS]; PLANES]; p.tiles as usize];
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
fn untiled<T: Precision>(p: &Params, tiles: &Tiled<T>, out: &mut [T]) {
    let (width, columns) = (p.width as usize, p.columns as usize);
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
    drawn.update(&frame(p, splats, ids, starts), true);
    untiled(p, &drawn.picture, picture);
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

fn moments<T: Precision>(
    p: &Params,
    splats: &[T],
    (ids, starts, slots): (&[u32], &[u32], &[u32]),
    (picture, grads): (&[T], &[T]),
    out: &mut [T],
) {
    let mut sums = vec![];
    let frame = frame(p, splats, ids, starts);
    backward(&frame, &tiled(p, picture), None, &tiled(p, grads), (true, false), &mut sums);
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
    untiled(p, &change, out);
}
