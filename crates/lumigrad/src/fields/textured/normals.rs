//! Pictures of normals, as colours in the axes of a view: x right, y up, z towards it, each ½ + ½n, over white.

use super::camera;
use crate::Result;
use crate::fit::frames::picture as plain;
use lumigrad_raster::texture::Sampling;
use lumigrad_raster::{Aov, Bindings, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::picture::Picture;

/// The normals that a view sees at the middle of its pixels.
///
/// # Errors
/// Memory.
pub fn normals(renderer: &Renderer, view: &View) -> Result<Picture> {
    let frame = renderer.frame(&Bindings::new())?;
    let camera = camera(view, &renderer.geometry().host_positions, renderer.device())?;
    let aov = frame.aov(&camera, Sampling::Sampler)?.tensor().to_vec::<f32>()?;
    let colour = |pixel: &[f32]| {
        let n = &pixel[Aov::CAMERA_NORMAL..];
        if pixel[Aov::MASK] > 0.0 { [n[0], -n[1], -n[2]].map(|x| 0.5 + 0.5 * x) } else { [1.0; 3] }
    };
    Ok(plain(view.width, view.height, aov.chunks_exact(Aov::COUNT).flat_map(colour).collect()))
}
