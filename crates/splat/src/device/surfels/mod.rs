//! Surfels (2DGS): flat Gaussians that rays meet in a point, so that depths and normals are those of a surface.
//!
//! Source: Huang et al. 2024, "2D Gaussian Splatting for Geometrically Accurate Radiance Fields".

mod cpu;
pub mod kernels;
mod losses;
#[cfg(test)]
mod tests;

pub use losses::{depth_distortion, normal_consistency};

use super::lists::{Lists, lists as list};
use super::project::{NOWHERE, SPLAT, colours, finite, others};
use super::shutter::{Lines, Moment, Seen, lines_of};
use super::{CameraVars, DeviceOptions, GaussianVars};
use crate::Projection;
use crate::frame::TILE;
use crate::project::rotation;
use kernels::{SurfelComposite, SurfelGradient, SurfelParams, SurfelTangent};
use lumigrad_core::map::{Builder, Expr, vector};
use lumigrad_core::{CallParams, Error, Map, Operator, Result, Tensor, Var, apply};
use std::sync::Arc;

/// Numbers of a surfel: the rows that take (u, v, 1) on it to x z, y z and z in the picture, centre, log₂ of the opacity,
/// red, green, blue, normal.
const ROW: usize = 18;
/// Numbers of a pixel.
pub const PLANES: usize = 10;

/// The picture [H, W, 10] of surfels: red, green, blue, depth, normal (x right, y down, z forward; towards the camera),
/// inverse depth and its square, each summed with its weights, and the transmittance behind all.
///
/// A surfel's weight is that of its Gaussian at the point where the ray meets it, or of a round one of variance ½ px² about
/// its centre where that is more; its depth is that of the point, or of the centre. Of a rolling shutter, depths and normals are
/// those of the camera at the time at which the surfel's centre is read out.
///
/// **Gradients** of both modes flow to Gaussians, view matrix and intrinsics; none to the third scale, and none through which
/// pixels a surfel reaches, the order (of centres), the side that is seen, nor which of the two weights is taken.
/// **Errors**: orthographic cameras; shapes that do not fit. **Determinism**: the same bits from run to run on both devices.
/// **Cost**: as [`super::render_vars`]; pixels are not vectors on the CPU.
pub fn surfels_vars(gaussians: &GaussianVars, camera: &CameraVars, options: &DeviceOptions) -> Result<Var> {
    let [width, height] = camera.size;
    let ListedSurfels { surfels, lists, params } = listed(gaussians, camera, options)?;
    apply(Arc::new(Surfels { lists, params }), &[&surfels])?.remove(0).reshape(&[height, width, PLANES])
}

/// Surfels of a camera, and the tiles that draw them.
pub(super) struct ListedSurfels {
    /// [N, 18].
    pub surfels: Var,
    pub lists: Lists,
    pub params: SurfelParams,
}

/// Projects surfels and lists them.
pub(super) fn listed(gaussians: &GaussianVars, camera: &CameraVars, options: &DeviceOptions) -> Result<ListedSurfels> {
    if camera.projection == Projection::Orthographic {
        let device = gaussians.means.device().to_string();
        let reason = "surfels are drawn by perspective cameras only".into();
        return Err(Error::Unsupported { kernel: "splat/surfels".into(), device, reason });
    }
    let rest = gaussians.rest.as_ref().map_or(0, |r| r.shape()[1]);
    let [width, height] = camera.size;
    let mut inputs = gaussians.all();
    inputs.extend([&camera.viewmat, &camera.intrinsics]);
    let (lines, motion) = lines_of(camera);
    inputs.extend(motion);
    let real = vec![width as f64, height as f64, camera.near, options.alpha_min];
    let name = format!("splat/surfels {lines:?} {} {rest}", options.sh_degree);
    let map = Map::cached(&name, |m| project(m, lines, options.sh_degree, rest));
    let mut projected = map.apply_with(&inputs, CallParams { items: 0, real, int: vec![] })?;
    let (boxes, outlines, surfels) = (projected.remove(2), projected.remove(1), projected.remove(0));
    let (columns, rows) = (width.div_ceil(TILE) as u32, height.div_ceil(TILE) as u32);
    let least = options.alpha_min.log2() as f32;
    let lists = list(outlines.tensor(), boxes.tensor(), camera.size, least, None)?;
    let params = SurfelParams {
        width: width as u32,
        height: height as u32,
        columns,
        tiles: columns * rows,
        least,
        near: camera.near as f32,
        unused: [0; 2],
    };
    Ok(ListedSurfels { surfels, lists, params })
}

