//! Which tiles splats reach: the CPU bodies.

use super::{CountTilesBuffers, EmitTilesBuffers, Reach};
use lumigrad_core::Real;
use rayon::prelude::*;
use std::ops::Range;

/// Columns, within its box, that a splat reaches in the box's row `row`; as `run` in runs.wgsl.
fn run<R: Real>(splat: &[R], bounds: &[R], row: usize, least: f64) -> Range<usize> {
    let s: [f64; 6] = std::array::from_fn(|k| splat[k].to_f64());
    let [first, top_tile, columns, _] = std::array::from_fn(|k| bounds[k].to_f64());
    let ([a, b, c], reach) = ([-s[2], -s[3], -s[4]], s[5] - least);
    let determinant = 4.0 * a * c - b * b;
    if !(determinant > 0.0 && reach >= 0.0) {
        return 0..columns as usize;
    }
    let top = s[1] - ((top_tile + row as f64) * 16.0 + 0.5);
    let height = (4.0 * a * reach / determinant).sqrt();
    let (low, high) = ((top - 15.0).max(-height), top.min(height));
    if low > high + 0.01 {
        return 0..0;
    }
    let edge = |dy: f64, side: f64| {
        let dy = dy.max(low).min(high);
        let inside = (b * b * dy * dy - 4.0 * a * (c * dy * dy - reach)).max(0.0);
        (side * inside.sqrt() - b * dy) / (2.0 * a)
    };
    let tilt = -b * (reach / (c * determinant)).sqrt();
    let (right, left) = (edge(tilt, 1.0), edge(-tilt, -1.0));
    let begin = (((s[0] - right - 0.625) / 16.0).floor() - first).clamp(0.0, columns);
    let end = (((s[0] - left - 0.375) / 16.0).floor() + 1.0 - first).clamp(begin, columns);
    begin as usize..end as usize
}

/// Rows of a splat's box; none where it has no columns.
fn rows<R: Real>(bounds: &[R]) -> usize {
    if bounds[2].to_f64() > 0.0 { bounds[3].to_f64() as usize } else { 0 }
}

pub fn count_tiles<R: Real>(p: &Reach, _items: usize, b: CountTilesBuffers<'_, R>) {
    let (splats, boxes) = (b.splats.as_chunks::<10>().0, b.boxes.as_chunks::<4>().0);
    b.counts.par_iter_mut().enumerate().for_each(|(rank, count)| {
        *count = b.order.get(rank).filter(|_| rank < p.ranks as usize).map_or(0, |&splat| {
            let (splat, bounds) = (&splats[splat as usize], &boxes[splat as usize]);
            (0..rows(bounds)).map(|row| run(splat, bounds, row, p.least as f64).len() as u32).sum()
        });
    });
}

pub fn emit_tiles<R: Real>(p: &Reach, _items: usize, b: EmitTilesBuffers<'_, R>) {
    let (splats, boxes) = (b.splats.as_chunks::<10>().0, b.boxes.as_chunks::<4>().0);
    let entries = b.tile_of.par_iter_mut().zip(b.splat_of.par_iter_mut()).zip(b.owners);
    entries.enumerate().for_each(|(item, ((tile_of, splat_of), &rank))| {
        (*tile_of, *splat_of) = (p.tiles, 0);
        if rank >= p.ranks {
            return;
        }
        *splat_of = b.order[rank as usize];
        let (splat, bounds) = (&splats[*splat_of as usize], &boxes[*splat_of as usize]);
        let mut left = item - b.offsets[rank as usize] as usize;
        for row in 0..rows(bounds) {
            let tiles = run(splat, bounds, row, p.least as f64);
            if left < tiles.len() {
                let column = bounds[0].to_f64() as usize + tiles.start + left;
                *tile_of = ((bounds[1].to_f64() as usize + row) * p.columns as usize + column) as u32;
                return;
            }
            left -= tiles.len();
        }
    });
}
