//! Projection of Gaussians to splats (EWA), and its reverse mode, a vector of Gaussians at a time.
//!
//! Source: Zwicker et al. 2001, Kerbl et al. 2023; compensation of opacity: Yu et al. 2024 (Mip-Splatting).

mod tangent;

pub(crate) use tangent::project_tangent;

use crate::frame::TILE;
use crate::lanes::{Mask, Precision, V, exp};
use crate::rows::{BLOCK, OPACITY, ROTATION, SCALE, SH};
use crate::sh::{self, Number};
use crate::{Kernel, Projection};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask};

pub(crate) type Mat<N> = [[N; 3]; 3];

/// What projection needs to know of camera and scene; N is a number, or a vector that holds it in all lanes.
#[derive(Clone, Copy)]
pub(crate) struct Camera<N> {
    /// World → camera rotation.
    pub rotation: Mat<N>,
    pub translation: [N; 3],
    pub intrinsics: [N; 4],
    pub size: [N; 2],
    pub near: N,
    /// log₂ of the least alpha that is drawn.
    pub least: N,
    pub kernel: Kernel,
    pub projection: Projection,
    pub sh_degree: usize,
}

impl<T: Precision> Camera<T> {
    #[inline(always)]
    pub fn spread<S: Simd>(&self, simd: S) -> Camera<V<S, T>> {
        let of = |x: T| V::<S, T>::splat(simd, x);
        Camera {
            rotation: self.rotation.map(|row| row.map(of)),
            translation: self.translation.map(of),
            intrinsics: self.intrinsics.map(of),
            size: self.size.map(of),
            near: of(self.near),
            least: of(self.least),
            kernel: self.kernel,
            projection: self.projection,
            sh_degree: self.sh_degree,
        }
    }
}

/// A projected Gaussian.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Splat<N> {
    pub mean: [N; 2],
    /// a, b, c of log₂ e^−σ = a dx² + b dx dy + c dy².
    pub quadratic: [N; 3],
    /// log₂ of the opacity.
    pub log_opacity: N,
    /// Red, green, blue, depth.
    pub channels: [N; 4],
    /// Half the size of the box outside of which alpha is below its least value.
    pub half: [N; 2],
}

/// Derivative of a loss by a splat, as moments of s = ∂L/∂(−σ) over its pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments<N> {
    /// Σ s, Σ s dx, Σ s dy, Σ s dx², Σ s dx dy, Σ s dy².
    pub s: [N; 6],
    pub channels: [N; 4],
}

impl<N: Copy> Moments<N> {
    /// How many numbers they are.
    pub const COUNT: usize = 10;

    /// From the numbers in order.
    #[inline(always)]
    pub fn from_array(x: [N; 10]) -> Self {
        Self { s: [x[0], x[1], x[2], x[3], x[4], x[5]], channels: [x[6], x[7], x[8], x[9]] }
    }
}

/// All of position and shape that forward and backward share.
struct Terms<N> {
    p: [N; 3],
    /// x/z and y/z, as they are and clamped to a little more than the picture.
    slope: [N; 2],
    clamped: [N; 2],
    /// Clamped, times z.
    t: [N; 2],
    q: [N; 4],
    q_norm: N,
    turned: Mat<N>,
    /// After smoothing.
    scale: [N; 3],
    /// Part of each variance that was there before.
    own: [N; 3],
    m: Mat<N>,
    j: [[N; 3]; 2],
    v: [[N; 3]; 2],
    /// Covariance xx, xy, yy before and after the low pass.
    raw: [N; 3],
    cov: [N; 3],
    det: N,
    ratio: N,
    rho: N,
    /// As learnt, and after smoothing.
    given: N,
    opacity: N,
    to_mean: [N; 3],
    /// Of the mean.
    distance: N,
}

