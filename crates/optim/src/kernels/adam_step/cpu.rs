use super::{AdamStepBuffers, Params};
use lumigrad_core::{Real, simd::vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const PIECE: usize = 16384;

pub fn adam_step<R: Real>(p: &Params, _items: usize, b: AdamStepBuffers<'_, R>) {
    b.gradient
        .par_chunks(PIECE)
        .zip(b.values.par_chunks_mut(PIECE))
        .zip(b.first.par_chunks_mut(PIECE).zip(b.second.par_chunks_mut(PIECE)))
        .for_each(|((gradient, values), (first, second))| {
            vectorized(
                #[inline(always)]
                || piece(p, gradient, values, first, second),
            )
        });
}

#[inline(always)]
fn piece<R: Real>(p: &Params, gradient: &[R], values: &mut [R], first: &mut [R], second: &mut [R]) {
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
        first[i] = m;
        second[i] = v;
        let next = shrink * values[i] - rate * m / ((unbias2 * v).sqrt() + epsilon);
        values[i] = Real::min(Real::max(next, lo), hi);
    }
}
