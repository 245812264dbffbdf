//! Forward mode of light along rays, ray by ray.

use super::blob::{Blob, ROW};
use super::march::{Cast, T_MIN};
use super::profile::{REACH, before_one, fade_one};
use crate::composite::PLANES;
use crate::frame::TILE;
use crate::lanes::Precision;
use rayon::prelude::*;

/// What is in an interval, and how it changes: optical depth and, times it, red, green, blue.
type Interval<T> = [[T; 4]; 2];

/// The change of the picture's pixels when rows of Gaussians and the lengths of rays change.
pub(crate) fn change<T: Precision>(cast: &Cast<T>, tangents: &[[T; ROW]], longer: &[T]) -> Vec<[T; PLANES]> {
    let columns = cast.size[0].div_ceil(TILE);
    (0..cast.lengths.len())
        .into_par_iter()
        .map(|pixel| {
            let (x, y) = (pixel % cast.size[0], pixel / cast.size[0]);
            let tile = y / TILE * columns + x / TILE;
            let list = &cast.ids[cast.starts[tile] as usize..cast.starts[tile + 1] as usize];
            let at = [x, y].map(|k| T::of(k as f32 + 0.5));
            let length = [cast.lengths[pixel], longer[pixel]];
            ray(cast, list, tangents, at, length)
        })
        .collect()
}

fn ray<T: Precision>(cast: &Cast<T>, list: &[u32], tangents: &[[T; ROW]], at: [T; 2], length: [T; 2]) -> [T; PLANES] {
    let grid = cast.grid;
    let nearest = list.first().map_or(cast.near, |&i| (cast.blobs[i as usize].near.to_f64() as f32).max(cast.near));
    let base = grid.interval(nearest);
    let mut bins: Vec<Interval<T>> = vec![];
    for &i in list {
        let Some(m) = meet(&cast.blobs[i as usize], &tangents[i as usize], at, length, cast.least) else { continue };
        let colour = |k: usize| [cast.blobs[i as usize].colour[k], tangents[i as usize][6 + k]];
        let half = T::from_f64(REACH) / m.narrow[0];
        let first = ((m.middle[0] - half).to_f64() as f32).max(grid.edge(base));
        let last = ((m.middle[0] + half).to_f64() as f32).min(1e30);
        let (from, to) = (grid.interval(first) - base, grid.interval(last.max(first)) - base);
        bins.resize(bins.len().max(to + 1), Default::default());
        let passed = |j: usize| {
            let x = (T::of(grid.edge(base + j)) - m.middle[0]) * m.narrow[0];
            let (part, density) = before_one(x);
            [part, density * (x * m.narrow[1] - m.middle[1] * m.narrow[0])]
        };
        let mut now = passed(from);
        for (j, bin) in bins.iter_mut().enumerate().take(to + 1).skip(from) {
            let next = passed(j + 1);
            let part = [next[0] - now[0], next[1] - now[1]];
            let part = [m.tau[0] * part[0], m.tau[1] * part[0] + m.tau[0] * part[1]];
            now = next;
            (0..2).for_each(|k| bin[k][0] += part[k]);
            for k in 0..3 {
                let c = colour(k);
                bin[0][1 + k] += part[0] * c[0];
                bin[1][1 + k] += part[1] * c[0] + part[0] * c[1];
            }
        }
    }
    let (mut left, mut by_left) = (T::ONE, T::ZERO);
    let mut out = [T::ZERO; PLANES];
    for (j, [bin, by]) in bins.iter().enumerate() {
        if !(left >= T::from_f64(T_MIN)) {
            break;
        }
        let [fades, mean, slope] = fade_one(bin[0]);
        let next = [left * fades, by_left * fades - left * fades * by[0]];
        let share = [left * mean, by_left * mean + left * slope * by[0]];
        for k in 0..3 {
            out[k] += share[1] * bin[1 + k] + share[0] * by[1 + k];
        }
        let depth = 0.5 * (f64::from(grid.edge(base + j)) + f64::from(grid.edge(base + j + 1)));
        out[3] += (by_left - next[1]) * T::from_f64(depth);
        (left, by_left) = (next[0], next[1]);
    }
    out[PLANES - 1] = by_left;
    out
}

/// What a ray meets, and how it changes; of the narrowness the change is that of its logarithm.
struct Meeting<T> {
    tau: [T; 2],
    middle: [T; 2],
    narrow: [T; 2],
}

fn meet<T: Precision>(
    blob: &Blob<T>,
    by: &[T; ROW],
    at: [T; 2],
    [length, longer]: [T; 2],
    least: T,
) -> Option<Meeting<T>> {
    let (two, half, ln2) = (T::of(2.0), T::of(0.5), T::from_f64(std::f64::consts::LN_2));
    let (dx, dy) = (at[0] - blob.mean[0], at[1] - blob.mean[1]);
    let ([a, b, c], [e, f]) = (blob.form, blob.slope);
    let form = a * dx * dx + b * dx * dy + c * dy * dy;
    let k = T::ONE + e * dx + f * dy;
    let q = form * blob.bend + k * k;
    let per = T::ONE / q;
    let power = form * per;
    if !(power >= least - blob.level && k > T::ZERO) {
        return None;
    }
    let full = ((power + blob.level) * ln2).exp();
    let rest = ((least + least) * ln2).exp() / full;
    let across = per.sqrt() * length;
    let (tau, swell) = ((full - rest) * across, (full + rest) * across);
    let (deeper, wider) = (by[9] / blob.depth, by[10] / blob.width);
    let by_form = by[2] * dx * dx + by[3] * dx * dy + by[4] * dy * dy
        - by[0] * (two * a * dx + b * dy)
        - by[1] * (b * dx + two * c * dy);
    let by_k = by[11] * dx + by[12] * dy - e * by[0] - f * by[1];
    let by_q = blob.bend * by_form + two * blob.bend * form * (wider - deeper) + two * k * by_k;
    // Of the logarithm of 1/q.
    let by_per = -(by_q * per);
    let by_power = by_form * per + power * by_per;
    let by_tau = swell * ln2 * (by_power + by[5]) + tau * (half * by_per + longer / length);
    let middle = blob.depth * k * per;
    let by_middle = middle * (deeper + by_per) + blob.depth * per * by_k;
    Some(Meeting {
        tau: [tau, by_tau],
        middle: [middle, by_middle],
        narrow: [q.sqrt() / blob.width, -(half * by_per) - wider],
    })
}
