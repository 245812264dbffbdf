//! The CPU bodies: the compositing of [`crate::render`], on lists that were made elsewhere.

use super::{CompositeBuffers, CompositeMomentsBuffers, CompositeTangentBuffers, Params};
use crate::composite::{Drawn, PIXELS, PLANES, Tiled, for_pixels};
use crate::frame::Frame;
use crate::lanes::Precision;
use bytemuck::{cast_slice, cast_slice_mut};
use lumigrad_core::{DType, Real};

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

fn drawn<T: Precision>(frame: &Frame<T>) -> Drawn<T> {
    let mut drawn = Drawn::default();
    drawn.update(frame, true);
    drawn
}

fn untiled<T: Precision>(p: &Params, tiles: &Tiled<T>, out: &mut [T]) {
    for_pixels([p.width as usize, p.height as usize], |pixel, tile, at| {
        (0..PLANES).for_each(|k| out[PLANES * pixel + k] = tiles[tile][k][at]);
    });
}

fn draw<T: Precision>(p: &Params, splats: &[T], ids: &[u32], starts: &[u32], picture: &mut [T]) {
    untiled(p, &drawn(&frame(p, splats, ids, starts)).picture, picture);
}

pub fn composite_moments<R: Real>(p: &Params, _items: usize, b: CompositeMomentsBuffers<'_, R>) {
    with_precision!(
        R,
        moments(p, cast_slice(b.splats), b.ids, b.starts, b.slots, cast_slice(b.grads), cast_slice_mut(b.moments))
    )
}

fn moments<T: Precision>(
    p: &Params,
    splats: &[T],
    ids: &[u32],
    starts: &[u32],
    slots: &[u32],
    grads: &[T],
    out: &mut [T],
) {
    let frame = frame(p, splats, ids, starts);
    let drawn = drawn(&frame);
    let mut tiles = vec![[[T::ZERO; PIXELS]; PLANES]; p.tiles as usize];
    for_pixels(frame.size, |pixel, tile, at| {
        (0..PLANES).for_each(|k| tiles[tile][k][at] = grads[PLANES * pixel + k]);
    });
    let mut sums = vec![];
    drawn.backward(&frame, &tiles, (true, false), &mut sums);
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
    let change = crate::composite::tangent(&frame, &drawn(&frame), tangents.as_chunks::<10>().0);
    untiled(p, &change, out);
}
