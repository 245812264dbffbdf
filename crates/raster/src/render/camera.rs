//! Cameras as tensors, and the projection of vertices.

use lumigrad_core::map::{CallParams, Map, vector};
use lumigrad_core::{DType, Device, Result, Tensor, Var};
use lumigrad_scene::camera::{Lens, View};

/// A camera whose pose and intrinsics may be recorded.
#[derive(Clone, Debug)]
pub struct Camera {
    /// World → camera, OpenCV axes, rows of the affine part: [3, 4].
    pub viewmat: Var,
    /// [fx, fy, cx, cy] in pixels (orthographic: pixels per metre).
    pub intrinsics: Var,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Parallel projection.
    pub orthographic: bool,
    /// Nearest visible depth, metres.
    pub near: f64,
    /// Largest visible depth, metres.
    pub far: f64,
}

impl Camera {
    /// A constant camera on a device. Lens distortion is not applied: undistort pictures first.
    pub fn new(view: &View, device: &Device, dtype: DType) -> Result<Self> {
        let rows: Vec<f64> = view.viewmat[..3].iter().flatten().copied().collect();
        let constant = |data: &[f64], shape: &[usize]| -> Result<Var> {
            Ok(match dtype {
                DType::F64 => Tensor::from_slice(device, data, shape)?,
                _ => Tensor::from_slice(device, &data.iter().map(|&x| x as f32).collect::<Vec<_>>(), shape)?,
            }
            .into())
        };
        Ok(Self {
            viewmat: constant(&rows, &[3, 4])?,
            intrinsics: constant(&view.intrinsics, &[4])?,
            width: view.width,
            height: view.height,
            orthographic: matches!(view.lens, Lens::Orthographic),
            near: view.near,
            far: view.far,
        })
    }

    /// Clip-space positions [V, 4] of world positions [V, 3]: x right, y up, z/w from 0 (near) to 1 (far), w = depth
    /// (1 for parallel projection).
    ///
    /// **Gradients** flow to positions, pose and intrinsics.
    pub fn project(&self, positions: &Var) -> Result<Var> {
        let orthographic = self.orthographic;
        let map = Map::cached(&format!("raster/project{}", if orthographic { " orthographic" } else { "" }), |m| {
            let p = m.item::<3>("positions");
            let v = m.uniform::<12>("viewmat");
            let [fx, fy, cx, cy] = m.uniform("intrinsics");
            let (w, h) = (m.param(), m.param());
            let (near, scale) = (m.param(), m.param());
            let [x, y, z]: [_; 3] =
                std::array::from_fn(|r| vector::dot([v[4 * r], v[4 * r + 1], v[4 * r + 2]], p) + v[4 * r + 3]);
            let depth = scale * (z - near);
            if orthographic {
                let (px, py) = (fx * x + cx, fy * y + cy);
                m.output("clip", &[2.0 * px / w - 1.0, 1.0 - 2.0 * py / h, depth, 1.0.into()]);
            } else {
                m.output("clip", &[2.0 * (fx * x + cx * z) / w - z, z - 2.0 * (fy * y + cy * z) / h, depth, z]);
            }
        });
        let range = self.far - self.near;
        let scale = match (self.orthographic, self.far.is_finite()) {
            (true, _) => 1.0 / range,
            (false, true) => self.far / range,
            (false, false) => 1.0,
        };
        let real = vec![self.width as f64, self.height as f64, self.near, scale];
        let call = CallParams { items: positions.len() / 3, real, int: vec![] };
        Ok(map.apply_with(&[positions, &self.viewmat, &self.intrinsics], call)?.remove(0))
    }
}
