//! The CPU bodies, pixel by pixel; names as in surfel.wgsl.

use super::kernels::{
    SurfelCompositeBuffers, SurfelGradientBuffers, SurfelMedianBuffers, SurfelParams, SurfelTangentBuffers,
};
use super::{PLANES, ROW};
use crate::aov::MEDIAN;
use crate::composite::ALPHA_MAX;
use crate::frame::{TILE, lists};
use lumigrad_core::Real;
use rayon::prelude::*;

/// A pixel is finished before the surfel that would leave less transmittance than this.
const T_MIN: f64 = 1e-4;

type Vec3<R> = [R; 3];

fn cross<R: Real>(a: Vec3<R>, b: Vec3<R>) -> Vec3<R> {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn row<R: Real>(surfel: &[R; ROW], first: usize) -> Vec3<R> {
    [surfel[first], surfel[first + 1], surfel[first + 2]]
}

/// s w − a.
fn plane<R: Real>(s: R, w: Vec3<R>, a: Vec3<R>) -> Vec3<R> {
    [s * w[0] - a[0], s * w[1] - a[1], s * w[2] - a[2]]
}

/// Where a ray meets a surfel.
struct Hit<R> {
    alpha: R,
    /// Whether alpha is below its limit.
    free: bool,
    depth: R,
    u: R,
    v: R,
    d: [R; 2],
    k: Vec3<R>,
    l: Vec3<R>,
    p: Vec3<R>,
    met: bool,
}

fn hit<R: Real>(s: &[R; ROW], at: [R; 2], params: &SurfelParams) -> Option<Hit<R>> {
    let c = R::from_f64;
    let w = row(s, 6);
    let (k, l) = (plane(at[0], w, row(s, 0)), plane(at[1], w, row(s, 3)));
    let p = cross(k, l);
    let crosses = p[2] != R::ZERO;
    let per = if crosses { R::ONE / p[2] } else { R::ZERO };
    let (u, v) = (p[0] * per, p[1] * per);
    let on = if crosses { u * u + v * v } else { c(1e30) };
    let d = [s[9] - at[0], s[10] - at[1]];
    let off = c(2.0) * (d[0] * d[0] + d[1] * d[1]);
    let met = on <= off;
    let depth = if met { u * w[0] + v * w[1] + w[2] } else { w[2] };
    let power = s[11] - c(0.5 * std::f64::consts::LOG2_E) * if met { on } else { off };
    if !(power >= R::of(params.least) && depth >= R::of(params.near)) {
        return None;
    }
    let raw = (power * c(std::f64::consts::LN_2)).exp();
    let most = c(ALPHA_MAX);
    Some(Hit { alpha: raw.min(most), free: raw < most, depth, u, v, d, k, l, p, met })
}

/// Pixels of a tile, with their places in the picture.
fn pixels<R: Real>(p: &SurfelParams, tile: usize) -> impl Iterator<Item = (usize, [R; 2])> + use<R> {
    let (width, height, columns) = (p.width as usize, p.height as usize, p.columns as usize);
    let (left, top) = (tile % columns * TILE, tile / columns * TILE);
    (top..(top + TILE).min(height)).flat_map(move |y| {
        (left..(left + TILE).min(width)).map(move |x| (y * width + x, [x, y].map(|k| R::from_f64(k as f64 + 0.5))))
    })
}

/// A surfel of a tile, and the least and largest x and y at which it may be drawn.
struct Near<'a, R> {
    surfel: &'a [R; ROW],
    id: usize,
    low: [R; 2],
    high: [R; 2],
}

/// The surfels of a list.
fn near<'a, R: Real>(p: &SurfelParams, surfels: &'a [[R; ROW]], list: &[u32]) -> Vec<Near<'a, R>> {
    let of = |&id: &u32| {
        let surfel = &surfels[id as usize];
        let (low, high) = reach(surfel, R::of(p.least));
        Near { surfel, id: id as usize, low, high }
    };
    list.iter().map(of).collect()
}

/// The box, in the picture, of the disc of a surfel outside of which alpha is below 2^`least`, and of the round one that
/// stands in for it; everything where the disc is not in front of the camera.
fn reach<R: Real>(s: &[R; ROW], least: R) -> ([R; 2], [R; 2]) {
    let c = R::from_f64;
    let r2 = (s[11] - least).max(R::ZERO) * c(2.0 * std::f64::consts::LN_2);
    let w = row(s, 6);
    let bend = r2 * (w[0] * w[0] + w[1] * w[1]) - w[2] * w[2];
    let (mut low, mut high) = ([-R::INFINITY; 2], [R::INFINITY; 2]);
    if !(bend < c(-1e-3) * w[2] * w[2]) {
        return (low, high);
    }
    for axis in 0..2 {
        let a = row(s, 3 * axis);
        let middle = (r2 * (a[0] * w[0] + a[1] * w[1]) - a[2] * w[2]) / bend;
        let square = middle * middle - (r2 * (a[0] * a[0] + a[1] * a[1]) - a[2] * a[2]) / bend;
        // A little more, for rounding.
        let half = square.max(R::ZERO).sqrt() * c(1.001) + c(0.125);
        let round = (c(0.5) * r2).sqrt() + c(0.125);
        low[axis] = (middle - half).min(s[9 + axis] - round);
        high[axis] = (middle + half).max(s[9 + axis] + round);
    }
    (low, high)
}

