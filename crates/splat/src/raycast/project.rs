//! Gaussians as rays meet them, as a map: the same formulas on both devices, with both modes of derivatives.

use super::RaycastOptions;
use super::blob::ROW;
use super::profile::REACH;
use crate::Kernel;
use crate::device::project::{NOWHERE, colours, finite, others};
use crate::project::{MIN_RATIO, rotation};
use lumigrad_core::Map;
use lumigrad_core::map::{Builder, Expr, vector};

/// Least and largest logarithm of a standard deviation.
const SCALES: (f64, f64) = (-20.0, 20.0);

/// Rows [N, 15] of [`super::blob::Blob`], what lists need of them [N, 10], and the tiles about each [N, 4]. Inputs and
/// parameters are those of [`crate::device::project::project_map`], and the variance of a pixel's footprint.
pub(super) fn project_map(options: &RaycastOptions, rest: usize) -> Map {
    let name = format!("splat/raycast {:?} {} {rest}", options.kernel, options.sh_degree);
    Map::cached(&name, |m| define(m, options, rest))
}

/// log₂ of the optical depth that a Gaussian has along a ray through its mean, per standard deviation along the ray.
///
/// Its opacity o is what such a ray loses that is as wide as rays of all directions are in the mean (of 1/width²):
/// e^−depth = 1 − o.
fn level(logit: Expr, log_scales: [Expr; 3]) -> Expr {
    let least = log_scales[0].min(log_scales[1]).min(log_scales[2]);
    let squares = log_scales.map(|s| (2.0 * (least - s)).exp());
    let typical = least - 0.5 * ((squares[0] + squares[1] + squares[2]) / 3.0).ln();
    let faint = logit.less(-10.0);
    let depth = faint.select(0.0, logit).softplus();
    (faint.select(logit, depth.ln()) - typical) * std::f64::consts::LOG2_E
}

