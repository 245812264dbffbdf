//! Gaussians as a Markov chain (Kheradmand et al. 2024).

use super::{State, opacity, turn};
use crate::Technique;
use crate::rows::{OPACITY, ROTATION, Rows, SCALE};
use lumigrad_core::ops::random::{hash, normal, uniform};
use rayon::prelude::*;

/// Gaussians less opaque than this are dead.
const DEAD: f32 = 0.005;
/// First step at which Gaussians jump, and steps between jumps.
const FIRST: usize = 500;
const EVERY: usize = 100;
/// Part of the run after which the number stays.
const UNTIL: f64 = 25.0 / 30.0;
/// Growth of the number at a time.
const GROWTH: f64 = 1.05;
/// Most copies that one Gaussian is split into at a time.
const MOST: usize = 51;
/// Noise in units of the rate of the means.
pub const NOISE: f32 = 5e5;
/// Less of it for densities, which are fainter than opacities, and whose means have larger rates.
pub const OF_DENSITIES: f32 = 1.0 / 120.0;

/// Whether Gaussians jump after this step.
pub fn is_due(step: usize, progress: f64) -> bool {
    step >= FIRST && step.is_multiple_of(EVERY) && progress < UNTIL
}

pub fn resize(state: &mut State, cap: usize) {
    jump(state);
    grow(state, cap);
}

/// Dead Gaussians jump onto live ones.
fn jump(state: &mut State) {
    let n = state.rows.n;
    // Also what is not a number is dead.
    let (live, dead): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| opacity(state.rows, i) > DEAD);
    if live.is_empty() || dead.is_empty() {
        return;
    }
    let chosen = draw(state, &live, dead.len(), 1);
    split(state, &chosen, &dead);
}

/// More Gaussians are split off those that are there.
fn grow(state: &mut State, cap: usize) {
    let n = state.rows.n;
    let more = ((n as f64 * GROWTH) as usize).min(cap).saturating_sub(n);
    let all: Vec<usize> = (0..n).collect();
    if more == 0 || n == 0 {
        return;
    }
    let chosen = draw(state, &all, more, 2);
    std::iter::once(&mut *state.rows).chain(state.moments.iter_mut()).for_each(|rows| rows.grow(more));
    let places: Vec<usize> = (n..n + more).collect();
    split(state, &chosen, &places);
}

/// `count` of the Gaussians `from`, drawn in proportion to their opacities.
fn draw(state: &State, from: &[usize], count: usize, stream: u64) -> Vec<usize> {
    let mut sum = 0.0f64;
    let sums: Vec<f64> = from
        .iter()
        .map(|&i| {
            let o = opacity(state.rows, i) as f64;
            sum += if o.is_finite() { o } else { 0.0 };
            sum
        })
        .collect();
    let seed = hash(hash(state.seed, stream), state.step as u64);
    let pick = |k: usize| {
        let at = uniform(seed, k as u64) * sum;
        from[sums.partition_point(|&s| s <= at).min(from.len() - 1)]
    };
    (0..count).map(pick).collect()
}

/// Each place becomes a copy of its source; opacities and scales change such that together they look like the source alone
/// (equation 9; ray cast, densities add up). Moments of sources and copies begin anew.
fn split(state: &mut State, sources: &[usize], places: &[usize]) {
    let mut copies = vec![0usize; state.rows.n];
    sources.iter().for_each(|&i| copies[i] += 1);
    for (i, &count) in copies.iter().enumerate().filter(|c| *c.1 > 0) {
        let (at, n) = (state.rows.at(i, OPACITY), (count + 1).min(MOST));
        let (logit, shrink) = match state.technique {
            Technique::Splat => {
                let (o, shrink) = share(opacity(state.rows, i) as f64, n);
                ((o / (1.0 - o)).ln(), shrink)
            }
            Technique::Raycast => (share_density(state.rows.data[at] as f64, n), 1.0),
        };
        state.rows.data[at] = logit as f32;
        for k in SCALE..ROTATION {
            let at = state.rows.at(i, k);
            state.rows.data[at] += shrink.ln() as f32;
        }
    }
    for (&from, &to) in sources.iter().zip(places) {
        let row: Vec<f32> = state.rows.row(from).collect();
        state.rows.set_row(to, row);
        for i in [from, to] {
            state.moments.iter_mut().for_each(|m| m.set_row(i, std::iter::repeat_n(0.0, m.width)));
        }
    }
}

