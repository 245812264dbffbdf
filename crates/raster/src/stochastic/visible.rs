//! Our own rasteriser as a renderer without derivatives.

use super::{Picture, Visible};
use crate::modular::interpolate;
use crate::render::{Camera, Frame};
use crate::{Result, kernels::Layer};
use lumigrad_core::Tensor;

impl Frame<'_> {
    /// The scene from a camera, linear and premultiplied [H, W, 4], with what is seen in each layer. Pixels are sampled at
    /// their centres: silhouettes are not antialiased, so that a pixel depends on nothing but the triangles it shows.
    pub fn picture(&self, camera: &Camera) -> Result<Picture> {
        let (image, layers, clip) = self.sampled(camera)?;
        let layers = layers.iter().map(|layer| self.visible(layer, &clip)).collect::<Result<_>>()?;
        Ok(Picture { color: image.tensor().clone(), layers })
    }

    fn visible(&self, layer: &Layer, clip: &lumigrad_core::Var) -> Result<Visible> {
        let triangles: &Tensor = &self.renderer.geometry.triangles;
        let at = interpolate(&self.vertices.texcoords, clip, triangles, layer)?.values;
        let texcoords = at.tensor().reshape(&[layer.width * layer.height, 4])?;
        Ok(Visible { triangles: layer.triangles.clone(), texcoords })
    }
}
