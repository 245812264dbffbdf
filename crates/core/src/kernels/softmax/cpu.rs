use super::{Params, SoftmaxBackBuffers, SoftmaxBuffers};
use crate::Real;
use rayon::prelude::*;

/// Rows that a thread takes at a time.
const ROWS: usize = 64;

pub fn softmax<R: Real>(p: &Params, _items: usize, b: SoftmaxBuffers<'_, R>) {
    let width = p.width as usize;
    b.output.par_chunks_mut(ROWS * width).zip(b.input.par_chunks(ROWS * width)).for_each(|(out, input)| {
        for (y, x) in out.chunks_exact_mut(width).zip(input.chunks_exact(width)) {
            let most = x.iter().fold(-R::INFINITY, |m, &v| m.max(v));
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - most).exp());
            let share = R::ONE / y.iter().copied().sum::<R>();
            y.iter_mut().for_each(|y| *y *= share);
        }
    });
}

pub fn softmax_back<R: Real>(p: &Params, _items: usize, b: SoftmaxBackBuffers<'_, R>) {
    let width = p.width as usize;
    let given = b.probabilities.par_chunks(ROWS * width).zip(b.direction.par_chunks(ROWS * width));
    b.derivative.par_chunks_mut(ROWS * width).zip(given).for_each(|(out, (y, u))| {
        for (g, (y, u)) in out.chunks_exact_mut(width).zip(y.chunks_exact(width).zip(u.chunks_exact(width))) {
            let mean = y.iter().zip(u).map(|(&y, &u)| y * u).sum::<R>();
            for i in 0..width {
                g[i] = y[i] * (u[i] - mean);
            }
        }
    });
}
