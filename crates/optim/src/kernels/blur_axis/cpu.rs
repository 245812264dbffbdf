use super::{BlurAxisBuffers, Params, RADIUS};
use lumigrad_core::{Real, simd::vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const PIECE: usize = 8192;

type Taps<R> = [R; RADIUS + 1];

pub fn blur_axis<R: Real>(p: &Params, _items: usize, b: BlurAxisBuffers<'_, R>) {
    let (length, shift) = (p.length as usize, p.shift as usize);
    let taps: Taps<R> = std::array::from_fn(|k| R::of(p.taps[k]));
    b.output.par_chunks_mut(PIECE).enumerate().for_each(|(k, out)| {
        vectorized(
            #[inline(always)]
            || piece(b.input, out, k * PIECE, length, shift, &taps),
        )
    });
}

/// Fills `out`, which starts at element `start`.
#[inline(always)]
fn piece<R: Real>(input: &[R], out: &mut [R], start: usize, length: usize, shift: usize, taps: &Taps<R>) {
    let reach = RADIUS * shift;
    let mut at = 0;
    while at < out.len() {
        let i = start + at;
        let place = i % length;
        let left = out.len() - at;
        // The part of a run up to its inside, its inside, or the rest of it.
        let inside = place >= reach && place + reach < length;
        let n = match inside {
            true => length - reach - place,
            false if place < reach => reach.min(length) - place,
            false => length - place,
        };
        let n = n.min(left);
        let target = &mut out[at..at + n];
        if inside {
            all_taps(input, target, i, shift, taps)
        } else {
            some_taps(input, target, i, place, length, shift, taps)
        }
        at += n;
    }
}

/// Elements whose taps are all inside their run.
#[inline(always)]
fn all_taps<R: Real>(input: &[R], out: &mut [R], i: usize, shift: usize, taps: &Taps<R>) {
    let n = out.len();
    let row = |first: usize| &input[first..first + n];
    let middle = row(i);
    let [a1, a2, a3, a4, a5] = [1, 2, 3, 4, 5].map(|k| row(i - k * shift));
    let [b1, b2, b3, b4, b5] = [1, 2, 3, 4, 5].map(|k| row(i + k * shift));
    let &[t0, t1, t2, t3, t4, t5] = taps;
    for j in 0..n {
        let near = t0 * middle[j] + t1 * (a1[j] + b1[j]) + t2 * (a2[j] + b2[j]);
        out[j] = near + t3 * (a3[j] + b3[j]) + t4 * (a4[j] + b4[j]) + t5 * (a5[j] + b5[j]);
    }
}

/// Elements near the ends of their run, `place` being the first one's place in it.
#[inline(always)]
fn some_taps<R: Real>(input: &[R], out: &mut [R], i: usize, place: usize, length: usize, shift: usize, taps: &Taps<R>) {
    let n = out.len();
    for j in 0..n {
        out[j] = taps[0] * input[i + j];
    }
    for k in 1..=RADIUS {
        let away = k * shift;
        let first = away.saturating_sub(place).min(n);
        if first < n {
            add(&mut out[first..], taps[k], &input[i + first - away..i + n - away]);
        }
        let end = length.saturating_sub(place + away).min(n);
        if end > 0 {
            add(&mut out[..end], taps[k], &input[i + away..i + away + end]);
        }
    }
}

/// out ← out + weight·x.
#[inline(always)]
fn add<R: Real>(out: &mut [R], weight: R, x: &[R]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out += weight * x;
    }
}