/// Surfels [N, 18], what lists need of them [N, 10], and the tiles about each [N, 4]. Inputs and parameters are those of
/// [`super::project::project_map`].
fn project(m: &mut Builder, read_out: Option<Lines>, sh_degree: usize, rest: usize) {
    let (raw_mean, raw_scale) = (m.item::<3>("means"), m.item::<3>("log_scales"));
    let (raw_q, [raw_logit], raw_dc) = (m.item::<4>("rotations"), m.item("opacity_logits"), m.item::<3>("dc"));
    let raw_rest = others(m, rest);
    let (pose, [fx, fy, cx, cy]) = (m.uniform::<12>("viewmat"), m.uniform::<4>("intrinsics"));
    let [width, height, near, alpha_min] = std::array::from_fn(|_| m.param());
    let all = raw_mean.iter().chain(&raw_scale[..2]).chain(&raw_q).chain([&raw_logit]).chain(&raw_dc).chain(&raw_rest);
    let mut visible = Expr::from(0.0).less(1.0);
    for x in all {
        visible = visible.and(x.abs().less(1e30));
    }
    let (mean, logit, dc) = (raw_mean.map(finite), finite(raw_logit), raw_dc.map(finite));
    let scale = raw_scale.map(|s| finite(s).clamp(-40.0, 40.0).exp());
    let camera = Seen { mean, pose, intrinsics: [fx, fy, cx, cy], size: [width, height], near, parallel: false };
    let moment = camera.moment(m, read_out);
    let Moment { p, turn, .. } = moment;
    let q: [Expr; 4] = raw_q.map(finite);
    let norm2 = vector::dot(q, q);
    let turned = Expr::from(1e-6).less_eq(norm2);
    let seen = near.less_eq(p[2]).and(turned);
    visible = visible.and(seen);
    let z = near.less_eq(p[2]).select(p[2], 1.0);
    let inverse = 1.0 / turned.select(norm2, 1.0).sqrt();
    let world = rotation(q.map(|x| x * inverse), Expr::from(1.0), Expr::from(2.0));
    let axis = |k: usize| -> [Expr; 3] {
        std::array::from_fn(|i| vector::dot(turn[i], [world[0][k], world[1][k], world[2][k]]))
    };
    let (across, along, normal) = (axis(0).map(|x| x * scale[0]), axis(1).map(|x| x * scale[1]), axis(2));
    // (u, v, 1) on the surfel → x, y and z of the camera → the picture, before the division by z.
    let w = [across[2], along[2], p[2]];
    let line = |k: usize, f: Expr, c: Expr| -> [Expr; 3] {
        let own = [across[k], along[k], p[k]];
        std::array::from_fn(|i| f * own[i] + c * w[i])
    };
    let centre = [fx * p[0] / z + cx, fy * p[1] / z + cy];
    // Displacements from the centre are what a rolling shutter shears.
    let off = |line: [Expr; 3], c: Expr, sign: f64| -> [Expr; 3] { std::array::from_fn(|i| line[i] + sign * c * w[i]) };
    let [a, b] = match read_out {
        None => [line(0, fx, cx), line(1, fy, cy)],
        Some(_) => {
            let [a, b] = [off(line(0, fx, cx), centre[0], -1.0), off(line(1, fy, cy), centre[1], -1.0)];
            let [a, b] = moment.sheared(a, b);
            [off(a, centre[0], 1.0), off(b, centre[1], 1.0)]
        }
    };
    let log2e = std::f64::consts::LOG2_E;
    let log_opacity = -(-logit).softplus() * log2e;
    let reach = log_opacity - alpha_min.ln() * log2e;
    visible = visible.and(Expr::from(0.0).less_eq(reach));
    let colour =
        colours(sh_degree, [0, 1, 2].map(|k| vector::dot([turn[0][k], turn[1][k], turn[2][k]], p)), dc, &raw_rest);
    let away = Expr::from(0.0).less(vector::dot(normal, p)).select(-1.0, 1.0);
    let far = [centre[0], centre[1], colour[0], colour[1], colour[2], z, scale[0], scale[1]];
    visible = visible.and(far.into_iter().fold(Expr::from(0.0), |m, x| m.max(x.abs())).less(1e15));
    let show = |x: Expr, hidden: f64| visible.select(x, hidden);
    let mut surfel: Vec<Expr> = a.into_iter().chain(b).chain(w).chain(centre).map(|x| show(x, 0.0)).collect();
    surfel.push(show(log_opacity, -100.0));
    surfel.extend(colour.into_iter().chain(normal.map(|x| x * away)).map(|x| show(x, 0.0)));
    m.output("surfels", &surfel);
    // No quadratic form: the whole box is listed.
    let mut outline = vec![show(centre[0], 0.0), show(centre[1], 0.0), Expr::from(-1.0)];
    outline.extend([Expr::from(0.0); 2]);
    outline.push(show(log_opacity, -100.0));
    outline.extend([Expr::from(0.0); 3]);
    outline.push(show(p[2], NOWHERE));
    debug_assert_eq!(outline.len(), SPLAT);
    m.output("outlines", &outline);
    // The disc of radius r in units of the scales outside of which nothing is drawn: the box of its outline in the picture,
    // where all of it is in front of the camera.
    let r2 = reach.max(0.0) * (2.0 * std::f64::consts::LN_2);
    let bend = r2 * (w[0] * w[0] + w[1] * w[1]) - w[2] * w[2];
    let whole = bend.less(-1e-3 * w[2] * w[2]);
    let bend = whole.select(bend, -1.0);
    let tiles = |own: [Expr; 3], centre: Expr, size: Expr| {
        let middle = (r2 * (own[0] * w[0] + own[1] * w[1]) - own[2] * w[2]) / bend;
        let square = middle * middle - (r2 * (own[0] * own[0] + own[1] * own[1]) - own[2] * own[2]) / bend;
        // A little more, for rounding.
        let half = square.max(0.0).sqrt() * 1.001 + 0.625;
        let round = (0.5 * r2).sqrt() + 0.625;
        let low = whole.select((middle - half).min(centre - round), 0.0);
        let high = whole.select((middle + half).max(centre + round), size);
        let first = (low.floor() + 1.0).max(0.0).min(size);
        let first = whole.select(first, 0.0);
        let last = high.floor().max(0.0).min(size);
        let tile = ((first + 0.5) / 16.0).floor();
        let end = ((last + 15.5) / 16.0).floor();
        (tile, first.less(last).select(end - tile, 0.0))
    };
    let ((x, columns), (y, rows)) = (tiles(a, centre[0], width), tiles(b, centre[1], height));
    m.output("boxes", &[show(x, 0.0), show(y, 0.0), show(columns, 0.0), show(rows, 0.0)]);
}