#[inline(always)]
pub(crate) fn dot<N: Number>(a: [N; 3], b: [N; 3]) -> N {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[inline(always)]
pub(crate) fn column<N: Copy>(m: &Mat<N>, k: usize) -> [N; 3] {
    [m[0][k], m[1][k], m[2][k]]
}

#[inline(always)]
fn product<N: Number>(a: &Mat<N>, b: &Mat<N>) -> Mat<N> {
    // Loops: closures would not be compiled for the instruction set of their caller.
    let mut out = *a;
    for i in 0..3 {
        for k in 0..3 {
            out[i][k] = dot(a[i], column(b, k));
        }
    }
    out
}

/// The matrix of a unit quaternion wxyz.
#[inline(always)]
pub(crate) fn rotation<N: Number>([w, x, y, z]: [N; 4], one: N, two: N) -> Mat<N> {
    [
        [one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)],
        [two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)],
        [two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)],
    ]
}

/// Smallest compensation of the opacity, squared.
pub(crate) const MIN_RATIO: f64 = 0.005 * 0.005;

/// A vector of rows of a block, from lane `lane`.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<'a, T> {
    pub block: &'a [T],
    pub lane: usize,
    /// Standard deviations of what each Gaussian is smoothed with; none: they are not.
    pub smoothing: &'a [T],
}

impl<T: Precision> Lanes<'_, T> {
    #[inline(always)]
    pub fn get<S: Simd>(&self, simd: S, k: usize) -> V<S, T> {
        let at = k * BLOCK + self.lane;
        V::<S, T>::from_slice(simd, &self.block[at..at + V::<S, T>::LEN])
    }
}

/// Where a vector of Gaussians is, how large and how turned.
pub(crate) struct Placed<N> {
    /// As the camera sees it.
    pub p: [N; 3],
    pub q: [N; 4],
    pub q_norm: N,
    /// Its axes as the camera sees them.
    pub turned: Mat<N>,
    /// After smoothing.
    pub scale: [N; 3],
    /// Part of each variance that was there before.
    pub own: [N; 3],
    /// Part of the opacity that smoothing leaves.
    pub share: N,
    /// From the eye to the mean; parallel rays go along the axis.
    pub to_mean: [N; 3],
    pub distance: N,
}

/// The places, and which lanes have finite numbers and are before the camera.
#[inline(always)]
pub(crate) fn placed<S: Simd, T: Precision>(
    simd: S,
    row: Lanes<T>,
    camera: &Camera<V<S, T>>,
) -> (Placed<V<S, T>>, Mask<S, T>) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let get = |k: usize| row.get(simd, k);
    let mean = [get(0), get(1), get(2)];
    let mut p = camera.translation;
    for i in 0..3 {
        p[i] += dot(camera.rotation[i], mean);
    }
    let mut visible = p[2].simd_ge(camera.near);
    // NaN and infinity times zero are NaN.
    let mut finite = c(0.0);
    for k in 0..SH {
        finite = get(k).mul_add(c(0.0), finite);
    }
    visible &= finite.simd_eq(c(0.0));
    let raw_q = [get(ROTATION), get(ROTATION + 1), get(ROTATION + 2), get(ROTATION + 3)];
    let norm2 = raw_q[0] * raw_q[0] + raw_q[1] * raw_q[1] + raw_q[2] * raw_q[2] + raw_q[3] * raw_q[3];
    visible &= norm2.simd_ge(c(1e-6));
    let q_norm = norm2.sqrt();
    let per_norm = c(1.0) / q_norm;
    let q = [raw_q[0] * per_norm, raw_q[1] * per_norm, raw_q[2] * per_norm, raw_q[3] * per_norm];
    let mut scale = mean;
    for k in 0..3 {
        scale[k] = exp::<S, T>(simd, get(SCALE + k));
    }
    let (mut own, mut share) = ([c(1.0); 3], c(1.0));
    if !row.smoothing.is_empty() {
        let size = V::<S, T>::from_slice(simd, &row.smoothing[row.lane..row.lane + V::<S, T>::LEN]);
        for k in 0..3 {
            let wider = scale[k].mul_add(scale[k], size * size).sqrt();
            let part = scale[k] / wider;
            (scale[k], own[k]) = (wider, part * part);
            share *= part;
        }
    }
    let turned = product(&camera.rotation, &rotation(q, c(1.0), c(2.0)));
    // The eye is −Qᵀt, so mean − eye = Qᵀ(Q mean + t). Parallel rays go along the axis.
    let mut to_mean = camera.rotation[2];
    if camera.projection != Projection::Orthographic {
        for k in 0..3 {
            to_mean[k] = dot(column(&camera.rotation, k), p);
        }
    }
    let distance = dot(to_mean, to_mean).sqrt();
    (Placed { p, q, q_norm, turned, scale, own, share, to_mean, distance }, visible)
}