/// Opacity of each of `n` copies of a Gaussian of opacity `o`, and what its scales are multiplied with.
fn share(o: f64, n: usize) -> (f64, f64) {
    let o = o.clamp(1e-6, 1.0 - 1e-6);
    let each = 1.0 - (1.0 - o).powf(1.0 / n as f64);
    let mut sum = 0.0;
    for i in 1..=n {
        // Binomials (i − 1 over k), one after the other.
        let mut binomial = 1.0;
        for k in 0..i {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sum += binomial * sign * each.powi(k as i32 + 1) / ((k + 1) as f64).sqrt();
            binomial *= (i - 1 - k) as f64 / (k + 1) as f64;
        }
    }
    (each.clamp(DEAD as f64, 1.0 - 1e-6), if sum > 0.0 { o / sum } else { 1.0 })
}

/// Logit of the opacity of each of `n` copies of a Gaussian whose optical depth, −ln(1 − o), they share.
fn share_density(logit: f64, n: usize) -> f64 {
    let depth = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
    (depth / n as f64).max(DEAD as f64).exp_m1().ln()
}

/// Moves means by noise in the shape of their Gaussians; those that are opaque stay.
pub fn shake(state: &mut State, size: f32) {
    let rows = &*state.rows;
    let seed = hash(hash(state.seed, 3), state.step as u64);
    let moved: Vec<(usize, [f32; 3])> = (0..rows.n)
        .into_par_iter()
        .with_min_len(1024)
        .filter_map(|i| {
            let weight = size / (1.0 + (100.0 * (opacity(rows, i) - DEAD)).exp());
            // Below what a mean can show.
            let xi = |k: u64| normal(seed, 3 * i as u64 + k) as f32;
            (weight > size * 1e-9).then(|| (i, covariance_times(rows, i, [0, 1, 2].map(xi)).map(|x| x * weight)))
        })
        .collect();
    for (i, by) in moved {
        for (k, by) in by.into_iter().enumerate().filter(|b| b.1.is_finite()) {
            let at = state.rows.at(i, k);
            state.rows.data[at] += by;
        }
    }
}

/// R S² Rᵀ ξ.
fn covariance_times(rows: &Rows<f32>, i: usize, xi: [f32; 3]) -> [f32; 3] {
    let turn = turn(rows, i);
    let mut along: [f32; 3] = std::array::from_fn(|c| (0..3).map(|r| turn[r][c] * xi[r]).sum());
    for (k, x) in along.iter_mut().enumerate() {
        *x *= (2.0 * rows.get(i, SCALE + k)).exp();
    }
    std::array::from_fn(|r| (0..3).map(|c| turn[r][c] * along[c]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_look_like_their_source() {
        // Along a line through the middle: what n copies of one Gaussian leave of the light, integrated, is what the source
        // leaves. The integral of 1 − (1 − o e^{−x²/2})^n over x is √(2π) Σ of the equation.
        for (o, n) in [(0.3f64, 2), (0.8, 3), (0.95, 7)] {
            let (each, shrink) = share(o, n);
            let integral = |o: f64, n: i32, scale: f64| -> f64 {
                let at = |i: i32| i as f64 * 0.001;
                (-12000..12000).map(|i| 1.0 - (1.0 - o * (-0.5 * (at(i) / scale).powi(2)).exp()).powi(n)).sum::<f64>()
                    * 0.001
            };
            let (found, wanted) = (integral(each, n as i32, shrink), integral(o, 1, 1.0));
            assert!((found / wanted - 1.0).abs() < 1e-4, "{found} {wanted}");
        }
    }

    #[test]
    fn copies_share_their_density() {
        for (logit, n) in [(0.3f64, 2), (12.0, 5), (-3.0, 3)] {
            let depth = |x: f64| (1.0 + x.exp()).ln();
            assert!((n as f64 * depth(share_density(logit, n)) - depth(logit)).abs() < 1e-12);
        }
    }

    #[test]
    fn dead_gaussians_jump_and_the_number_grows_to_its_cap() {
        let mut rows = Rows::<f32>::zeros(40, 14);
        for i in 0..40 {
            let at = rows.at(i, OPACITY);
            rows.data[at] = if i < 10 { -9.0 } else { 0.5 };
            let mean = rows.at(i, 0);
            rows.data[mean] = i as f32;
            let w = rows.at(i, ROTATION);
            rows.data[w] = 1.0;
        }
        let mut moments = [Rows::zeros(40, 14), Rows::zeros(40, 14)];
        let (step, progress, seed, means_rate, technique) = (500, 0.1, 7, 0.0, Technique::Splat);
        let mut growth = Rows::zeros(0, 2);
        let (rows_now, moments_now, growth) = (&mut rows, &mut moments, &mut growth);
        let extent = 1.0;
        let mut state =
            State { rows: rows_now, moments: moments_now, growth, extent, step, progress, seed, means_rate, technique };
        resize(&mut state, 41);
        assert_eq!((rows.n, moments[0].n), (41, 41));
        assert!((0..41).all(|i| opacity(&rows, i) > DEAD));
        assert!((0..10).all(|i| rows.get(i, 0) >= 10.0), "the dead are where live ones were");
    }
}
