use super::{Params, SoftmaxBackBuffers, SoftmaxBuffers};
use crate::{map::approx::Elementary, simd::vectorized};
use rayon::prelude::*;

/// Numbers that a thread takes at a time, in whole rows.
const PIECE: usize = 1 << 13;
/// Partial results of a row, so that they are those of vectors.
const LANES: usize = 16;

/// `f` over a row, with as many partial results as a vector has.
#[inline(always)]
fn fold<R: Elementary>(row: &[R], start: R, f: impl Fn(R, R) -> R) -> R {
    let mut partial = [start; LANES];
    let whole = row.chunks_exact(LANES);
    let rest = whole.remainder();
    for x in whole {
        for k in 0..LANES {
            partial[k] = f(partial[k], x[k]);
        }
    }
    partial.iter().chain(rest).fold(start, |sum, &x| f(sum, x))
}

fn rows(width: usize) -> usize {
    (PIECE / width).max(1)
}

pub fn softmax<R: Elementary>(p: &Params, _items: usize, b: SoftmaxBuffers<'_, R>) {
    let width = p.width as usize;
    let piece = rows(width) * width;
    b.output.par_chunks_mut(piece).zip(b.input.par_chunks(piece)).for_each(|(out, input)| {
        vectorized(
            #[inline(always)]
            || {
                for (y, x) in out.chunks_exact_mut(width).zip(input.chunks_exact(width)) {
                    let most = fold(x, -R::INFINITY, |a, b| a.max(b));
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - most).exp_());
                    let share = R::ONE / fold(y, R::ZERO, |a, b| a + b);
                    y.iter_mut().for_each(|y| *y *= share);
                }
            },
        )
    });
}

pub fn softmax_back<R: Elementary>(p: &Params, _items: usize, b: SoftmaxBackBuffers<'_, R>) {
    let width = p.width as usize;
    let piece = rows(width) * width;
    let given = b.probabilities.par_chunks(piece).zip(b.direction.par_chunks(piece));
    b.derivative.par_chunks_mut(piece).zip(given).for_each(|(out, (y, u))| {
        vectorized(
            #[inline(always)]
            || {
                for (g, (y, u)) in out.chunks_exact_mut(width).zip(y.chunks_exact(width).zip(u.chunks_exact(width))) {
                    for i in 0..width {
                        g[i] = y[i] * u[i];
                    }
                    let mean = fold(g, R::ZERO, |a, b| a + b);
                    for i in 0..width {
                        g[i] = y[i] * (u[i] - mean);
                    }
                }
            },
        )
    });
}
