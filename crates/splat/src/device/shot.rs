//! Training pictures on a device.

use super::CameraVars;
use super::trainer::core;
use crate::{Error, TrainingPicture};
use lumigrad_core::{DType, Device, Tensor};

type Result<T> = std::result::Result<T, Error>;

/// A picture on the device.
pub(super) struct Shot {
    pub camera: CameraVars,
    /// Straight RGBA [H, W, 4].
    pub rgba: Tensor,
    /// Weights [H, W, 1].
    pub mask: Option<Tensor>,
    /// Depths [H·W, 1], and how many of them are known.
    pub depth: Option<(Tensor, usize)>,
    /// Normals [H·W, 3], zeros where unknown, and how many of them are known.
    pub normals: Option<(Tensor, usize)>,
}

impl Shot {
    /// Takes a picture to a device.
    ///
    /// **Errors**: memory.
    pub fn new(picture: &TrainingPicture, device: &Device) -> Result<Self> {
        let (width, height) = (picture.view.width, picture.view.height);
        let alpha = |i: usize| picture.alpha.get(i).copied().unwrap_or(1.0);
        let rgba: Vec<f32> =
            picture.colour.iter().enumerate().flat_map(|(i, c)| [c[0], c[1], c[2], alpha(i)]).collect();
        let weights: Vec<f32> = picture.mask.iter().map(|&m| if m > 0.5 { 1.0 } else { 0.0 }).collect();
        let mask = match weights.is_empty() {
            true => None,
            false => Some(Tensor::from_slice(device, &weights, &[height, width, 1]).map_err(core)?),
        };
        let known = picture.depth.iter().filter(|d| **d > 0.0).count();
        let depth = match known {
            0 => None,
            _ => Some((Tensor::from_slice(device, &picture.depth, &[height * width, 1]).map_err(core)?, known)),
        };
        let known = picture.normals.iter().filter(|n| **n != [0.0; 3]).count();
        let shape = [height * width, 3];
        let normals = match known {
            0 => None,
            _ => Some((Tensor::from_slice(device, picture.normals.as_flattened(), &shape).map_err(core)?, known)),
        };
        Ok(Self {
            camera: CameraVars::new(&picture.view, device, DType::F32).map_err(core)?,
            rgba: Tensor::from_slice(device, &rgba, &[height * width, 4]).map_err(core)?,
            mask,
            depth,
            normals,
        })
    }
}
