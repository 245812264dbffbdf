use super::{BlurAxisBuffers, Params, RADIUS};
use lumigrad_core::{Real, simd::vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const PIECE: usize = 8192;
/// Elements whose sums are kept in registers.
const LANES: usize = 32;

pub fn blur_axis<R: Real>(p: &Params, _items: usize, b: BlurAxisBuffers<'_, R>) {
    let (length, shift) = (p.length as usize, p.shift as usize);
    let taps: [R; RADIUS + 1] = std::array::from_fn(|k| R::of(p.taps[k]));
    b.output.par_chunks_mut(PIECE).enumerate().for_each(|(k, out)| {
        vectorized(
            #[inline(always)]
            || piece(b.input, out, k * PIECE, length, shift, &taps),
        )
    });
}

/// Fills `out`, which starts at element `start`.
#[inline(always)]
fn piece<R: Real>(input: &[R], out: &mut [R], start: usize, length: usize, shift: usize, taps: &[R; RADIUS + 1]) {
    let reach = RADIUS * shift;
    let mut at = 0;
    while at < out.len() {
        let place = (start + at) % length;
        let run = length - place;
        // Where all taps are inside, LANES elements at a time.
        if place >= reach && run >= reach + LANES && out.len() - at >= LANES {
            let i = start + at;
            let row = |o: usize| -> &[R; LANES] { input[o..o + LANES].try_into().expect("LANES elements") };
            let mut sum: [R; LANES] = row(i).map(
                #[inline(always)]
                |x| taps[0] * x,
            );
            for k in 1..=RADIUS {
                let (before, after) = (row(i - k * shift), row(i + k * shift));
                for l in 0..LANES {
                    sum[l] += taps[k] * before[l];
                    sum[l] += taps[k] * after[l];
                }
            }
            out[at..at + LANES].copy_from_slice(&sum);
            at += LANES;
        } else {
            let i = start + at;
            let mut sum = taps[0] * input[i];
            for k in 1..=RADIUS {
                let away = k * shift;
                if place >= away {
                    sum += taps[k] * input[i - away];
                }
                if place + away < length {
                    sum += taps[k] * input[i + away];
                }
            }
            out[at] = sum;
            at += 1;
        }
    }
}