/// The terms, and which lanes can be seen by their position and shape.
#[inline(always)]
fn terms<S: Simd, T: Precision>(simd: S, row: Lanes<T>, camera: &Camera<V<S, T>>) -> (Terms<V<S, T>>, Mask<S, T>) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let (placed, mut visible) = placed(simd, row, camera);
    let Placed { p, q, q_norm, turned, scale, own, share, to_mean, distance } = placed;
    let z = p[2];
    let [fx, fy, cx, cy] = camera.intrinsics;
    let per_z = c(1.0) / z;
    let slope = [p[0] * per_z, p[1] * per_z];
    let mut clamped = slope;
    for (k, (f, centre)) in [(fx, cx), (fy, cy)].into_iter().enumerate() {
        let margin = camera.size[k] * c(0.15) / f;
        let (low, high) = (-(centre / f) - margin, (camera.size[k] - centre) / f + margin);
        clamped[k] = slope[k].max(low).min(high);
    }
    let t = [z * clamped[0], z * clamped[1]];
    let mut m = turned;
    for i in 0..3 {
        for k in 0..3 {
            m[i][k] *= scale[k];
        }
    }
    let parallel = camera.projection == Projection::Orthographic;
    let j = match parallel {
        true => [[fx, c(0.0), c(0.0)], [c(0.0), fy, c(0.0)]],
        false => {
            let (jx, jy) = (fx * per_z, fy * per_z);
            [[jx, c(0.0), -(jx * clamped[0])], [c(0.0), jy, -(jy * clamped[1])]]
        }
    };
    let mut v = j;
    for i in 0..2 {
        for k in 0..3 {
            v[i][k] = j[i][i].mul_add(m[i][k], j[i][2] * m[2][k]);
        }
    }
    let raw = [dot(v[0], v[0]), dot(v[0], v[1]), dot(v[1], v[1])];
    let mip = camera.kernel == Kernel::Mip;
    let low_pass = c(if mip { 0.1 } else { 0.3 });
    let cov = [raw[0] + low_pass, raw[1], raw[2] + low_pass];
    let det = cov[0] * cov[2] - cov[1] * cov[1];
    visible &= det.simd_gt(c(0.0)) & det.simd_lt(c(1e36));
    let ratio = (raw[0] * raw[2] - raw[1] * raw[1]) / det;
    let rho = if mip { ratio.max(c(MIN_RATIO)).sqrt() } else { c(1.0) };
    let given = c(1.0) / (exp::<S, T>(simd, -row.get(simd, OPACITY)) + c(1.0));
    let opacity = given * share;
    #[rustfmt::skip]
    let terms = Terms {
        p, slope, clamped, t, q, q_norm, turned, scale, own, m, j, v, raw, cov, det, ratio, rho, given, opacity, to_mean, distance,
    };
    (terms, visible)
}

/// The direction from the eye to the mean.
#[inline(always)]
fn direction<N: Number + std::ops::Div<Output = N>>(to_mean: [N; 3], distance: N, one: N) -> [N; 3] {
    let per_distance = one / distance;
    [to_mean[0] * per_distance, to_mean[1] * per_distance, to_mean[2] * per_distance]
}

/// Colours before the clamp; NaN where a harmonic, used or not, is not finite.
#[inline(always)]
fn colour<S: Simd, T: Precision>(simd: S, row: Lanes<T>, sh_degree: usize, basis: &[V<S, T>; 25]) -> [V<S, T>; 3] {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let mut sum = [c(0.5); 3];
    let n_used = (sh_degree + 1).pow(2);
    for b in 0..n_used {
        for ch in 0..3 {
            sum[ch] = row.get(simd, SH + 3 * b + ch).mul_add(basis[b], sum[ch]);
        }
    }
    for k in SH + 3 * n_used..row.block.len() / BLOCK {
        sum[k % 3] = row.get(simd, k).mul_add(c(0.0), sum[k % 3]);
    }
    // Infinity minus itself is NaN.
    let excess = sum[0] * c(0.0) + sum[1] * c(0.0) + sum[2] * c(0.0);
    [sum[0] + excess, sum[1] + excess, sum[2] + excess]
}