fn define(m: &mut Builder, options: &RaycastOptions, rest: usize) {
    let (raw_mean, raw_scale) = (m.item::<3>("means"), m.item::<3>("log_scales"));
    let (raw_q, [raw_logit], raw_dc) = (m.item::<4>("rotations"), m.item("opacity_logits"), m.item::<3>("dc"));
    let raw_rest = others(m, rest);
    let (pose, [fx, fy, cx, cy]) = (m.uniform::<12>("viewmat"), m.uniform::<4>("intrinsics"));
    let [width, height, near, least, footprint] = std::array::from_fn(|_| m.param());
    let all = raw_mean.iter().chain(&raw_scale).chain(&raw_q).chain([&raw_logit]).chain(&raw_dc).chain(&raw_rest);
    let mut visible = Expr::from(0.0).less(1.0);
    for x in all {
        visible = visible.and(x.abs().less(1e30));
    }
    let (mean, logit, dc) = (raw_mean.map(finite), finite(raw_logit), raw_dc.map(finite));
    let log_scale = raw_scale.map(|s| finite(s).clamp(SCALES.0, SCALES.1));
    let scale = log_scale.map(Expr::exp);
    let line = |r: usize| [pose[4 * r], pose[4 * r + 1], pose[4 * r + 2]];
    let turn = [line(0), line(1), line(2)];
    let p: [Expr; 3] = std::array::from_fn(|i| vector::dot(turn[i], mean) + pose[4 * i + 3]);
    let seen = near.less_eq(p[2]);
    let z = seen.select(p[2], 1.0);
    let q: [Expr; 4] = raw_q.map(finite);
    let norm2 = vector::dot(q, q);
    let turned = Expr::from(1e-6).less_eq(norm2);
    visible = visible.and(seen).and(turned);
    let inverse = 1.0 / turned.select(norm2, 1.0).sqrt();
    let world = rotation(q.map(|x| x * inverse), Expr::from(1.0), Expr::from(2.0));
    // Axes as the camera sees them; a row of `shape` has them times their standard deviations, one of `unit` over them.
    let axes: [[Expr; 3]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|k| vector::dot(turn[i], [world[0][k], world[1][k], world[2][k]])));
    let shape: [[Expr; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|k| axes[i][k] * scale[k]));
    let unit: [[Expr; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|k| axes[i][k] / scale[k]));
    // The covariance in the picture, about the ray through the mean.
    let row =
        |k: usize, f: Expr| -> [Expr; 3] { std::array::from_fn(|c| f / z * (shape[k][c] - p[k] / z * shape[2][c])) };
    let (u, v) = (row(0, fx), row(1, fy));
    let raw = [vector::dot(u, u), vector::dot(u, v), vector::dot(v, v)];
    let cov = [raw[0] + footprint, raw[1], raw[2] + footprint];
    let determinant = cov[0] * cov[2] - cov[1] * cov[1];
    let good = Expr::from(0.0).less(determinant).and(determinant.less(1e36));
    visible = visible.and(good);
    let det = good.select(determinant, 1.0);
    // The mean from the eye, in standard deviations, and steps of a pixel.
    let d: [Expr; 3] = std::array::from_fn(|k| p[0] * unit[0][k] + p[1] * unit[1][k] + p[2] * unit[2][k]);
    let square = vector::dot(d, d);
    let apart = Expr::from(1e-20).less(square);
    visible = visible.and(apart);
    let square = apart.select(square, 1.0);
    let slope = [vector::dot(d, unit[0]) * z / (fx * square), vector::dot(d, unit[1]) * z / (fy * square)];
    let wide = z / square.sqrt();
    let mut level = level(logit, log_scale) + wide.ln() * std::f64::consts::LOG2_E;
    if options.kernel == Kernel::Mip {
        let ratio = (raw[0] * raw[2] - raw[1] * raw[1]) / det;
        level = level + ratio.max(MIN_RATIO).ln() * (0.5 * std::f64::consts::LOG2_E);
    }
    let reach = level - least.ln() * std::f64::consts::LOG2_E;
    visible = visible.and(Expr::from(0.0).less_eq(reach));
    let centre = [fx * p[0] / z + cx, fy * p[1] / z + cy];
    let to_mean: [Expr; 3] = std::array::from_fn(|k| vector::dot([turn[0][k], turn[1][k], turn[2][k]], p));
    let colour = colours(options.sh_degree, to_mean, dc, &raw_rest);
    let large =
        [centre[0].abs(), centre[1].abs(), colour[0], colour[1], colour[2], z, wide, slope[0].abs(), slope[1].abs()];
    visible = visible.and(large.into_iter().fold(Expr::from(0.0), |m, x| m.max(x)).less(1e15));
    let show = |x: Expr, hidden: f64| visible.select(x, hidden);
    // What is seen is where p ≤ r q: an ellipse about `offset`, where all of it is before the camera.
    let r = reach.max(0.0) * (2.0 * std::f64::consts::LN_2);
    let rest = 1.0 - r / square;
    let before = Expr::from(1e-3).less(rest);
    let rest = before.select(rest, 1.0);
    let across: [Expr; 2] =
        [(cov[0] * slope[0] + cov[1] * slope[1]) / rest, (cov[1] * slope[0] + cov[2] * slope[1]) / rest];
    let tilt = r * (slope[0] * across[0] + slope[1] * across[1]);
    let whole = before.and(tilt.less(1.0 - 1e-3));
    let open = whole.select(1.0 - tilt, 1.0);
    let offset = across.map(|h| r * h / open);
    let half: [Expr; 2] =
        std::array::from_fn(|k| (r / open * (cov[2 * k] / rest + r * across[k].square() / open)).max(0.0).sqrt());
    // k is within 1 / (1 ∓ √tilt).
    let root = whole.select(tilt.max(0.0), 0.0).sqrt();
    let nearest = z * rest * (1.0 - root) - wide * REACH * (1.0 + root);
    let nearest = whole.select(nearest * 0.999, near).max(near);
    let farthest = whole.select((z + wide * REACH) * (1.0 + root) * 1.001, 1e30);
    let log2e = std::f64::consts::LOG2_E;
    let rows = [
        show(centre[0], 0.0),
        show(centre[1], 0.0),
        show(cov[2] / det * (-0.5 * log2e), -1.0),
        show(cov[1] / det * log2e, 0.0),
        show(cov[0] / det * (-0.5 * log2e), -1.0),
        show(level, -100.0),
        show(colour[0], 0.0),
        show(colour[1], 0.0),
        show(colour[2], 0.0),
        show(z, 1.0),
        show(wide, 1.0),
        show(slope[0], 0.0),
        show(slope[1], 0.0),
        show(nearest, NOWHERE),
        show(farthest, 0.0),
    ];
    debug_assert_eq!(rows.len(), ROW);
    m.output("rays", &rows);
    // (1 − r/n²) p − r (k² − …): lists cut rows of tiles to it.
    let outer = |a: Expr, b: Expr, along: Expr| whole.select(r * a * b - rest * along, 0.0);
    let limit = (2.0 * std::f64::consts::LN_2).recip();
    let (xx, xy, yy) = (
        outer(slope[0], slope[0], cov[2] / det),
        outer(slope[0], slope[1], -(cov[1] / det)),
        outer(slope[1], slope[1], cov[0] / det),
    );
    m.output(
        "outlines",
        &[
            show(centre[0] + offset[0], 0.0),
            show(centre[1] + offset[1], 0.0),
            show(xx * limit, -1.0),
            show(xy * (2.0 * limit), 0.0),
            show(yy * limit, -1.0),
            show(least.ln() * log2e + r / open * limit, -100.0),
            Expr::from(0.0),
            Expr::from(0.0),
            Expr::from(0.0),
            show(nearest, NOWHERE),
        ],
    );
    let tiles = |k: usize, size: Expr| {
        let (middle, half) = (centre[k] + offset[k], half[k] * 1.001 + 0.625);
        let first = whole.select(((middle - half).floor() + 1.0).max(0.0).min(size), 0.0);
        let last = whole.select((middle + half).floor().max(0.0).min(size), size);
        let tile = ((first + 0.5) / 16.0).floor();
        let end = ((last + 15.5) / 16.0).floor();
        (tile, first.less(last).select(end - tile, 0.0))
    };
    let ((x, columns), (y, lines)) = (tiles(0, width), tiles(1, height));
    m.output("boxes", &[show(x, 0.0), show(y, 0.0), show(columns, 0.0), show(lines, 0.0)]);
}

/// Lengths of the directions (x, y, 1) of a picture's rays, [H·W, 1].
pub(super) fn lengths_map() -> Map {
    Map::cached("splat/ray lengths", |m| {
        let [fx, fy, cx, cy] = m.uniform::<4>("intrinsics");
        let width = m.int_param();
        let y = m.index().quotient(width);
        let x = m.index() - y * width;
        let along = |k: lumigrad_core::map::IntExpr, f: Expr, c: Expr| (k.to_real() + 0.5 - c) / f;
        m.output("lengths", &[(1.0 + along(x, fx, cx).square() + along(y, fy, cy).square()).sqrt()]);
    })
}
