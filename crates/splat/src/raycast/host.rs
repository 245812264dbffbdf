//! Gaussians as rays meet them, a vector of Gaussians at a time, and the reverse mode: [`super::project`] for the fast CPU
//! path.

use super::blob::{Blob, ROW};
use super::march::{Cast, backward, forward};
use super::profile::{Grid, REACH};
use super::{BITS, DEPTH_MIN, FOOTPRINT};
use crate::composite::{PIXELS, Tiled};
use crate::frame::{Frame, InPicture, TILE};
use crate::lanes::{Mask, Precision, V, exp};
use crate::project::{
    Camera, Lanes, MIN_RATIO, Mat, Placed, Seen, column, dot, place_backward, placed, rotation_backward, seen_colour,
};
use crate::rows::{BLOCK, OPACITY, ROTATION, Rows, SCALE};
use crate::update::Learnt;
use crate::{Error, Kernel};
use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask};

const LOG2E: f64 = std::f64::consts::LOG2_E;
const LN_2: f64 = std::f64::consts::LN_2;

/// A picture that is ray cast on the host, in memory that is used again.
#[derive(Default)]
pub(crate) struct Rays<T: Precision> {
    pub frame: Frame<T, Blob<T>>,
    pub picture: Tiled<T>,
    /// For each entry of the frame's lists the derivative by its row.
    pub sums: Vec<[T; ROW]>,
    lengths: Vec<T>,
    by_lengths: Vec<[T; PIXELS]>,
}

impl<T: Precision> Rays<T> {
    /// A camera of rays.
    pub fn camera(camera: Camera<T>) -> Camera<T> {
        Camera { least: T::of(DEPTH_MIN.log2() as f32), ..camera }
    }

    fn cast<'a>(&'a self, camera: &Camera<T>) -> Cast<'a, T> {
        let (frame, grid) = (&self.frame, Grid { bits: BITS });
        Cast {
            size: frame.size,
            blobs: &frame.splats,
            ids: &frame.ids,
            starts: &frame.starts,
            lengths: &self.lengths,
            least: camera.least,
            near: camera.near.to_f64() as f32,
            grid,
        }
    }

    /// Draws the Gaussians of a camera; [`Rays::backward`] needs what `keep` keeps.
    ///
    /// **Errors**: Gaussians that cover too much.
    pub fn draw(
        &mut self,
        rows: &Rows<T>,
        smoothing: &[T],
        camera: &Camera<T>,
        size: [usize; 2],
        keep: bool,
    ) -> Result<(), Error> {
        self.frame.update(rows, smoothing, camera, size, keep)?;
        let [fx, fy, cx, cy] = camera.intrinsics;
        let square = |k: usize, f: T, c: T| {
            let slope = (T::from_f64(k as f64 + 0.5) - c) / f;
            slope * slope
        };
        self.lengths.clear();
        for y in 0..size[1] {
            let down = T::ONE + square(y, fy, cy);
            self.lengths.extend((0..size[0]).map(|x| (down + square(x, fx, cx)).sqrt()));
        }
        let mut picture = std::mem::take(&mut self.picture);
        forward(&self.cast(camera), &mut picture);
        self.picture = picture;
        Ok(())
    }

    /// Fills [`Rays::sums`], given the derivative by the picture.
    pub fn backward(&mut self, grads: &Tiled<T>, camera: &Camera<T>) {
        let (mut sums, mut by_lengths) = (std::mem::take(&mut self.sums), std::mem::take(&mut self.by_lengths));
        backward(&self.cast(camera), grads, &mut by_lengths, &mut sums);
        (self.sums, self.by_lengths) = (sums, by_lengths);
    }
}

/// What forward and backward share.
struct Terms<N> {
    placed: Placed<N>,
    /// Axes times and over standard deviations, as the camera sees them.
    shape: Mat<N>,
    unit: Mat<N>,
    /// Rows that take the axes to the picture.
    v: [[N; 3]; 2],
    /// Covariance xx, xy, yy before and after the footprint is added.
    raw: [N; 3],
    cov: [N; 3],
    det: N,
    ratio: N,
    /// The mean from the eye in standard deviations, and its square.
    d: [N; 3],
    square: N,
    slope: [N; 2],
    wide: N,
    level: N,
    /// Derivative of the level's part by the logit, in units of log₂ e.
    by_logit: N,
    /// Parts that the logarithms of the scales have in that of the typical one.
    typical: [N; 3],
}