/// Colours in the direction of the means, and in which lanes they are finite.
#[inline(always)]
pub(crate) fn seen_colour<S: Simd, T: Precision>(
    simd: S,
    row: Lanes<T>,
    camera: &Camera<V<S, T>>,
    to_mean: [V<S, T>; 3],
    distance: V<S, T>,
) -> ([V<S, T>; 3], Mask<S, T>) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let basis = sh::values(camera.sh_degree, direction(to_mean, distance, c(1.0)), c);
    let colour = colour(simd, row, camera.sh_degree, &basis);
    let known = (colour[0] * c(0.0)).simd_eq(c(0.0));
    ([colour[0].max(c(0.0)), colour[1].max(c(0.0)), colour[2].max(c(0.0))], known)
}

/// What is seen of a block.
pub(crate) struct Seen<T> {
    /// A bit for each Gaussian that may be seen.
    pub bits: u16,
    /// First and last column, first and last row of the tiles about each.
    pub tiles: [[T; BLOCK]; 4],
}

/// The splats of a block of rows, and what they are smoothed with. Gaussians with numbers that are not finite, or without a rotation, are not seen.
#[inline(always)]
pub(crate) fn project<S: Simd, T: Precision>(
    simd: S,
    (block, smoothing): (&[T], &[T]),
    camera: &Camera<T>,
    out: &mut [Splat<T>; BLOCK],
) -> Seen<T> {
    let mut all = Seen { bits: 0, tiles: [[T::ZERO; BLOCK]; 4] };
    let camera = camera.spread(simd);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let len = V::<S, T>::LEN;
    for lane in (0..BLOCK).step_by(len) {
        let row = Lanes { block, lane, smoothing };
        let (s, mut seen) = terms(simd, row, &camera);
        let opacity = s.opacity * s.rho;
        let [fx, fy, cx, cy] = camera.intrinsics;
        let depth = if camera.projection == Projection::Orthographic { c(1.0) } else { s.p[2] };
        let mean = [fx * s.p[0] / depth + cx, fy * s.p[1] / depth + cy];
        let log2e = std::f64::consts::LOG2_E;
        let per_det = c(0.5 * log2e) / s.det;
        let quadratic = [-(s.cov[2] * per_det), s.cov[1] * per_det * c(2.0), -(s.cov[0] * per_det)];
        let log_opacity = T::log2(simd, opacity);
        seen &= log_opacity.simd_ge(camera.least);
        // σ is at least dx² / 2Σxx.
        let reach = (log_opacity - camera.least).max(c(0.0)) * c(2.0 * std::f64::consts::LN_2);
        let half = [(reach * s.cov[0]).sqrt(), (reach * s.cov[2]).sqrt()];
        for axis in 0..2 {
            // Pixels whose centres, at +½, may be reached; an eighth more than exact arithmetic needs.
            let margin = half[axis] + c(0.625);
            let first = ((mean[axis] - margin).floor() + c(1.0)).max(c(0.0));
            let last = ((mean[axis] + margin).floor()).min(camera.size[axis]) - c(1.0);
            seen &= first.simd_le(last);
            let per_tile = c(1.0 / TILE as f64);
            (first * per_tile).floor().store_slice(&mut all.tiles[2 * axis][lane..lane + len]);
            (last * per_tile).floor().store_slice(&mut all.tiles[2 * axis + 1][lane..lane + len]);
        }
        if !seen.any_true() {
            continue;
        }
        let (colour, known) = seen_colour(simd, row, &camera, s.to_mean, s.distance);
        seen &= known;
        // The largest number that is squared later on.
        let far = mean[0].abs().max(mean[1].abs()).max(colour[0]).max(colour[1]).max(colour[2]).max(s.p[2]);
        seen &= far.simd_lt(c(1e18));
        all.bits |= (seen.to_bitmask() as u16) << lane;
        for k in 0..len {
            // No closures: they would not be compiled for the instruction set of their caller.
            out[lane + k] = Splat {
                mean: [mean[0][k], mean[1][k]],
                quadratic: [quadratic[0][k], quadratic[1][k], quadratic[2][k]],
                log_opacity: log_opacity[k],
                channels: [colour[0][k], colour[1][k], colour[2][k], s.p[2][k]],
                half: [half[0][k], half[1][k]],
            };
        }
    }
    all
}

