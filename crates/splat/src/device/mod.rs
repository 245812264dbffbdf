//! Rendering Gaussians on any device, recorded on a tape: derivatives of both modes by Gaussians, pose and intrinsics.

mod bilateral;
mod cameras;
mod composite;
mod features;
pub(crate) mod kernels;
pub(crate) mod lists;
mod lm;
mod median;
mod method;
pub(crate) mod project;
mod robust;
mod room;
mod shot;
mod shutter;
#[cfg(test)]
mod shutter_tests;
mod step;
mod surfels;
#[cfg(test)]
mod tests;
mod trainer;
#[cfg(test)]
mod trainer_tests;

pub use features::{features_vars, normals_vars};
pub use kernels::KERNELS;
pub use lm::LeastSquares;
pub use median::median_depth_vars;
pub use method::MethodTrainer;
pub use robust::DeviceRobustTrainer;
pub use shutter::Lines;
pub use step::Term;
pub use surfels::{PLANES as SURFEL_PLANES, depth_distortion, normal_consistency, surfels_vars};
pub use trainer::DeviceTrainer;

use crate::frame::TILE;
use crate::{Gaussians, Kernel, Projection, View};
use kernels::Params;
use lists::{Lists, lists};
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, DType, Device, Error, Map, Result, Tensor, Var};
use project::project_map;
use room::Room;
use shutter::lines_of;
use std::sync::Arc;

/// Gaussians as arrays that may be recorded; as [`Gaussians`], harmonics split into the constant one and the others.
#[derive(Clone, Debug)]
pub struct GaussianVars {
    /// [N, 3].
    pub means: Var,
    /// [N, 3].
    pub log_scales: Var,
    /// [N, 4], wxyz.
    pub rotations: Var,
    /// [N, 1].
    pub opacity_logits: Var,
    /// [N, 3].
    pub dc: Var,
    /// [N, 3 · ((degree + 1)² − 1)]; none for degree 0.
    pub rest: Option<Var>,
}

impl GaussianVars {
    /// The arrays of some Gaussians on a device, as constants.
    ///
    /// **Errors**: memory.
    pub fn new(gaussians: &Gaussians, device: &Device, dtype: DType) -> Result<Self> {
        let (n, basis) = (gaussians.len(), gaussians.n_basis());
        let host = |data: &[f32], width: usize| -> Result<Var> {
            Ok(Tensor::from_slice(&Device::cpu(), data, &[n, width])?.cast(dtype)?.to_device(device)?.into())
        };
        let column = |range: std::ops::Range<usize>| -> Vec<f32> {
            gaussians.sh.chunks_exact(basis).flat_map(|row| row[range.clone()].iter().flatten().copied()).collect()
        };
        Ok(Self {
            means: host(gaussians.means.as_flattened(), 3)?,
            log_scales: host(gaussians.log_scales.as_flattened(), 3)?,
            rotations: host(gaussians.rotations.as_flattened(), 4)?,
            opacity_logits: host(&gaussians.opacity_logits, 1)?,
            dc: host(&column(0..1), 3)?,
            rest: if basis > 1 { Some(host(&column(1..basis), 3 * (basis - 1))?) } else { None },
        })
    }

    /// All arrays in order.
    pub fn all(&self) -> Vec<&Var> {
        let five = [&self.means, &self.log_scales, &self.rotations, &self.opacity_logits, &self.dc];
        five.into_iter().chain(&self.rest).collect()
    }

    /// The arrays in the order of [`GaussianVars::all`].
    pub fn from_all(mut all: Vec<Var>) -> Self {
        let rest = (all.len() > 5).then(|| all.remove(5));
        let mut all = all.into_iter();
        let mut next = || all.next().expect("five arrays");
        Self { means: next(), log_scales: next(), rotations: next(), opacity_logits: next(), dc: next(), rest }
    }