#[inline(always)]
fn terms<S: Simd, T: Precision>(simd: S, row: Lanes<T>, camera: &Camera<V<S, T>>) -> (Terms<V<S, T>>, Mask<S, T>) {
    let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
    let (placed, mut visible) = placed(simd, row, camera);
    let (p, scale, turned) = (placed.p, placed.scale, placed.turned);
    let z = p[2];
    let per_z = c(1.0) / z;
    let [fx, fy, ..] = camera.intrinsics;
    let (mut shape, mut unit) = (turned, turned);
    for k in 0..3 {
        let per = c(1.0) / scale[k];
        for i in 0..3 {
            shape[i][k] = turned[i][k] * scale[k];
            unit[i][k] = turned[i][k] * per;
        }
    }
    let mut v = [shape[0], shape[1]];
    for (i, f) in [fx, fy].into_iter().enumerate() {
        for k in 0..3 {
            v[i][k] = f * per_z * (shape[i][k] - p[i] * per_z * shape[2][k]);
        }
    }
    let raw = [dot(v[0], v[0]), dot(v[0], v[1]), dot(v[1], v[1])];
    let mip = camera.kernel == Kernel::Mip;
    let footprint = c(FOOTPRINT);
    let cov = [raw[0] + footprint, raw[1], raw[2] + footprint];
    let det = cov[0] * cov[2] - cov[1] * cov[1];
    visible &= det.simd_gt(c(0.0)) & det.simd_lt(c(1e36));
    let ratio = (raw[0] * raw[2] - raw[1] * raw[1]) / det;
    let mut d = p;
    for k in 0..3 {
        d[k] = p[0] * unit[0][k] + p[1] * unit[1][k] + p[2] * unit[2][k];
    }
    let square = dot(d, d);
    visible &= square.simd_gt(c(1e-20));
    let per = z / square;
    let slope = [dot(d, unit[0]) * per / fx, dot(d, unit[1]) * per / fy];
    let wide = z / square.sqrt();
    // Of ln s, 1/s² is the mean of 1/sₖ².
    let least = scale[0].min(scale[1]).min(scale[2]);
    let mut typical = scale;
    for k in 0..3 {
        let part = least / scale[k];
        typical[k] = part * part;
    }
    let sum = typical[0] + typical[1] + typical[2];
    for k in 0..3 {
        typical[k] /= sum;
    }
    let logit = row.get(simd, OPACITY);
    // softplus, and what it is where that would round to nothing.
    let faint = logit.simd_lt(c(-10.0));
    let up = exp::<S, T>(simd, -logit.abs());
    let mut small = c(1.0 / 6.0);
    for n in [5.0, 4.0, 3.0, 2.0, 1.0] {
        // ln(1 + x) = x − x²/2 + …
        small = c(1.0 / n) - small * up;
    }
    let more = up.simd_lt(c(0.02)).select(small * up, T::log2(simd, up + c(1.0)) * c(LN_2));
    let depth = more + logit.max(c(0.0));
    let part = c(1.0) / (exp::<S, T>(simd, -logit) + c(1.0));
    let by_logit = faint.select(c(1.0), part / depth);
    let depth = faint.select(logit * c(LOG2E), T::log2(simd, faint.select(c(1.0), depth)));
    let mut level = depth - T::log2(simd, least) + T::log2(simd, sum * c(1.0 / 3.0)) * c(0.5);
    level += T::log2(simd, wide);
    if mip {
        level += T::log2(simd, ratio.max(c(MIN_RATIO))) * c(0.5);
    }
    let terms =
        Terms { placed, shape, unit, v, raw, cov, det, ratio, d, square, slope, wide, level, by_logit, typical };
    (terms, visible)
}

impl<T: Precision> InPicture<T> for Blob<T> {
    fn order(&self) -> f32 {
        self.near.to_f64() as f32
    }

