//! Adaptive density control (Kerbl et al. 2023), with the sums of AbsGS (Ye et al. 2024) as an option.

use super::{State, opacity, turn};
use crate::rows::{OPACITY, ROTATION, Rows, SCALE};
use lumigrad_core::ops::random::{hash, normal};

/// First step at which Gaussians are looked at, and steps between.
const FIRST: usize = 500;
const EVERY: usize = 100;
/// Part of the run after which the number stays.
const UNTIL: f64 = 0.5;
/// Mean pull above which a Gaussian becomes two.
const PULL: f32 = 2e-4;
const PULL_OF_PIXELS: f32 = 8e-4;
/// Largest Gaussian that is cloned rather than split, and that stays, as parts of the extent.
const SMALL: f32 = 0.01;
const HUGE: f32 = 0.1;
/// What the scales of the halves of a Gaussian are divided by.
const HALVES: f32 = 1.6;
/// Opacity below which a Gaussian is left out.
const FAINT: f32 = 0.005;
/// Steps between falls of all opacities, and to what.
const RESET_EVERY: usize = 3000;
const RESET: f32 = 0.01;

/// Whether Gaussians are looked at after this step.
pub fn is_due(step: usize, progress: f64) -> bool {
    step >= FIRST && step.is_multiple_of(EVERY) && progress < UNTIL
}

pub fn resize(state: &mut State, cap: usize, absgrad: bool) {
    grow(state, cap, if absgrad { PULL_OF_PIXELS } else { PULL });
    prune(state);
    if state.step.is_multiple_of(RESET_EVERY) {
        reset(state);
    }
    // Another number of rows, and counted anew.
    *state.growth = Rows::zeros(state.rows.n, state.growth.width);
}

fn largest_scale(rows: &Rows<f32>, i: usize) -> f32 {
    (SCALE..ROTATION).map(|k| rows.get(i, k)).fold(f32::MIN, f32::max).exp()
}

/// Gaussians that are pulled at most become two, as far as there is room.
fn grow(state: &mut State, cap: usize, least: f32) {
    let n = state.rows.n;
    let pull = |i: usize| state.growth.get(i, 0) / state.growth.get(i, 1).max(1.0);
    let mut pulled: Vec<(f32, usize)> = (0..n).map(|i| (pull(i), i)).filter(|p| p.0 > least).collect();
    pulled.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    pulled.truncate(cap.saturating_sub(n));
    std::iter::once(&mut *state.rows).chain(state.moments.iter_mut()).for_each(|rows| rows.grow(pulled.len()));
    for (to, &(_, from)) in (n..).zip(&pulled) {
        let copy: Vec<f32> = state.rows.row(from).collect();
        state.rows.set_row(to, copy);
        if largest_scale(state.rows, from) > SMALL * state.extent {
            split(state, from, to);
        }
    }
}

/// Both rows, which are equal, become samples of their Gaussian.
fn split(state: &mut State, from: usize, to: usize) {
    let turn = turn(state.rows, from);
    let scales: [f32; 3] = std::array::from_fn(|k| state.rows.get(from, SCALE + k).exp());
    let seed = hash(hash(state.seed, 4), state.step as u64);
    for (sample, row) in [from, to].into_iter().enumerate() {
        let along: [f32; 3] =
            std::array::from_fn(|k| scales[k] * normal(seed, 6 * from as u64 + 3 * sample as u64 + k as u64) as f32);
        for k in 0..3 {
            let mean = state.rows.at(row, k);
            state.rows.data[mean] += (0..3).map(|c| turn[k][c] * along[c]).sum::<f32>();
            let scale = state.rows.at(row, SCALE + k);
            state.rows.data[scale] -= HALVES.ln();
        }
    }
    state.moments.iter_mut().for_each(|m| m.set_row(from, std::iter::repeat_n(0.0, m.width)));
}