    /// As [`Gaussians::smoothed`], by sizes [N, 1]; derivatives of both modes flow to scales, opacities and sizes.
    ///
    /// **Errors**: shapes that do not fit.
    pub fn smoothed(&self, sizes: &Var) -> Result<Self> {
        let map = Map::cached("splat/smooth", |m| {
            let (logs, [logit], [size]) = (m.item::<3>("log_scales"), m.item("opacity_logits"), m.item("sizes"));
            let wider = logs.map(|log| 0.5 * ((2.0 * log.clamp(-80.0, 40.0)).exp() + size * size).ln());
            m.output("log_scales", &wider);
            let log_share = [0, 1, 2].map(|k| logs[k].clamp(-80.0, 40.0) - wider[k]);
            let log_share = (log_share[0] + log_share[1] + log_share[2]).min(0.0).max(-60.0);
            // The logit of a share of σ(x).
            let rest = (1.0 - log_share.exp()) * logit.min(80.0).exp();
            m.output("opacity_logits", &[log_share + logit - (1.0 + rest).ln()]);
        });
        let mut found = map.apply_with(&[&self.log_scales, &self.opacity_logits, sizes], CallParams::default())?;
        let (opacity_logits, log_scales) = (found.remove(1), found.remove(0));
        Ok(Self { log_scales, opacity_logits, ..self.clone() })
    }

    /// The Gaussians on the host.
    ///
    /// **Errors**: those of the device.
    pub fn gaussians(&self, kernel: Kernel) -> Result<Gaussians> {
        let host = |v: &Var| v.tensor().to_vec::<f32>();
        let dc = host(&self.dc)?;
        let rest = self.rest.as_ref().map(host).transpose()?.unwrap_or_default();
        let n = dc.len() / 3;
        let bands = if n == 0 { 0 } else { rest.len() / (3 * n) };
        let sh = (0..n).flat_map(|i| {
            let first = [dc[3 * i], dc[3 * i + 1], dc[3 * i + 2]];
            std::iter::once(first).chain(rest[3 * bands * i..3 * bands * (i + 1)].as_chunks::<3>().0.iter().copied())
        });
        Ok(Gaussians {
            means: host(&self.means)?.as_chunks::<3>().0.to_vec(),
            log_scales: host(&self.log_scales)?.as_chunks::<3>().0.to_vec(),
            rotations: host(&self.rotations)?.as_chunks::<4>().0.to_vec(),
            opacity_logits: host(&self.opacity_logits)?,
            sh: sh.collect(),
            sh_degree: ((bands + 1) as f64).sqrt().round() as usize - 1,
            kernel,
        })
    }
}

/// A camera on a device.
#[derive(Clone, Debug)]
pub struct CameraVars {
    /// The upper three rows of world → camera, [1, 12].
    pub viewmat: Var,
    /// `[fx, fy, cx, cy]`, [1, 4].
    pub intrinsics: Var,
    /// Columns and rows.
    pub size: [usize; 2],
    /// Near plane.
    pub near: f64,
    /// Perspective or orthographic.
    pub projection: Projection,
    /// Of a rolling shutter: what is read out line by line, and the motion meanwhile [1, 6], as in [`crate::Shutter`].
    pub shutter: Option<(Lines, Var)>,
}

impl CameraVars {
    /// A constant camera.
    ///
    /// **Errors**: memory.
    pub fn new(view: &View, device: &Device, dtype: DType) -> Result<Self> {
        let host = |data: &[f32]| -> Result<Var> {
            Ok(Tensor::from_slice(&Device::cpu(), data, &[1, data.len()])?.cast(dtype)?.to_device(device)?.into())
        };
        let (viewmat, intrinsics) = (host(view.viewmat[..3].as_flattened())?, host(&view.intrinsics)?);
        let moving = view.shutter.motion().map(|(lines, motion)| Ok((lines, host(&motion)?)));
        let (size, shutter) = ([view.width, view.height], moving.transpose()?);
        Ok(Self { viewmat, intrinsics, size, near: 0.01, projection: view.projection, shutter })
    }
}

/// How Gaussians are rendered on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceOptions {
    /// Kernel.
    pub kernel: Kernel,
    /// Highest degree of the harmonics that is used.
    pub sh_degree: usize,
    /// Alphas below this are not drawn: 1/255, less where derivatives are checked by differences.
    pub alpha_min: f64,
}