    #[inline(always)]
    fn project<S: Simd>(
        simd: S,
        (block, smoothing): (&[T], &[T]),
        camera: &Camera<T>,
        out: &mut [Self; BLOCK],
    ) -> Seen<T> {
        let mut all = Seen { bits: 0, tiles: [[T::ZERO; BLOCK]; 4] };
        let camera = camera.spread(simd);
        let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
        let len = V::<S, T>::LEN;
        for lane in (0..BLOCK).step_by(len) {
            let row = Lanes { block, lane, smoothing };
            let (s, mut seen) = terms(simd, row, &camera);
            let [fx, fy, cx, cy] = camera.intrinsics;
            let z = s.placed.p[2];
            let mean = [fx * s.placed.p[0] / z + cx, fy * s.placed.p[1] / z + cy];
            let per_det = c(0.5 * LOG2E) / s.det;
            let form = [-(s.cov[2] * per_det), s.cov[1] * per_det * c(2.0), -(s.cov[0] * per_det)];
            seen &= s.level.simd_ge(camera.least);
            // What is seen is an ellipse in the picture, where all of it is before the camera.
            let r = (s.level - camera.least).max(c(0.0)) * c(2.0 * LN_2);
            let rest = c(1.0) - r / s.square;
            let before = rest.simd_gt(c(1e-3));
            let rest = before.select(rest, c(1.0));
            let across = [
                (s.cov[0] * s.slope[0] + s.cov[1] * s.slope[1]) / rest,
                (s.cov[1] * s.slope[0] + s.cov[2] * s.slope[1]) / rest,
            ];
            let tilt = r * (s.slope[0] * across[0] + s.slope[1] * across[1]);
            let whole = before & tilt.simd_lt(c(1.0 - 1e-3));
            let open = whole.select(c(1.0) - tilt, c(1.0));
            let root = whole.select(tilt.max(c(0.0)), c(0.0)).sqrt();
            let near = z * rest * (c(1.0) - root) - s.wide * c(REACH) * (c(1.0) + root);
            let near = whole.select(near * c(0.999), camera.near).max(camera.near);
            let (mut low, mut high) = (mean, mean);
            for k in 0..2 {
                let middle = mean[k] + r * across[k] / open;
                let half = r / open * (s.cov[2 * k] / rest + r * across[k] * across[k] / open);
                let half = half.max(c(0.0)).sqrt() * c(1.001) + c(0.125);
                low[k] = whole.select(middle - half, c(-1.0));
                high[k] = whole.select(middle + half, camera.size[k] + c(1.0));
                let first = ((low[k] - c(0.5)).floor() + c(1.0)).max(c(0.0));
                let last = (high[k] - c(0.5)).floor().min(camera.size[k] - c(1.0));
                seen &= first.simd_le(last);
                let per_tile = c(1.0 / TILE as f64);
                (first * per_tile).floor().store_slice(&mut all.tiles[2 * k][lane..lane + len]);
                (last * per_tile).floor().store_slice(&mut all.tiles[2 * k + 1][lane..lane + len]);
            }
            if !seen.any_true() {
                continue;
            }
            let (colour, known) = seen_colour(simd, row, &camera, s.placed.to_mean, s.placed.distance);
            seen &= known;
            let far = mean[0].abs().max(mean[1].abs()).max(colour[0]).max(colour[1]).max(colour[2]).max(z);
            let far = far.max(s.wide).max(s.slope[0].abs()).max(s.slope[1].abs());
            seen &= far.simd_lt(c(1e15));
            all.bits |= (seen.to_bitmask() as u16) << lane;
            let bend = c(-2.0 * LN_2) / s.square;
            for k in 0..len {
                // No closures: they would not be compiled for the instruction set of their caller.
                out[lane + k] = Blob {
                    mean: [mean[0][k], mean[1][k]],
                    form: [form[0][k], form[1][k], form[2][k]],
                    level: s.level[k],
                    colour: [colour[0][k], colour[1][k], colour[2][k]],
                    depth: z[k],
                    width: s.wide[k],
                    slope: [s.slope[0][k], s.slope[1][k]],
                    bend: bend[k],
                    low: [low[0][k], low[1][k]],
                    high: [high[0][k], high[1][k]],
                    near: near[k],
                };
            }
        }
        all
    }
}