/// Visits what a pixel draws of a list: the place in it, the hit, and the transmittance before; gives that behind all.
fn walk<R: Real>(
    p: &SurfelParams,
    list: &[Near<R>],
    at: [R; 2],
    mut each: impl FnMut(usize, &[R; ROW], &Hit<R>, R),
) -> R {
    let mut left = R::ONE;
    for (i, Near { surfel, low, high, .. }) in list.iter().enumerate() {
        if at[0] < low[0] || at[0] > high[0] || at[1] < low[1] || at[1] > high[1] {
            continue;
        }
        let Some(h) = hit(surfel, at, p) else { continue };
        let next = left - left * h.alpha;
        if !(next > R::from_f64(T_MIN)) {
            break;
        }
        each(i, surfel, &h, left);
        left = next;
    }
    left
}

/// Makes every pixel of a picture from the list of its tile.
fn draw<R: Real>(
    p: &SurfelParams,
    surfels: &[[R; ROW]],
    (starts, ids): (&[u32], &[u32]),
    out: &mut [R],
    of: impl Fn(&[Near<R>], [R; 2]) -> [R; PLANES] + Sync,
) {
    let tiles = (0..p.tiles as usize).into_par_iter().map(|tile| {
        let list = near(p, surfels, &ids[starts[tile] as usize..starts[tile + 1] as usize]);
        pixels(p, tile).map(|(pixel, at)| (pixel, of(&list, at))).collect::<Vec<_>>()
    });
    let out = out.as_chunks_mut::<PLANES>().0;
    for (pixel, row) in tiles.collect::<Vec<_>>().into_iter().flatten() {
        out[pixel] = row;
    }
}

pub fn composite<R: Real>(p: &SurfelParams, _items: usize, b: SurfelCompositeBuffers<'_, R>) {
    let surfels = b.surfels.as_chunks::<ROW>().0;
    draw(p, surfels, (b.starts, b.ids), b.picture, |list, at| {
        let mut out = [R::ZERO; PLANES];
        out[9] = walk(p, list, at, |_, s, h, left| {
            let weight = h.alpha * left;
            for c in 0..3 {
                out[c] += weight * s[12 + c];
                out[4 + c] += weight * s[15 + c];
            }
            out[3] += weight * h.depth;
            out[7] += weight / h.depth;
            out[8] += weight / (h.depth * h.depth);
        });
        out
    });
}

pub fn gradient<R: Real>(p: &SurfelParams, _items: usize, b: SurfelGradientBuffers<'_, R>) {
    let surfels = b.surfels.as_chunks::<ROW>().0;
    let (picture, grads) = (b.picture.as_chunks::<PLANES>().0, b.grads.as_chunks::<PLANES>().0);
    let mut sums = vec![[R::ZERO; ROW]; b.ids.len()];
    lists(&mut sums, b.starts).into_par_iter().enumerate().for_each(|(tile, (first, sums))| {
        let list = near(p, surfels, &b.ids[first..first + sums.len()]);
        for (pixel, at) in pixels(p, tile) {
            let g = &grads[pixel];
            let mut rest: R = (0..PLANES).map(|c| g[c] * picture[pixel][c]).sum();
            walk(p, &list, at, |i, s, h, left| pull(s, h, at, left, g, &mut rest, &mut sums[i]));
        }
    });
    let out = b.parts.as_chunks_mut::<ROW>().0;
    // Entries of no tile come last, where there is nothing else.
    sums.iter().zip(b.slots).for_each(|(sum, &slot)| out[slot as usize] = *sum);
}