/// Derivative of the loss by a vector of rows from lane `lane` of a block, given the moments of their splats (zeros where
/// there is none): numbers of [`BLOCK`]'s lanes in `out`, a vector for each. Clamped colours have gradient 0.
#[inline(always)]
pub(crate) fn project_backward<S: Simd, T: Precision>(
    simd: S,
    (block, smoothing): (&[T], &[T]),
    lane: usize,
    camera: &Camera<T>,
    g: &Moments<V<S, T>>,
    out: &mut [V<S, T>],
) {
    let camera = &camera.spread(simd);
    let row = Lanes { block, lane, smoothing };
    let (s, visible) = terms(simd, row, camera);
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let (zero, two) = (c(0.0), c(2.0));
    let [fx, fy, ..] = camera.intrinsics;
    let k = [[s.cov[2] / s.det, -(s.cov[1] / s.det)], [-(s.cov[1] / s.det), s.cov[0] / s.det]];
    let by_mean = [k[0][0] * g.s[1] + k[0][1] * g.s[2], k[0][1] * g.s[1] + k[1][1] * g.s[2]];
    let by_opacity = -(g.s[0] / (s.opacity * s.rho));
    // Conic → covariance: −K G K, with G = ½ Σ s d dᵀ.
    let half = c(0.5);
    let gm = [[half * g.s[3], half * g.s[4]], [half * g.s[4], half * g.s[5]]];
    let mut x = [[zero; 2]; 2];
    for i in 0..2 {
        for l in 0..2 {
            for a in 0..2 {
                for b in 0..2 {
                    x[i][l] -= k[i][a] * gm[a][b] * k[b][l];
                }
            }
        }
    }
    if camera.kernel == Kernel::Mip {
        let by_ratio = by_opacity * s.opacity / (two * s.rho) / s.det;
        let by_ratio = s.ratio.simd_gt(c(MIN_RATIO)).select(by_ratio, zero);
        x[0][0] += by_ratio * (s.raw[2] - s.ratio * s.cov[2]);
        x[1][1] += by_ratio * (s.raw[0] - s.ratio * s.cov[0]);
        let off = by_ratio * (s.ratio * s.cov[1] - s.raw[1]);
        x[0][1] += off;
        x[1][0] += off;
    }
    out[OPACITY] = -(g.s[0] * (c(1.0) - s.given));
    let (mut gv, mut gm, mut gj) = (s.v, s.m, s.j);
    for l in 0..3 {
        for i in 0..2 {
            gv[i][l] = two * (x[i][0] * s.v[0][l] + x[i][1] * s.v[1][l]);
        }
        for i in 0..3 {
            gm[i][l] = s.j[0][i] * gv[0][l] + s.j[1][i] * gv[1][l];
        }
    }
    for l in 0..3 {
        for i in 0..2 {
            gj[i][l] = dot(gv[i], s.m[l]);
        }
    }
    let mut by_world = [[zero; 3]; 3];
    for l in 0..3 {
        // ln s acts by the variance, of which it has a part, and by the opacity, of which the rest is lost.
        let by_wider = s.scale[l] * dot(column(&gm, l), column(&s.turned, l));
        out[SCALE + l] = s.own[l] * by_wider - (c(1.0) - s.own[l]) * g.s[0];
        let by_turned = [gm[0][l] * s.scale[l], gm[1][l] * s.scale[l], gm[2][l] * s.scale[l]];
        for i in 0..3 {
            by_world[i][l] = dot(column(&camera.rotation, i), by_turned);
        }
    }
    for (l, x) in rotation_backward(s.q, s.q_norm, &by_world, two).into_iter().enumerate() {
        out[ROTATION + l] = x;
    }
    let z = s.p[2];
    let (zz, zzz) = (z * z, z * z * z);
    let mut gp = [zero, zero, g.channels[3]];
    let parallel = camera.projection == Projection::Orthographic;
    for (a, f) in [fx, fy].into_iter().enumerate() {
        if parallel {
            gp[a] += f * by_mean[a];
            continue;
        }
        gp[a] += f / z * by_mean[a];
        gp[2] += two * f * s.t[a] / zzz * gj[a][2] - f * s.p[a] / zz * by_mean[a] - f / zz * gj[a][a];
        let inside = s.slope[a].simd_eq(s.clamped[a]);
        gp[a] += inside.select(-(f / zz * gj[a][2]), zero);
        gp[2] += inside.select(zero, -(f * s.t[a] / zzz * gj[a][2]));
    }
    let [red, green, blue, _] = g.channels;
    place_backward(simd, row, camera, s.to_mean, [gp[0], gp[1], gp[2], red, green, blue], visible, out);
}