impl<T: Precision> Learnt<T, ROW> for Blob<T> {
    /// As [`crate::project::project_backward`], given the derivative by a row.
    #[inline(always)]
    fn backward<S: Simd>(
        simd: S,
        (block, smoothing): (&[T], &[T]),
        lane: usize,
        camera: &Camera<T>,
        g: &[V<S, T>; ROW],
        out: &mut [V<S, T>],
    ) {
        let camera = &camera.spread(simd);
        let row = Lanes { block, lane, smoothing };
        let (s, visible) = terms(simd, row, camera);
        let c = |x: f64| V::<S, T>::splat(simd, T::from_f64(x));
        let (zero, two) = (c(0.0), c(2.0));
        let (p, z) = (s.placed.p, s.placed.p[2]);
        let [fx, fy, ..] = camera.intrinsics;
        // Form → covariance: −K G K, with G the derivative by the inverse K.
        let k = [[s.cov[2] / s.det, -(s.cov[1] / s.det)], [-(s.cov[1] / s.det), s.cov[0] / s.det]];
        let by = c(-0.5 * LOG2E);
        let by_k = [[by * g[2], by * g[3]], [by * g[3], by * g[4]]];
        let mut x = [[zero; 2]; 2];
        for i in 0..2 {
            for l in 0..2 {
                for a in 0..2 {
                    for b in 0..2 {
                        x[i][l] -= k[i][a] * by_k[a][b] * k[b][l];
                    }
                }
            }
        }
        let by_level = g[5] * c(LOG2E);
        if camera.kernel == Kernel::Mip {
            let by_ratio = by_level * c(0.5) / (s.ratio * s.det);
            let by_ratio = s.ratio.simd_gt(c(MIN_RATIO)).select(by_ratio, zero);
            x[0][0] += by_ratio * (s.raw[2] - s.ratio * s.cov[2]);
            x[1][1] += by_ratio * (s.raw[0] - s.ratio * s.cov[0]);
            let off = by_ratio * (s.ratio * s.cov[1] - s.raw[1]);
            x[0][1] += off;
            x[1][0] += off;
        }
        out[OPACITY] = by_level * s.by_logit;
        let by_wide = g[10] + by_level / s.wide;
        let by_slope = [g[11], g[12]];
        let mut by_square = -(c(0.5) * by_wide * s.wide / s.square);
        let mut by_p = [zero, zero, g[9] + by_wide * s.wide / z];
        let mut by_d = s.d;
        let mut by_unit = [[zero; 3]; 3];
        for i in 0..2 {
            by_square -= by_slope[i] * s.slope[i] / s.square;
            by_p[2] += by_slope[i] * s.slope[i] / z;
        }
        let share = z / s.square;
        for l in 0..3 {
            by_d[l] = two * s.d[l] * by_square;
            for (i, f) in [fx, fy].into_iter().enumerate() {
                let by = by_slope[i] * share / f;
                by_d[l] += by * s.unit[i][l];
                by_unit[i][l] = by * s.d[l];
            }
        }
        let mut by_shape = [[zero; 3]; 3];
        let per_z = c(1.0) / z;
        for (i, f) in [fx, fy].into_iter().enumerate() {
            let scaled = f * per_z;
            let (mut along, mut own) = (zero, zero);
            for l in 0..3 {
                let by_v = two * (x[i][0] * s.v[0][l] + x[i][1] * s.v[1][l]);
                by_shape[i][l] = scaled * by_v;
                by_shape[2][l] -= scaled * p[i] * per_z * by_v;
                along += by_v * s.shape[2][l];
                own += by_v * s.v[i][l];
            }
            by_p[i] += scaled * (g[i] - along * per_z);
            by_p[2] += scaled * p[i] * per_z * (along * per_z - g[i]) - own * per_z;
        }
        let mut by_turned = [[zero; 3]; 3];
        for l in 0..3 {
            let per = c(1.0) / s.placed.scale[l];
            let mut by_scale = zero;
            for i in 0..3 {
                by_p[i] += by_d[l] * s.unit[i][l];
                let by_unit = by_unit[i][l] + by_d[l] * p[i];
                by_turned[i][l] = by_shape[i][l] * s.placed.scale[l] + by_unit * per;
                by_scale += by_shape[i][l] * s.shape[i][l] - by_unit * s.unit[i][l];
            }
            by_scale -= by_level * s.typical[l];
            out[SCALE + l] = by_scale;
        }
        let mut by_world = [[zero; 3]; 3];
        for l in 0..3 {
            let by_axis = column(&by_turned, l);
            for i in 0..3 {
                by_world[i][l] = dot(column(&camera.rotation, i), by_axis);
            }
        }
        for (l, x) in rotation_backward(s.placed.q, s.placed.q_norm, &by_world, two).into_iter().enumerate() {
            out[ROTATION + l] = x;
        }
        let by = [by_p[0], by_p[1], by_p[2], g[6], g[7], g[8]];
        place_backward(simd, row, camera, s.placed.to_mean, by, visible, out);
    }
}
