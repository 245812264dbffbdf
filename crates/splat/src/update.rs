//! Reverse mode of the projection and Adam, in one pass over the Gaussians.

use crate::MAX_SH_DEGREE;
use crate::frame::{Frame, InPicture, smoothing_of};
use crate::lanes::{Precision, V, exp, level};
use crate::project::{Camera, Moments, Splat, project_backward};
use crate::rows::{BLOCK, OPACITY, ROTATION, Rows, SCALE, SH};
use crate::strategy::Pulls;
use crate::train::{BETAS, EPSILON};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, dispatch};
use rayon::prelude::*;

/// Numbers of the longest row.
const WIDEST: usize = SH + 3 * (MAX_SH_DEGREE + 1) * (MAX_SH_DEGREE + 1);

/// Rates of a step, and what regularisers weigh for one Gaussian.
pub(crate) struct Adam {
    /// Steps, this one included.
    pub step: usize,
    pub means: f32,
    pub scales: f32,
    pub rotations: f32,
    pub opacities: f32,
    /// Of the constant colour; that of the other harmonics is a twentieth.
    pub colour: f32,
    pub opacity_weight: f32,
    pub scale_weight: f32,
}

impl Adam {
    fn rates(&self) -> [f32; WIDEST] {
        std::array::from_fn(|k| match k {
            0..SCALE => self.means,
            SCALE..ROTATION => self.scales,
            ROTATION..OPACITY => self.rotations,
            OPACITY => self.opacities,
            k if k < SH + 3 => self.colour,
            _ => self.colour / 20.0,
        })
    }
}

/// A Gaussian in a picture of which sums over pixels, `C` numbers, tell the derivative.
pub(crate) trait Learnt<T: Precision, const C: usize>: InPicture<T> {
    /// As [`project_backward`].
    fn backward<S: Simd>(
        simd: S,
        block: (&[T], &[T]),
        lane: usize,
        camera: &Camera<T>,
        g: &[V<S, T>; C],
        out: &mut [V<S, T>],
    );
}

impl<T: Precision> Learnt<T, { Moments::<f32>::COUNT }> for Splat<T> {
    #[inline(always)]
    fn backward<S: Simd>(
        simd: S,
        block: (&[T], &[T]),
        lane: usize,
        camera: &Camera<T>,
        g: &[V<S, T>; Moments::<f32>::COUNT],
        out: &mut [V<S, T>],
    ) {
        project_backward::<S, T>(simd, block, lane, camera, &Moments::from_array(*g), out);
    }
}

/// Moves all rows by exact Adam, those that were not seen too. `sums` are those for each entry of the frame's lists.
/// Numbers that are not finite change nothing.
pub(crate) fn update<P: Learnt<f32, C>, const C: usize>(
    rows: &mut Rows<f32>,
    moments: &mut [Rows<f32>; 2],
    smoothing: &[f32],
    camera: &Camera<f32>,
    frame: &Frame<f32, P>,
    sums: &[[f32; C]],
    adam: &Adam,
) {
    let size = rows.width * BLOCK;
    let [first, second] = moments;
    let all = rows.data.par_chunks_exact_mut(size).zip(first.data.par_chunks_exact_mut(size));
    let all = all.zip(second.data.par_chunks_exact_mut(size)).zip(&frame.seen).with_min_len(16).enumerate();
    let rates = adam.rates();
    all.for_each(|(at, (((row, first), second), &bits))| {
        let g = sums_of(frame, sums, at, bits);
        let state = [first, second];
        let smoothing = smoothing_of(smoothing, at);
        dispatch!(level(), simd => block::<_, P, C>(simd, (row, smoothing), state, camera, bits != 0, &g, adam, &rates));
    });
}

/// Sums of a block, lane by lane; zeros of what is not seen.
#[inline(always)]
fn sums_of<T: Precision, P: InPicture<T>, const C: usize>(
    frame: &Frame<T, P>,
    sums: &[[T; C]],
    at: usize,
    bits: u16,
) -> [[T; BLOCK]; C] {
    let mut g = [[T::ZERO; BLOCK]; C];
    for k in (0..BLOCK).filter(|k| bits >> k & 1 == 1) {
        for (to, x) in g.iter_mut().zip(frame.sum(at * BLOCK + k, sums)) {
            to[k] = x;
        }
    }
    g
}

/// Adds the derivative by all rows, times `weight`, to `out`; with `SQUARED` its square, element by element. Numbers that are
/// not finite add nothing.
pub(crate) fn collect<T: Precision, P: Learnt<T, C>, const C: usize, const SQUARED: bool>(
    (rows, smoothing): (&Rows<T>, &[T]),
    camera: &Camera<T>,
    frame: &Frame<T, P>,
    sums: &[[T; C]],
    weight: T,
    out: &mut Rows<T>,
) {
    let size = rows.width * BLOCK;
    let blocks = out.data.par_chunks_exact_mut(size).zip(rows.data.par_chunks_exact(size)).zip(&frame.seen);
    blocks.with_min_len(16).enumerate().filter(|(_, (_, bits))| **bits != 0).for_each(|(at, ((out, row), &bits))| {
        let g = sums_of(frame, sums, at, bits);
        let row = (row, smoothing_of(smoothing, at));
        dispatch!(level(), simd => collect_block::<_, T, P, C, SQUARED>(simd, row, camera, &g, weight, out));
    });
}