/// Surfels [N, 18] → picture [H·W, 10].
struct Surfels {
    lists: Lists,
    params: SurfelParams,
}

impl Surfels {
    fn picture(&self, like: &Tensor) -> Result<Tensor> {
        Tensor::uninit(like.device(), like.dtype(), &[(self.params.width * self.params.height) as usize, PLANES])
    }
}

impl Operator for Surfels {
    fn name(&self) -> &str {
        "splat/surfels"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut picture = self.picture(&inputs[0])?;
        let Lists { ids, starts, .. } = &self.lists;
        SurfelComposite { surfels: &inputs[0], ids, starts, picture: &mut picture }
            .launch(&self.params, self.params.tiles as usize)?;
        Ok(vec![picture])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(grads) = &cotangents[0] else { return Ok(vec![None]) };
        let Lists { ids, starts, slots, offsets, order, entries } = &self.lists;
        let surfels = &inputs[0];
        let mut parts = Tensor::zeros(surfels.device(), surfels.dtype(), &[(*entries).max(1), ROW])?;
        SurfelGradient { surfels, ids, starts, slots, picture: &outputs[0], grads, parts: &mut parts }
            .launch(&self.params, self.params.tiles as usize)?;
        let by_rank = Var::from(parts).segment_sum(offsets)?;
        let map = Map::cached("splat/surfels by rank", |m| {
            let (sums, [surfel]) = (m.item::<ROW>("sums"), m.item_int("order"));
            let surfels = m.table::<ROW>("surfels");
            m.scatter("gradient", surfels, &[(surfel, sums)]);
        });
        Ok(vec![Some(map.run(&[by_rank.tensor(), order, surfels], &CallParams::default())?.remove(0))])
    }

    fn jvp(&self, inputs: &[Tensor], _outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let Some(tangents) = &tangents[0] else { return Ok(vec![None]) };
        let mut change = self.picture(&inputs[0])?;
        let Lists { ids, starts, .. } = &self.lists;
        SurfelTangent { surfels: &inputs[0], ids, starts, tangents, change: &mut change }
            .launch(&self.params, self.params.tiles as usize)?;
        Ok(vec![Some(change)])
    }
}