/// Leaves out faint Gaussians, and huge ones once opacities have fallen; not all.
fn prune(state: &mut State) {
    let rows = &*state.rows;
    let late = state.step > RESET_EVERY;
    // Also what is not a number is left out.
    let stays = |i: usize| opacity(rows, i) >= FAINT && !(late && largest_scale(rows, i) > HUGE * state.extent);
    let kept: Vec<bool> = (0..rows.n).map(stays).collect();
    if kept.iter().any(|k| *k) && !kept.iter().all(|k| *k) {
        std::iter::once(&mut *state.rows).chain(state.moments.iter_mut()).for_each(|rows| rows.retain(&kept));
    }
}

/// No Gaussian stays opaque, so that those that pictures need rise above the others.
fn reset(state: &mut State) {
    let most = (RESET / (1.0 - RESET)).ln();
    for i in 0..state.rows.n {
        let at = state.rows.at(i, OPACITY);
        state.rows.data[at] = state.rows.data[at].min(most);
    }
    for moments in state.moments.iter_mut().filter(|m| m.width > OPACITY) {
        for i in 0..moments.n {
            let at = moments.at(i, OPACITY);
            moments.data[at] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaussians in a row, of opacity ½; every third one is pulled at, those from `large` on are large.
    fn resized(n: usize, large: usize, cap: usize, step: usize) -> (Rows<f32>, Rows<f32>) {
        let (mut rows, mut moments, mut growth) = (Rows::zeros(n, 14), Rows::zeros(n, 14), Rows::zeros(n, 2));
        for i in 0..n {
            let scale = if i < large { 0.001f32 } else { 0.05 };
            let logit = if i == 1 { -9.0 } else { 0.0 };
            let row = [[i as f32, 0.0, 0.0], [scale.ln(); 3], [1.0, 0.0, 0.0], [0.0, logit, 0.1], [0.0; 3]];
            rows.set_row(i, row.into_iter().flatten().take(14));
            moments.set_row(i, [1.0; 14]);
            growth.set_row(i, [if i % 3 == 0 { 1e-3 * (i + 1) as f32 } else { 1e-4 }, 2.0]);
        }
        let mut all = [moments];
        let mut state = State {
            rows: &mut rows,
            moments: &mut all,
            growth: &mut growth,
            extent: 1.0,
            step,
            progress: 0.1,
            seed: 7,
            means_rate: 0.0,
            technique: Default::default(),
        };
        resize(&mut state, cap, false);
        let [moments] = all;
        (rows, moments)
    }

    #[test]
    fn small_ones_are_cloned_large_ones_split_and_faint_ones_left_out() {
        let (rows, moments) = resized(12, 6, 100, 600);
        // Rows 0, 3, 6 and 9 are pulled at, row 1 is faint.
        assert_eq!((rows.n, moments.n), (15, 15));
        let means: Vec<f32> = (0..15).map(|i| rows.get(i, 0)).collect();
        assert!(!means.contains(&1.0), "{means:?}");
        for clone in [0.0, 3.0] {
            assert_eq!(means.iter().filter(|m| **m == clone).count(), 2);
        }
        for split in [6.0, 9.0] {
            let near = (0..15).filter(|&i| means[i] != split && (means[i] - split).abs() < 0.3);
            assert!(near.clone().all(|i| (rows.get(i, SCALE).exp() - 0.05 / 1.6).abs() < 1e-6));
            assert_eq!(near.count(), 2, "{means:?}");
        }
        // What is new has no past: four, and the two that were split.
        assert_eq!((0..15).filter(|&i| moments.get(i, 0) == 0.0).count(), 6);
    }

    #[test]
    fn the_cap_takes_those_that_are_pulled_at_most_and_opacities_fall_now_and_then() {
        let (rows, _) = resized(12, 12, 13, 3000);
        assert_eq!(rows.n, 12, "one more, one less");
        assert_eq!((0..12).filter(|&i| rows.get(i, 0) == 9.0).count(), 2);
        assert!((0..12).all(|i| opacity(&rows, i) < 0.0101));
    }
}