#[inline(always)]
fn collect_block<S: Simd, T: Precision, P: Learnt<T, C>, const C: usize, const SQUARED: bool>(
    simd: S,
    row: (&[T], &[T]),
    camera: &Camera<T>,
    g: &[[T; BLOCK]; C],
    weight: T,
    out: &mut [T],
) {
    let zero = V::<S, T>::splat(simd, T::ZERO);
    let len = V::<S, T>::LEN;
    let width = out.len() / BLOCK;
    for lane in (0..BLOCK).step_by(len) {
        let (mut sums, mut grads) = ([zero; C], [zero; WIDEST]);
        for k in 0..C {
            sums[k] = V::<S, T>::from_slice(simd, &g[k][lane..lane + len]);
        }
        P::backward::<S>(simd, row, lane, camera, &sums, &mut grads[..width]);
        for k in 0..width {
            let at = k * BLOCK + lane..k * BLOCK + lane + len;
            let by = if SQUARED { grads[k] * grads[k] } else { grads[k] } * weight;
            let by = (by * zero).simd_eq(zero).select(by, zero);
            (V::<S, T>::from_slice(simd, &out[at.clone()]) + by).store_slice(&mut out[at]);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn block<S: Simd, P: Learnt<f32, C>, const C: usize>(
    simd: S,
    (row, smoothing): (&mut [f32], &[f32]),
    [first, second]: [&mut [f32]; 2],
    camera: &Camera<f32>,
    seen: bool,
    g: &[[f32; BLOCK]; C],
    adam: &Adam,
    rates: &[f32; WIDEST],
) {
    let c = |x: f32| S::f32s::splat(simd, x);
    let len = S::f32s::LEN;
    let width = row.len() / BLOCK;
    let steps = adam.step.min(1 << 20) as i32;
    let [c1, c2] = BETAS.map(|b| (1.0 / (1.0 - (b as f64).powi(steps))) as f32);
    for lane in (0..BLOCK).step_by(len) {
        let mut grads = [c(0.0); WIDEST];
        if seen {
            let mut sums = [c(0.0); C];
            for k in 0..C {
                sums[k] = S::f32s::from_slice(simd, &g[k][lane..lane + len]);
            }
            P::backward::<S>(simd, (row, smoothing), lane, camera, &sums, &mut grads[..width]);
        }
        let get = |k: usize| S::f32s::from_slice(simd, &row[k * BLOCK + lane..][..len]);
        let opacity = c(1.0) / (exp::<S, f32>(simd, -get(OPACITY)) + 1.0);
        grads[OPACITY] += opacity * (c(1.0) - opacity) * adam.opacity_weight;
        for k in SCALE..ROTATION {
            grads[k] += exp::<S, f32>(simd, get(k)) * adam.scale_weight;
        }
        for k in 0..width {
            let at = k * BLOCK + lane..k * BLOCK + lane + len;
            let g = grads[k];
            let g = (g * 0.0).simd_eq(0.0).select(g, c(0.0));
            let m = S::f32s::from_slice(simd, &first[at.clone()]) * BETAS[0] + g * (1.0 - BETAS[0]);
            let v = S::f32s::from_slice(simd, &second[at.clone()]) * BETAS[1] + g * g * (1.0 - BETAS[1]);
            m.store_slice(&mut first[at.clone()]);
            v.store_slice(&mut second[at.clone()]);
            let x = S::f32s::from_slice(simd, &row[at.clone()]);
            let moved = x - m * (c1 * rates[k]) / ((v * c2).sqrt() + EPSILON);
            let moved = (moved * 0.0).simd_eq(0.0).select(moved, x);
            moved.store_slice(&mut row[at]);
        }
    }
}

/// Adds the pulls at the means of what is seen to `growth`, and one to each count; [`Moments`] lose the place of depth, in
/// which those of pixels stand.
pub(crate) fn pull(
    growth: &mut Rows<f32>,
    pulls: Pulls,
    frame: &Frame<f32>,
    sums: &mut [[f32; Moments::<f32>::COUNT]],
) {
    let half = frame.size.map(|n| -std::f32::consts::LN_2 * 0.5 * n as f32);
    let blocks = growth.data.par_chunks_exact_mut(2 * BLOCK).zip(&frame.seen).with_min_len(64).enumerate();
    blocks.for_each(|(at, (growth, &bits))| {
        let seen = (0..BLOCK).filter(|k| bits >> k & 1 == 1);
        for k in seen {
            let sum = frame.sum(at * BLOCK + k, sums);
            let [a, b, c] = frame.splats[at * BLOCK + k].quadratic;
            let by = [2.0 * a * sum[1] + b * sum[2], b * sum[1] + 2.0 * c * sum[2]];
            let length = match pulls {
                Pulls::OfPictures => (by[0] * half[0]).hypot(by[1] * half[1]),
                Pulls::OfPixels => sum[9],
            };
            if length.is_finite() {
                growth[k] += length;
                growth[BLOCK + k] += 1.0;
            }
        }
    });
    if pulls == Pulls::OfPixels {
        sums.par_iter_mut().with_min_len(1 << 14).for_each(|s| s[9] = 0.0);
    }
}
