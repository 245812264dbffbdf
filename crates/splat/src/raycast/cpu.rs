//! The CPU bodies, on lists that were made elsewhere.

use super::blob::{Blob, ROW};
use super::kernels::{RayCompositeBuffers, RayGradientBuffers, RayParams, RayTangentBuffers};
use super::march::{Cast, backward, forward};
use super::profile::Grid;
use super::tangent::change;
use crate::composite::PLANES;
use crate::device::kernels::{tiled, untiled, with_precision};
use crate::lanes::Precision;
use bytemuck::{cast_slice, cast_slice_mut};
use lumigrad_core::{DType, Real};
use rayon::prelude::*;

/// Gaussians and lists of a picture.
fn cast<'a, T: Precision>(
    p: &RayParams,
    blobs: &'a [Blob<T>],
    lengths: &'a [T],
    (ids, starts): (&'a [u32], &'a [u32]),
) -> Cast<'a, T> {
    let (size, least) = ([p.width as usize, p.height as usize], T::of(p.least));
    Cast { size, blobs, ids, starts, lengths, least, near: p.near, grid: Grid { bits: p.bits } }
}

fn blobs<T: Precision>(p: &RayParams, rays: &[T]) -> Vec<Blob<T>> {
    let rows = rays.as_chunks::<ROW>().0.par_iter().with_min_len(1024);
    rows.map(|row| Blob::new(row, T::of(p.least))).collect()
}

pub fn composite<R: Real>(p: &RayParams, _items: usize, b: RayCompositeBuffers<'_, R>) {
    with_precision!(R, draw(p, cast_slice(b.rays), cast_slice(b.lengths), b.ids, b.starts, cast_slice_mut(b.picture)))
}

fn draw<T: Precision>(p: &RayParams, rays: &[T], lengths: &[T], ids: &[u32], starts: &[u32], picture: &mut [T]) {
    let mut tiles = vec![];
    forward(&cast(p, &blobs(p, rays), lengths, (ids, starts)), &mut tiles);
    untiled([p.width as usize, p.height as usize], &tiles, picture);
}

pub fn gradient<R: Real>(p: &RayParams, _items: usize, b: RayGradientBuffers<'_, R>) {
    with_precision!(
        R,
        learn(
            p,
            (cast_slice(b.rays), cast_slice(b.pixels), cast_slice(b.grads)),
            (b.ids, b.starts, b.slots),
            (cast_slice_mut(b.parts), cast_slice_mut(b.by_lengths))
        )
    )
}

fn learn<T: Precision>(
    p: &RayParams,
    (rays, pixels, grads): (&[T], &[T], &[T]),
    (ids, starts, slots): (&[u32], &[u32], &[u32]),
    (parts, by_lengths): (&mut [T], &mut [T]),
) {
    let lengths: Vec<T> = pixels.as_chunks::<2>().0.iter().map(|p| p[0]).collect();
    let blobs = blobs(p, rays);
    let cast = cast(p, &blobs, &lengths, (ids, starts));
    let (mut by_length, mut sums) = (vec![], vec![]);
    let grads = tiled([p.width as usize, p.height as usize], grads);
    backward(&cast, &grads, &mut by_length, &mut sums);
    for (tile, by) in by_length.iter().enumerate() {
        cast.for_tile(tile, |pixel, at| by_lengths[pixel] = by[at]);
    }
    let parts = parts.as_chunks_mut::<ROW>().0;
    // Entries of no tile come last, where there is nothing else.
    sums.iter().zip(slots).for_each(|(sum, &slot)| parts[slot as usize] = *sum);
}

pub fn tangent<R: Real>(p: &RayParams, _items: usize, b: RayTangentBuffers<'_, R>) {
    with_precision!(
        R,
        shift(
            p,
            (cast_slice(b.rays), cast_slice(b.lengths)),
            (b.ids, b.starts),
            (cast_slice(b.tangents), cast_slice(b.length_tangents)),
            cast_slice_mut(b.change)
        )
    )
}

fn shift<T: Precision>(
    p: &RayParams,
    (rays, lengths): (&[T], &[T]),
    (ids, starts): (&[u32], &[u32]),
    (tangents, longer): (&[T], &[T]),
    out: &mut [T],
) {
    let blobs = blobs(p, rays);
    let cast = cast(p, &blobs, lengths, (ids, starts));
    let pixels = change(&cast, tangents.as_chunks::<ROW>().0, longer);
    out.as_chunks_mut::<PLANES>().0.iter_mut().zip(pixels).for_each(|(to, from)| *to = from);
}
