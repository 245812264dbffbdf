//! The hardware rasteriser of a GPU as a renderer without derivatives: what an engine has.

use super::{ImageRenderer, Picture, Visible};
use crate::render::Camera;
use crate::texture::mip_chain;
use crate::{Error, Result};
use lumigrad_core::gpu::{DrawPipeline, Target};
use lumigrad_core::{Device, Tensor, Var};

/// A textured mesh without light, drawn by the GPU's raster pipeline. Its parameters are the positions [V, 3], in metres,
/// and the texels [h, w, 4]; the picture is the texture's colours over nothing.
pub struct HardwareRasterizer {
    pipeline: DrawPipeline,
    triangles: Tensor,
    texcoords: Tensor,
    camera: Camera,
}

impl HardwareRasterizer {
    /// A mesh of triangles [T, 3] with texture coordinates [V, 2], seen by a camera.
    ///
    /// # Errors
    /// When `device` is not a GPU.
    pub fn new(device: &Device, triangles: &[[u32; 3]], texcoords: &[[f32; 2]], camera: Camera) -> Result<Self> {
        let targets = [Target::Numbers, Target::Integer, Target::Numbers];
        let pipeline = DrawPipeline::new(device, "textured triangles", include_str!("hardware.wgsl"), 5, &targets)?;
        Ok(Self {
            pipeline,
            triangles: Tensor::from_slice(device, triangles.as_flattened(), &[triangles.len(), 3])?,
            texcoords: Tensor::from_slice(device, texcoords.as_flattened(), &[texcoords.len(), 2])?,
            camera,
        })
    }

    /// Looks from another camera.
    pub fn look(&mut self, camera: Camera) {
        self.camera = camera;
    }
}

impl ImageRenderer for HardwareRasterizer {
    type Error = Error;

    fn render(&mut self, values: &[Tensor]) -> Result<Picture> {
        let [positions, texture] = values else {
            let found = [values.len()];
            return Err(lumigrad_core::Error::shape("the parameters", &found, "positions and texels").into());
        };
        let clip = self.camera.project(&Var::from(positions.clone()))?;
        let (texels, levels) = mip_chain(&texture.clone().into())?;
        let levels = levels.table(positions.device())?;
        let inputs = [clip.tensor(), &self.triangles, &self.texcoords, texels.tensor(), &levels];
        let size = (self.camera.width, self.camera.height);
        let pixels = size.0 * size.1;
        let mut drawn = self.pipeline.draw(&inputs, self.triangles.len(), size)?.into_iter();
        let mut next = || drawn.next().expect("three targets");
        let (color, triangles, texcoords) = (next(), next(), next());
        let layer = Visible { triangles: triangles.reshape(&[pixels])?, texcoords: texcoords.reshape(&[pixels, 4])? };
        Ok(Picture { color, layers: vec![layer] })
    }
}