/// Derivatives by means and harmonics, given those by places before the camera and by colours, three numbers each; what is not
/// `visible` has none of any number.
#[inline(always)]
pub(crate) fn place_backward<S: Simd, T: Precision>(
    simd: S,
    row: Lanes<T>,
    camera: &Camera<V<S, T>>,
    to_mean: [V<S, T>; 3],
    by: [V<S, T>; 6],
    mut visible: Mask<S, T>,
    out: &mut [V<S, T>],
) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let zero = c(0.0);
    let distance = dot(to_mean, to_mean).sqrt();
    let (by_p, by_colour) = ([by[0], by[1], by[2]], [by[3], by[4], by[5]]);
    let mut by_dir = [zero; 3];
    let dir = direction(to_mean, distance, c(1.0));
    let basis = sh::basis(camera.sh_degree, dir, c);
    let mut values = [zero; 25];
    for b in 0..25 {
        values[b] = basis[b].v;
    }
    let mut colour = colour(simd, row, camera.sh_degree, &values);
    visible &= (colour[0] * zero).simd_eq(zero);
    for ch in 0..3 {
        colour[ch] = colour[ch].simd_gt(zero).select(by_colour[ch], zero);
    }
    for b in 0..(camera.sh_degree + 1).pow(2) {
        for (ch, by) in colour.into_iter().enumerate() {
            out[SH + 3 * b + ch] = by * values[b];
            let weight = by * row.get(simd, SH + 3 * b + ch);
            for l in 0..3 {
                by_dir[l] = weight.mul_add(basis[b].d[l], by_dir[l]);
            }
        }
    }
    for b in (camera.sh_degree + 1).pow(2)..(row.block.len() / BLOCK - SH) / 3 {
        (0..3).for_each(|ch| out[SH + 3 * b + ch] = zero);
    }
    let along = dot(dir, by_dir);
    for l in 0..3 {
        out[l] = dot(column(&camera.rotation, l), by_p);
        if camera.projection != Projection::Orthographic {
            out[l] += (by_dir[l] - along * dir[l]) / distance;
        }
    }
    for x in out {
        *x = visible.select(*x, zero);
    }
}

/// Rotation matrix → quaternion before normalisation.
#[inline(always)]
pub(crate) fn rotation_backward<N>(q: [N; 4], q_norm: N, d: &Mat<N>, two: N) -> [N; 4]
where
    N: Number + std::ops::Div<Output = N>,
{
    let [w, x, y, z] = q;
    let g = [
        two * (x * (d[2][1] - d[1][2]) + y * (d[0][2] - d[2][0]) + z * (d[1][0] - d[0][1])),
        two * (y * (d[0][1] + d[1][0]) + z * (d[0][2] + d[2][0]) + w * (d[2][1] - d[1][2])
            - two * x * (d[1][1] + d[2][2])),
        two * (x * (d[0][1] + d[1][0]) + z * (d[1][2] + d[2][1]) + w * (d[0][2] - d[2][0])
            - two * y * (d[0][0] + d[2][2])),
        two * (x * (d[0][2] + d[2][0]) + y * (d[1][2] + d[2][1]) + w * (d[1][0] - d[0][1])
            - two * z * (d[0][0] + d[1][1])),
    ];
    let along = g[0] * q[0] + g[1] * q[1] + g[2] * q[2] + g[3] * q[3];
    let share = |k: usize| (g[k] - along * q[k]) / q_norm;
    [share(0), share(1), share(2), share(3)]
}
