use super::{Params, SegmentIdsBuffers};
use crate::Real;
use rayon::prelude::*;

/// Rows that a thread takes at a time.
const PIECE: usize = 1 << 12;

pub fn segment_ids<R: Real>(p: &Params, _items: usize, b: SegmentIdsBuffers<'_, R>) {
    b.ids.par_chunks_mut(PIECE).enumerate().for_each(|(piece, ids)| {
        let mut low = b.offsets.partition_point(|&offset| offset as usize <= piece * PIECE);
        for (k, id) in ids.iter_mut().enumerate() {
            // Rows are visited in order, so that the search goes on where it ended.
            while low < b.offsets.len() && b.offsets[low] as usize <= piece * PIECE + k {
                low += 1;
            }
            *id = if low == 0 { p.segments } else { low as u32 - 1 };
        }
    });
}