/// Adds what a pixel says of a surfel; `rest` is the product of the gradient `g` with what is still to come.
fn pull<R: Real>(s: &[R; ROW], h: &Hit<R>, at: [R; 2], left: R, g: &[R; PLANES], rest: &mut R, sum: &mut [R; ROW]) {
    let (two, half) = (R::from_f64(2.0), R::from_f64(0.5));
    let w = row(s, 6);
    let weight = h.alpha * left;
    let per = R::ONE / h.depth;
    let mut shade = g[3] * h.depth + g[7] * per + g[8] * per * per;
    for c in 0..3 {
        shade += g[c] * s[12 + c] + g[4 + c] * s[15 + c];
        sum[12 + c] += weight * g[c];
        sum[15 + c] += weight * g[4 + c];
    }
    *rest -= weight * shade;
    let by_alpha = if h.free { left * shade - *rest / (R::ONE - h.alpha) } else { R::ZERO };
    let by_depth = weight * (g[3] - per * per * (g[7] + two * g[8] * per));
    let by_rho = -(half * h.alpha * by_alpha);
    sum[11] += R::from_f64(std::f64::consts::LN_2) * h.alpha * by_alpha;
    if !h.met {
        let four = two * two;
        sum[9] += four * h.d[0] * by_rho;
        sum[10] += four * h.d[1] * by_rho;
        sum[8] += by_depth;
        return;
    }
    let by_u = two * h.u * by_rho + by_depth * w[0];
    let by_v = two * h.v * by_rho + by_depth * w[1];
    let by_p = [by_u, by_v, -(by_u * h.u + by_v * h.v)].map(|x| x / h.p[2]);
    let (by_k, by_l) = (cross(h.l, by_p), cross(by_p, h.k));
    let direct = [h.u, h.v, R::ONE];
    for c in 0..3 {
        sum[c] -= by_k[c];
        sum[3 + c] -= by_l[c];
        sum[6 + c] += at[0] * by_k[c] + at[1] * by_l[c] + by_depth * direct[c];
    }
}

pub fn tangent<R: Real>(p: &SurfelParams, _items: usize, b: SurfelTangentBuffers<'_, R>) {
    let (surfels, tangents) = (b.surfels.as_chunks::<ROW>().0, b.tangents.as_chunks::<ROW>().0);
    let c = R::from_f64;
    let two = c(2.0);
    draw(p, surfels, (b.starts, b.ids), b.change, |list, at| {
        let (mut out, mut by_left) = ([R::ZERO; PLANES], R::ZERO);
        walk(p, list, at, |i, s, h, left| {
            let t = &tangents[list[i].id];
            let (w, dw) = (row(s, 6), row(t, 6));
            let (mut by_rho, mut by_depth) = (c(4.0) * (h.d[0] * t[9] + h.d[1] * t[10]), dw[2]);
            if h.met {
                let first = cross(plane(at[0], dw, row(t, 0)), h.l);
                let second = cross(h.k, plane(at[1], dw, row(t, 3)));
                let dp = [first[0] + second[0], first[1] + second[1], first[2] + second[2]];
                let (du, dv) = ((dp[0] - h.u * dp[2]) / h.p[2], (dp[1] - h.v * dp[2]) / h.p[2]);
                by_rho = two * (h.u * du + h.v * dv);
                by_depth = du * w[0] + dv * w[1] + h.u * dw[0] + h.v * dw[1] + dw[2];
            }
            let moves = c(std::f64::consts::LN_2) * t[11] - c(0.5) * by_rho;
            let by_alpha = if h.free { h.alpha * moves } else { R::ZERO };
            let weight = h.alpha * left;
            let by_weight = by_alpha * left + h.alpha * by_left;
            let per = R::ONE / h.depth;
            for k in 0..3 {
                out[k] += by_weight * s[12 + k] + weight * t[12 + k];
                out[4 + k] += by_weight * s[15 + k] + weight * t[15 + k];
            }
            out[3] += by_weight * h.depth + weight * by_depth;
            out[7] += per * (by_weight - weight * by_depth * per);
            out[8] += per * per * (by_weight - two * weight * by_depth * per);
            by_left = by_left * (R::ONE - h.alpha) - left * by_alpha;
        });
        out[9] = by_left;
        out
    });
}

pub fn median<R: Real>(p: &SurfelParams, _items: usize, b: SurfelMedianBuffers<'_, R>) {
    let surfels = b.surfels.as_chunks::<ROW>().0;
    let tiles = (0..p.tiles as usize).into_par_iter().map(|tile| {
        let list = near(p, surfels, &b.ids[b.starts[tile] as usize..b.starts[tile + 1] as usize]);
        let of = |at: [R; 2]| {
            let mut found = 0;
            walk(p, &list, at, |i, _, h, left| {
                if found == 0 && left - left * h.alpha < R::from_f64(MEDIAN) {
                    found = list[i].id as u32 + 1;
                }
            });
            found
        };
        pixels(p, tile).map(|(pixel, at)| (pixel, of(at))).collect::<Vec<_>>()
    });
    for (pixel, found) in tiles.collect::<Vec<_>>().into_iter().flatten() {
        b.chosen[pixel] = found;
    }
}
