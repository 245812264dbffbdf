//! Auxiliary pictures of Gaussians on any device: features of any number of channels, and normals.

use super::{CameraVars, DeviceOptions, GaussianVars, Listed, listed};
use crate::Projection;
use crate::project::rotation;
use lumigrad_core::map::{Expr, vector};
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, Error, Map, Result, Tensor, Var};

/// Channels that a pass of compositing adds up.
const CHANNELS: usize = 4;
/// Numbers of a splat before its channels: mean, quadratic form, opacity.
const GEOMETRY: usize = 6;

/// Σ wᵢ fᵢ of features [N, F], [H, W, F]: any numbers in the place of colours, without a background.
///
/// **Gradients** of both modes flow to features, Gaussians and camera, as in [`super::render_vars`], whose errors and
/// determinism these are. **Cost**: a pass of compositing for every four channels.
pub fn features_vars(
    gaussians: &GaussianVars,
    camera: &CameraVars,
    options: &DeviceOptions,
    features: &Var,
) -> Result<Var> {
    let n = gaussians.means.shape()[0];
    let &[rows, _] = features.shape() else {
        return Err(Error::shape("features of Gaussians", features.shape(), format!("[{n}, F]")));
    };
    if rows != n {
        return Err(Error::shape("features of Gaussians", features.shape(), format!("[{n}, F]")));
    }
    features_of(&listed(gaussians, camera, options, None)?, features, camera.size)
}

/// [`features_vars`] of splats that are listed.
fn features_of(drawn: &Listed, features: &Var, [width, height]: [usize; 2]) -> Result<Var> {
    let (n, channels) = (features.shape()[0], features.shape()[1]);
    let geometry = drawn.splats.slice(1, 0, GEOMETRY)?;
    let mut planes = vec![];
    for first in (0..channels).step_by(CHANNELS) {
        let own = features.slice(1, first, channels.min(first + CHANNELS))?;
        let used = own.shape()[1];
        let unused = Tensor::zeros(own.device(), own.dtype(), &[n, CHANNELS - used])?;
        let splats = concat(&[&geometry, &own, &unused.into()], 1)?;
        let picture = Listed { splats, ..drawn.clone() }.composite(None)?;
        planes.push(picture.slice(1, 0, used)?);
    }
    if planes.is_empty() {
        return Ok(Tensor::zeros(features.device(), features.dtype(), &[height, width, 0])?.into());
    }
    concat(&planes.iter().collect::<Vec<_>>(), 1)?.reshape(&[height, width, channels])
}

/// Normals in the camera's axes (x right, y down, z forward), towards the camera, each summed with its weights, [H, W, 3]:
/// their length is at most what covers the pixel. A Gaussian's normal is its shortest axis. Of a rolling shutter the axes are those
/// in the middle of the readout.
///
/// **Gradients** flow to rotations, through the weights to all parameters, and to the camera; none flows through which axis
/// is the shortest.
pub fn normals_vars(gaussians: &GaussianVars, camera: &CameraVars, options: &DeviceOptions) -> Result<Var> {
    normals_of(&listed(gaussians, camera, options, None)?, gaussians, camera)
}

/// [`normals_vars`] of splats that are listed.
pub(super) fn normals_of(drawn: &Listed, gaussians: &GaussianVars, camera: &CameraVars) -> Result<Var> {
    let parallel = camera.projection == Projection::Orthographic;
    let map = Map::cached(&format!("splat/normals {parallel}"), |m| {
        let (mean, scale, q) = (m.item::<3>("means"), m.item::<3>("log_scales"), m.item::<4>("rotations"));
        let pose = m.uniform::<12>("viewmat");
        let norm = vector::dot(q, q).max(1e-12).sqrt();
        let turn = rotation(q.map(|x| x / norm), Expr::from(1.0), Expr::from(2.0));
        let second = scale[1].less(scale[0]);
        let third = scale[2].less(scale[0].min(scale[1]));
        let world = turn.map(|row| third.select(row[2], second.select(row[1], row[0])));
        let row = |r: usize| [pose[4 * r], pose[4 * r + 1], pose[4 * r + 2]];
        let normal: [Expr; 3] = std::array::from_fn(|r| vector::dot(row(r), world));
        let place: [Expr; 3] = std::array::from_fn(|r| vector::dot(row(r), mean) + pose[4 * r + 3]);
        let away = if parallel { normal[2] } else { vector::dot(normal, place) };
        let sign = Expr::from(0.0).less(away).select(-1.0, 1.0);
        m.output("normals", &normal.map(|x| x * sign));
    });
    let inputs = [&gaussians.means, &gaussians.log_scales, &gaussians.rotations, &camera.viewmat];
    let normals = map.apply_with(&inputs, CallParams::default())?.remove(0);
    features_of(drawn, &normals, camera.size)
}
