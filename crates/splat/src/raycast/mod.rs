//! Ray casting of Gaussians (RayGauss): densities that light fades in, without an order of primitives and so without popping.
//!
//! The density at a point is Σ σₗ Gₗ, its colour the mean of the Gaussians' colours, weighted by their densities. Each
//! Gaussian is one along a ray too, of a middle, width and optical depth that are known in closed form (`blob::Blob`). Depth is
//! cut into intervals that do not depend on what is seen (`profile::Grid`); a Gaussian adds to each the part of its optical
//! depth that is in it (`profile::before`), in any order, and light fades from interval to interval. What is left of the light
//! is exact for intervals of any length; that colours are mixed within one is an error of second order.
//!
//! Source: Blanc et al. 2025, "RayGauss: Volumetric Gaussian-Based Ray Casting for Photorealistic Novel View Synthesis". There
//! densities are sampled; here they are integrated. Colours are those in the direction of the mean, as in splatting.

pub(crate) mod blob;
mod cpu;
pub(crate) mod host;
pub(crate) mod kernels;
pub(crate) mod march;
pub(crate) mod profile;
mod project;
mod tangent;
#[cfg(test)]
mod tests;

use crate::device::lists::{Lists, lists};
use crate::device::{CameraVars, GaussianVars};
use crate::frame::TILE;
use crate::{Kernel, Projection, View};
use blob::ROW;
use kernels::{RayComposite, RayGradient, RayParams, RayTangent};
use lumigrad_core::{CallParams, Error, Map, Operator, Result, Tensor, Var, apply};
use std::sync::Arc;

/// Numbers of a pixel.
const PLANES: usize = 5;

/// How Gaussians are ray cast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaycastOptions {
    /// Classic, or mip: with compensation of the footprint's optical depth.
    pub kernel: Kernel,
    /// Highest degree of the harmonics that is used.
    pub sh_degree: usize,
    /// ε: a Gaussian has ended where its optical depth τ along a ray falls to it; before, it counts as τ − ε²/τ, so that
    /// pictures have no steps there, which would flicker when cameras move.
    pub depth_min: f64,
    /// log₂ of the number of intervals in an octave of depths, at most 12.
    pub bits: u32,
    /// Variance, in pixels², of the footprint that Gaussians are widened by in the picture.
    pub footprint: f64,
}

impl RaycastOptions {
    /// Those that trainers and renderers take.
    pub fn new(kernel: Kernel, sh_degree: usize) -> Self {
        Self { kernel, sh_degree, depth_min: DEPTH_MIN, bits: BITS, footprint: FOOTPRINT }
    }
}

/// What [`RaycastOptions::new`] takes.
pub(crate) const DEPTH_MIN: f64 = 0.02;
pub(crate) const BITS: u32 = 6;
/// Of a square.
pub(crate) const FOOTPRINT: f64 = 1.0 / 12.0;

/// Why rays cannot be cast.
fn refusal(kernel: Kernel, projection: Projection) -> Option<&'static str> {
    match (kernel, projection) {
        (_, Projection::Orthographic) => Some("rays are cast by perspective cameras only; splat"),
        (Kernel::Surfel, _) => {
            Some("surfels (2DGS) have no density to cast rays through; choose the classic or mip kernel")
        }
        _ => None,
    }
}

/// Why rays of moving cameras are not cast.
const MOVING: &str = "cameras with a rolling shutter see splats only; render by splatting";

/// Whether rays of a view can be cast.
pub(crate) fn check(kernel: Kernel, view: &View) -> std::result::Result<(), crate::Error> {
    let refused = |reason: &str| Err(crate::Error::Rays { message: reason.into() });
    if view.shutter != crate::Shutter::Global {
        return refused(MOVING);
    }
    refusal(kernel, view.projection).map_or(Ok(()), refused)
}

