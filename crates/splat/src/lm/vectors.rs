//! Arithmetic on rows seen as one long vector.

use crate::rows::Rows;
use rayon::prelude::*;

/// Numbers of a part: sums of parts are added in order, so that they do not depend on threads.
const PART: usize = 1 << 14;

/// Σ of what `each` finds in parts of all of these.
pub(crate) fn sum<const N: usize>(of: [&Rows<f32>; N], each: impl Fn([&[f32]; N]) -> f64 + Sync) -> f64 {
    let parts = of[0].data.len().div_ceil(PART);
    let part = |k: usize| each(of.map(|r| &r.data[k * PART..((k + 1) * PART).min(r.data.len())]));
    (0..parts).into_par_iter().map(part).collect::<Vec<f64>>().into_iter().sum()
}

/// Σ aᵢ bᵢ.
pub(crate) fn dot(a: &Rows<f32>, b: &Rows<f32>) -> f64 {
    sum([a, b], |[a, b]| {
        let mut sums = [0.0; 8];
        for (k, (a, b)) in a.iter().zip(b).enumerate() {
            sums[k % 8] += (a * b) as f64;
        }
        sums.iter().sum()
    })
}

/// Changes each number of `to`, given that of `from`.
pub(crate) fn each<const N: usize>(to: &mut Rows<f32>, from: [&Rows<f32>; N], f: impl Fn(&mut f32, [f32; N]) + Sync) {
    to.data.par_chunks_mut(PART).enumerate().for_each(|(part, to)| {
        let from = from.map(|r| &r.data[part * PART..part * PART + to.len()]);
        for (i, x) in to.iter_mut().enumerate() {
            f(x, std::array::from_fn(|k| from[k][i]));
        }
    });
}
