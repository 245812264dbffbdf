use super::{ExtremeBuffers, Params};
use crate::Real;
use rayon::prelude::*;

/// Items that a thread takes at a time.
const PIECE: usize = 256;

pub fn extreme<R: Real>(p: &Params, _items: usize, b: ExtremeBuffers<'_, R>) {
    let (n, inner, chunk, chunks) = (p.n as usize, p.inner as usize, p.chunk as usize, p.chunks as usize);
    let sign = if p.smallest == 1 { -R::ONE } else { R::ONE };
    let pieces = b.best.par_chunks_mut(PIECE).zip(b.best_place.par_chunks_mut(PIECE));
    pieces.enumerate().for_each(|(piece, (best, best_place))| {
        for (k, (best, place)) in best.iter_mut().zip(best_place).enumerate() {
            let item = piece * PIECE + k;
            let first = (item / inner % chunks) * chunk;
            let base = item / (chunks * inner) * n * inner + item % inner;
            let mut found = first;
            let mut largest = sign * b.values[base + first * inner];
            for i in first + 1..(first + chunk).min(n) {
                let x = sign * b.values[base + i * inner];
                if x > largest {
                    (largest, found) = (x, i);
                }
            }
            *best = sign * largest;
            *place = if p.first_pass == 1 { found as u32 } else { b.places[base + found * inner] };
        }
    });
}