/// The picture [H, W, 5]: red, green, blue and depth, each summed with its weights, and the transmittance behind all.
///
/// Of a rolling shutter every Gaussian is seen at the time at which its mean is read out, and what is about the mean at times
/// that change linearly with the place in the picture: exact to first order in the Gaussian's size, as the projection is. Depths
/// are those at that time.
///
/// **Gradients** of both modes flow to Gaussians, view matrix, intrinsics and the motion of a rolling shutter; none flows
/// through which pixels a Gaussian reaches, nor through the order. Surfels are those of [`surfels_vars`]. **Errors**: shapes that do not fit.
/// **Determinism**: the same bits from run to run on both devices. **Cost**: two sorts of the splats and their tiles; the number of entries is read back.
/// **Source**: Kerbl et al. 2023; one writer for each sum, as `crate::render`.
pub fn render_vars(gaussians: &GaussianVars, camera: &CameraVars, options: &DeviceOptions) -> Result<Var> {
    if options.kernel == Kernel::Surfel {
        return surfel_picture(&surfels_vars(gaussians, camera, options)?);
    }
    listed(gaussians, camera, options, None)?.composite(None)?.reshape(&[camera.size[1], camera.size[0], 5])
}

/// Colours [N, 3] of a picture of [`render_vars`], of N pixels, over a background.
///
/// **Gradients** of both modes flow to the picture. **Errors**: another shape.
pub fn over(picture: &Var, background: [f32; 3]) -> Result<Var> {
    let map = Map::cached("splat/over", |m| {
        let [r, g, b, _, left] = m.item("picture");
        let [x, y, z] = std::array::from_fn(|_| m.param());
        m.output("colour", &[r + left * x, g + left * y, b + left * z]);
    });
    let call = CallParams { items: 0, real: background.map(f64::from).to_vec(), int: vec![] };
    Ok(map.apply_with(&[picture], call)?.remove(0))
}

/// Red, green, blue, depth and transmittance of a picture of surfels.
fn surfel_picture(picture: &Var) -> Result<Var> {
    concat(&[&picture.slice(2, 0, 4)?, &picture.slice(2, 9, 10)?], 2)
}

/// Splats of a camera, and the tiles that draw them.
#[derive(Clone)]
struct Listed {
    /// [N, 10].
    splats: Var,
    lists: Arc<Lists>,
    params: Params,
}

fn listed(
    gaussians: &GaussianVars,
    camera: &CameraVars,
    options: &DeviceOptions,
    room: Option<&Room>,
) -> Result<Listed> {
    if options.kernel == Kernel::Surfel {
        let reason = "surfels (2DGS) have no quadratic form in the picture".into();
        let device = gaussians.means.device().to_string();
        return Err(Error::Unsupported { kernel: "splat/project".into(), device, reason });
    }
    let rest = gaussians.rest.as_ref().map_or(0, |r| r.shape()[1]);
    let [width, height] = camera.size;
    let mut inputs = gaussians.all();
    inputs.extend([&camera.viewmat, &camera.intrinsics]);
    let (lines, motion) = lines_of(camera);
    inputs.extend(motion);
    let real = vec![width as f64, height as f64, camera.near, options.alpha_min];
    let map = project_map(options.kernel, (camera.projection, lines), options.sh_degree, rest);
    let mut projected = map.apply_with(&inputs, CallParams { items: 0, real, int: vec![] })?;
    let (boxes, splats) = (projected.remove(1), projected.remove(0));
    let (columns, rows) = (width.div_ceil(TILE) as u32, height.div_ceil(TILE) as u32);
    let least = options.alpha_min.log2() as f32;
    let lists = Arc::new(lists(splats.tensor(), boxes.tensor(), camera.size, least, room)?);
    let (width, height) = (width as u32, height as u32);
    let params = Params { width, height, columns, tiles: columns * rows, least, unused: [0; 3] };
    Ok(Listed { splats, lists, params })
}
