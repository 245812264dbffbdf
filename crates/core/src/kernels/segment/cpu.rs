use super::{Params, SegmentIdsBuffers, SegmentOffsetsBuffers};
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

pub fn segment_offsets<R: Real>(_: &Params, _items: usize, b: SegmentOffsetsBuffers<'_, R>) {
    let first_row = |(segment, offset): (usize, &mut u32)| {
        *offset = b.ids.partition_point(|&id| (id as usize) < segment) as u32;
    };
    b.offsets.par_iter_mut().with_min_len(PIECE / 16).enumerate().for_each(first_row);
}
