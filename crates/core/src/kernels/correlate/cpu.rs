use super::{CorrelateBuffers, Params};
use crate::{Real, simd::vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const PIECE: usize = 8192;
/// Elements whose sums stay in registers.
const LANES: usize = 64;

pub fn correlate<R: Real>(p: &Params, _items: usize, b: CorrelateBuffers<'_, R>) {
    let inner = p.inner as usize;
    let (slab_in, slab_out) = (p.n as usize * inner, p.n_out as usize * inner);
    b.output.par_chunks_mut(slab_out).enumerate().for_each(|(outer, output)| {
        let input = &b.input[outer * slab_in..(outer + 1) * slab_in];
        output.par_chunks_mut(PIECE).enumerate().for_each(|(piece, out)| {
            vectorized(
                #[inline(always)]
                || correlate_piece(input, b.weights, p.middle as usize, inner, piece * PIECE, out),
            );
        });
    });
}

/// Neighbours along the axis are `inner` elements apart, so that a whole run of elements is shifted at once.
#[inline(always)]
fn correlate_piece<R: Real>(input: &[R], weights: &[R], middle: usize, inner: usize, start: usize, out: &mut [R]) {
    for (block, out) in out.chunks_mut(LANES).enumerate() {
        let at = start + block * LANES;
        let mut sums = [R::ZERO; LANES];
        for (t, &w) in weights.iter().enumerate() {
            // Lane l takes input[at + l + t·inner − middle·inner].
            let (ahead, back) = (at + t * inner, middle * inner);
            if ahead >= back && ahead - back + LANES <= input.len() {
                let run: &[R; LANES] = input[ahead - back..ahead - back + LANES].try_into().expect("LANES long");
                (0..LANES).for_each(|l| sums[l] += w * run[l]);
            } else {
                let first = back.saturating_sub(ahead);
                let last = (input.len() + back).saturating_sub(ahead).min(LANES);
                for l in first..last {
                    sums[l] += w * input[ahead + l - back];
                }
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}