/// The ray cast picture [H, W, 5]: red, green, blue and depth (of the middles of intervals), each summed with its weights, and
/// the transmittance behind all.
///
/// A Gaussian of the opacity o takes the part o of the light of a ray through its mean that meets it as wide as rays of all
/// directions do in the mean (of 1/width²). Light before the near plane does not fade, nor where less than 10⁻⁴ is left.
///
/// **Gradients** of both modes flow to Gaussians, view matrix and intrinsics, exact for the picture as it is drawn; none through
/// which rays meet a Gaussian, nor through where they end. **Errors**: orthographic cameras and rolling
/// shutters; surfels; shapes that do not fit.
/// **Determinism**: the same bits from run to run on both devices. **Cost**: as [`crate::device::render_vars`], and per ray and Gaussian
/// about five intervals.
pub fn raycast_vars(gaussians: &GaussianVars, camera: &CameraVars, options: &RaycastOptions) -> Result<Var> {
    let refused = camera.shutter.as_ref().map(|_| MOVING).or(refusal(options.kernel, camera.projection));
    if let Some(reason) = refused {
        let device = gaussians.means.device().to_string();
        return Err(Error::Unsupported { kernel: "splat/raycast".into(), device, reason: reason.into() });
    }
    let rest = gaussians.rest.as_ref().map_or(0, |r| r.shape()[1]);
    let [width, height] = camera.size;
    let mut inputs = gaussians.all();
    inputs.extend([&camera.viewmat, &camera.intrinsics]);
    let real = vec![width as f64, height as f64, camera.near, options.depth_min, options.footprint];
    let mut projected =
        project::project_map(options, rest).apply_with(&inputs, CallParams { items: 0, real, int: vec![] })?;
    let (boxes, outlines, rays) = (projected.remove(2), projected.remove(1), projected.remove(0));
    let call = CallParams { items: width * height, real: vec![], int: vec![width as i32] };
    let lengths = project::lengths_map().apply_with(&[&camera.intrinsics], call)?.remove(0);
    let (columns, lines) = (width.div_ceil(TILE) as u32, height.div_ceil(TILE) as u32);
    let least = options.depth_min.log2() as f32;
    let lists = lists(outlines.tensor(), boxes.tensor(), camera.size, least, None)?;
    let params = RayParams {
        width: width as u32,
        height: height as u32,
        columns,
        tiles: columns * lines,
        least,
        near: camera.near as f32,
        bits: options.bits.min(12),
        unused: 0,
    };
    apply(Arc::new(Raycast { lists, params }), &[&rays, &lengths])?.remove(0).reshape(&[height, width, PLANES])
}

/// Gaussians [N, 15] and lengths of rays [H·W, 1] → picture [H·W, 5].
struct Raycast {
    lists: Lists,
    params: RayParams,
}

impl Raycast {
    fn pixels(&self, like: &Tensor, width: usize) -> Result<Tensor> {
        Tensor::uninit(like.device(), like.dtype(), &[(self.params.width * self.params.height) as usize, width])
    }
}

impl Operator for Raycast {
    fn name(&self) -> &str {
        "splat/raycast"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut picture = self.pixels(&inputs[0], PLANES)?;
        let Lists { ids, starts, .. } = &self.lists;
        RayComposite { rays: &inputs[0], lengths: &inputs[1], ids, starts, picture: &mut picture }
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
        let Some(grads) = &cotangents[0] else { return Ok(vec![None, None]) };
        let Lists { ids, starts, slots, offsets, order, entries } = &self.lists;
        let rays = &inputs[0];
        let products = Map::cached("splat/ray products", |m| {
            let ([length], picture, by) = (m.item("lengths"), m.item::<PLANES>("picture"), m.item::<PLANES>("grads"));
            m.output("pixels", &[length, lumigrad_core::map::vector::dot(picture, by)]);
        });
        let pixels = products.run(&[&inputs[1], &outputs[0], grads], &CallParams::default())?.remove(0);
        let mut parts = Tensor::zeros(rays.device(), rays.dtype(), &[(*entries).max(1), ROW])?;
        let mut by_lengths = self.pixels(rays, 1)?;
        let (parts_out, by_out) = (&mut parts, &mut by_lengths);
        RayGradient { rays, pixels: &pixels, ids, starts, slots, grads, parts: parts_out, by_lengths: by_out }
            .launch(&self.params, self.params.tiles as usize)?;
        let by_rank = Var::from(parts).segment_sum(offsets)?;
        let map = Map::cached("splat/rays by rank", |m| {
            let (sums, [blob]) = (m.item::<ROW>("sums"), m.item_int("order"));
            let rays = m.table::<ROW>("rays");
            m.scatter("gradient", rays, &[(blob, sums)]);
        });
        let by_rays = map.run(&[by_rank.tensor(), order, rays], &CallParams::default())?.remove(0);
        Ok(vec![Some(by_rays), Some(by_lengths)])
    }

    fn jvp(&self, inputs: &[Tensor], _outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let or_zero = |k: usize| match &tangents[k] {
            Some(t) => Ok(t.clone()),
            None => Tensor::zeros(inputs[k].device(), inputs[k].dtype(), inputs[k].shape()),
        };
        if tangents.iter().all(Option::is_none) {
            return Ok(vec![None]);
        }
        let (by_rays, longer) = (or_zero(0)?, or_zero(1)?);
        let mut change = self.pixels(&inputs[0], PLANES)?;
        let Lists { ids, starts, .. } = &self.lists;
        RayTangent {
            rays: &inputs[0],
            lengths: &inputs[1],
            ids,
            starts,
            tangents: &by_rays,
            length_tangents: &longer,
            change: &mut change,
        }
        .launch(&self.params, self.params.tiles as usize)?;
        Ok(vec![Some(change)])
    }
}
