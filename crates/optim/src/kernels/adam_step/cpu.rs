use super::{AdamStepBuffers, Params};
use lumigrad_core::{Real, simd::vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const PIECE: usize = 16384;
/// Elements that are looked at together for one that a step touches.
const ROW: usize = 16;

pub fn adam_step<R: Real>(p: &Params, _items: usize, b: AdamStepBuffers<'_, R>) {
    b.gradient
        .par_chunks(PIECE)
        .zip(b.values.par_chunks_mut(PIECE))
        .zip(b.first.par_chunks_mut(PIECE).zip(b.second.par_chunks_mut(PIECE)))
        .for_each(|((gradient, values), (first, second))| {
            vectorized(
                #[inline(always)]
                || match p.masked {
                    0 => piece::<R, false>(p, gradient, values, first, second),
                    _ => {
                        let touched = |chunk: &[R]| chunk.iter().any(|g| *g != R::ZERO);
                        let of = |k: usize| k..(k + ROW).min(gradient.len());
                        for k in (0..gradient.len()).step_by(ROW).filter(|k| touched(&gradient[of(*k)])) {
                            let (values, first) = (&mut values[of(k)], &mut first[of(k)]);
                            piece::<R, true>(p, &gradient[of(k)], values, first, &mut second[of(k)]);
                        }
                    }
                },
            )
        });
}

#[inline(always)]
fn piece<R: Real, const MASKED: bool>(p: &Params, gradient: &[R], values: &mut [R], first: &mut [R], second: &mut [R]) {
    let n = gradient.len();
    let (values, first, second) = (&mut values[..n], &mut first[..n], &mut second[..n]);
    let (beta1, rest1, beta2, rest2) = (R::of(p.beta1), R::of(p.rest1), R::of(p.beta2), R::of(p.rest2));
    let (rate, unbias2, epsilon, shrink) = (R::of(p.rate), R::of(p.unbias2), R::of(p.epsilon), R::of(p.shrink));
    let (lo, hi, scale, limit) = (R::of(p.lo), R::of(p.hi), R::of(p.scale), R::of(p.limit));
    let (tiny, tiny_square) = (R::of(1e-30), R::of(1e-36));
    for i in 0..n {
        let g = Real::min(Real::max(scale * gradient[i], -limit), limit);
        let moment = beta1 * first[i] + rest1 * g;
        let m = if moment.abs() < tiny { R::ZERO } else { moment };
        let square = beta2 * second[i] + rest2 * g * g;
        let v = if square < tiny_square { R::ZERO } else { square };
        let next = shrink * values[i] - rate * m / ((unbias2 * v).sqrt() + epsilon);
        let kept = Real::min(Real::max(next, lo), hi);
        let alone = MASKED && gradient[i] == R::ZERO;
        first[i] = if alone { first[i] } else { m };
        second[i] = if alone { second[i] } else { v };
        values[i] = if alone { values[i] } else { kept };
    }
}
