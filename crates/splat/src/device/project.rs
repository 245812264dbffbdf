//! Projection as a map: the same formulas on both devices, with both modes of derivatives.

use super::shutter::{Lines, Moment, Seen};
use crate::project::{MIN_RATIO, rotation};
use crate::{Kernel, Projection, sh};
use lumigrad_core::Map;
use lumigrad_core::map::{Builder, Expr, vector};

/// Numbers of a splat: mean, quadratic form, log₂ of the opacity, red, green, blue, depth.
pub const SPLAT: usize = 10;
/// Depth of what is not seen: it is sorted behind everything.
pub(crate) const NOWHERE: f64 = 3e38;

/// Splats [N, 10] and the tiles that they may touch [N, 4] (first column and row, columns, rows).
///
/// Inputs: means [N, 3], log scales [N, 3], rotations [N, 4], logits of opacities [N, 1], constant colours [N, 3], the
/// other harmonics [N, `rest`] where there are any, the view matrix [1, 12] and intrinsics [1, 4], and the motion [1, 6] of a
/// camera that reads out `lines`. Parameters: columns and rows of the picture, near plane, least alpha. `sh_degree` is the
/// highest that is used.
pub fn project_map(
    kernel: Kernel,
    (projection, lines): (Projection, Option<Lines>),
    sh_degree: usize,
    rest: usize,
) -> Map {
    let name = format!("splat/project {kernel:?} {projection:?} {lines:?} {sh_degree} {rest}");
    Map::cached(&name, |m| define(m, kernel, (projection, lines), sh_degree, rest))
}

/// The `rest` harmonics but the constant one.
pub(crate) fn others(m: &mut Builder, rest: usize) -> Vec<Expr> {
    match rest {
        0 => vec![],
        9 => m.item::<9>("rest").to_vec(),
        24 => m.item::<24>("rest").to_vec(),
        45 => m.item::<45>("rest").to_vec(),
        _ => m.item::<72>("rest").to_vec(),
    }
}

/// Colours in a direction of any length, from the constant harmonic and the others, where there are any.
pub(crate) fn colours(sh_degree: usize, to_mean: [Expr; 3], dc: [Expr; 3], rest: &[Expr]) -> [Expr; 3] {
    let sh_degree = if rest.is_empty() { 0 } else { sh_degree };
    let length = vector::dot(to_mean, to_mean).max(1e-30).sqrt();
    let basis = sh::basis(sh_degree, to_mean.map(|x| x / length), Expr::from);
    std::array::from_fn(|ch| {
        let mut sum = 0.5 + basis[0].v * dc[ch];
        for b in 1..(sh_degree + 1).pow(2) {
            sum = sum + basis[b].v * finite(rest[3 * (b - 1) + ch]);
        }
        sum.max(0.0)
    })
}

/// What is finite, else zero.
pub(crate) fn finite(x: Expr) -> Expr {
    x.abs().less(1e30).select(x, 0.0)
}

fn define(
    m: &mut Builder,
    kernel: Kernel,
    (projection, lines): (Projection, Option<Lines>),
    sh_degree: usize,
    rest: usize,
) {
    let parallel = projection == Projection::Orthographic;
    let (raw_mean, raw_scale) = (m.item::<3>("means"), m.item::<3>("log_scales"));
    let (raw_q, [raw_logit], raw_dc) = (m.item::<4>("rotations"), m.item("opacity_logits"), m.item::<3>("dc"));
    let raw_rest = others(m, rest);
    let (pose, [fx, fy, cx, cy]) = (m.uniform::<12>("viewmat"), m.uniform::<4>("intrinsics"));
    let [width, height, near, alpha_min] = std::array::from_fn(|_| m.param());
    let all = raw_mean.iter().chain(&raw_scale).chain(&raw_q).chain([&raw_logit]).chain(&raw_dc).chain(&raw_rest);
    let mut visible = Expr::from(0.0).less(1.0);
    for x in all {
        visible = visible.and(x.abs().less(1e30));
    }
    let (mean, logit, dc) = (raw_mean.map(finite), finite(raw_logit), raw_dc.map(finite));
    let scale = raw_scale.map(|s| finite(s).clamp(-87.0, 40.0).exp());
    let camera = Seen { mean, pose, intrinsics: [fx, fy, cx, cy], size: [width, height], near, parallel };
    let moment = camera.moment(m, lines);
    let Moment { p, turn, .. } = moment;
    let seen = near.less_eq(p[2]);
    visible = visible.and(seen);
    let z = seen.select(p[2], 1.0);
    let q: [Expr; 4] = raw_q.map(finite);
    let norm2 = vector::dot(q, q);
    let turned = Expr::from(1e-6).less_eq(norm2);
    visible = visible.and(turned);
    let inverse = 1.0 / turned.select(norm2, 1.0).sqrt();
    let world = rotation(q.map(|x| x * inverse), Expr::from(1.0), Expr::from(2.0));
    let column = |m: &[[Expr; 3]; 3], k: usize| [m[0][k], m[1][k], m[2][k]];
    let shape: [[Expr; 3]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|k| vector::dot(turn[i], column(&world, k)) * scale[k]));
    // The Jacobian of the projection, no further out than a little more than the picture.
    let slope = |x: Expr, f: Expr, centre: Expr, size: Expr| {
        let margin = 0.15 * size / f;
        (x / z).max(-centre / f - margin).min((size - centre) / f + margin)
    };
    let (sx, sy) = (slope(p[0], fx, cx, width), slope(p[1], fy, cy, height));
    let line = |f: Expr, k: usize, s: Expr| -> [Expr; 3] {
        let slanted = |c: usize| f / z * (shape[k][c] - s * shape[2][c]);
        std::array::from_fn(|c| if parallel { f * shape[k][c] } else { slanted(c) })
    };
    let [u, v] = moment.sheared(line(fx, 0, sx), line(fy, 1, sy));
    let raw = [vector::dot(u, u), vector::dot(u, v), vector::dot(v, v)];
    let mip = kernel == Kernel::Mip;
    let low_pass = if mip { 0.1 } else { 0.3 };
    let cov = [raw[0] + low_pass, raw[1], raw[2] + low_pass];
    let determinant = cov[0] * cov[2] - cov[1] * cov[1];
    let good = Expr::from(0.0).less(determinant).and(determinant.less(1e36));
    visible = visible.and(good);
    let det = good.select(determinant, 1.0);
    // σ(x) by its logarithm, which is exact for small opacities too.
    let log2e = std::f64::consts::LOG2_E;
    let mut log_opacity = -(-logit).softplus() * log2e;
    if mip {
        let ratio = (raw[0] * raw[2] - raw[1] * raw[1]) / det;
        log_opacity = log_opacity + ratio.max(MIN_RATIO).ln() * (0.5 * log2e);
    }
    let reach = log_opacity - alpha_min.ln() * log2e;
    visible = visible.and(Expr::from(0.0).less_eq(reach));
    let depth = if parallel { Expr::from(1.0) } else { z };
    let centre = [fx * p[0] / depth + cx, fy * p[1] / depth + cy];
    // Where the camera looks from: mean − eye = Qᵀ(Q mean + t); parallel rays go along the axis.
    let to_mean: [Expr; 3] = match parallel {
        true => turn[2],
        false => std::array::from_fn(|k| vector::dot(column(&turn, k), p)),
    };
    let colour = colours(sh_degree, to_mean, dc, &raw_rest);
    let far = centre[0].abs().max(centre[1].abs()).max(colour[0]).max(colour[1]).max(colour[2]).max(z);
    visible = visible.and(far.less(1e18));
    let show = |x: Expr, hidden: f64| visible.select(x, hidden);
    m.output(
        "splats",
        &[
            show(centre[0], 0.0),
            show(centre[1], 0.0),
            show(cov[2] / det * (-0.5 * log2e), -1.0),
            show(cov[1] / det * log2e, 0.0),
            show(cov[0] / det * (-0.5 * log2e), -1.0),
            show(log_opacity, -100.0),
            show(colour[0], 0.0),
            show(colour[1], 0.0),
            show(colour[2], 0.0),
            show(p[2], NOWHERE),
        ],
    );
    // Pixels whose centres may be reached, an eighth more; then tiles.
    let tiles = |centre: Expr, cov: Expr, size: Expr| {
        let half = (reach.max(0.0) * cov * (2.0 * std::f64::consts::LN_2)).sqrt();
        let first = ((centre - half - 0.625).floor() + 1.0).max(0.0).min(size);
        let last = (centre + half + 0.625).floor().max(0.0).min(size);
        let tile = ((first + 0.5) / 16.0).floor();
        let end = ((last + 15.5) / 16.0).floor();
        (tile, first.less(last).select(end - tile, 0.0))
    };
    let ((x, columns), (y, rows)) = (tiles(centre[0], cov[0], width), tiles(centre[1], cov[2], height));
    m.output("boxes", &[show(x, 0.0), show(y, 0.0), show(columns, 0.0), show(rows, 0.0)]);
}
