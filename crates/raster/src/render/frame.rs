//! One state of a scene, ready to be rendered from any camera.

use super::material::{MaterialKey, factor};
use super::renderer::Renderer;
use super::surface_map::{Surface, coverage, surface};
use super::{Camera, Draw, Vertices};
use crate::Result;
use crate::kernels::{self, Layer};
use crate::shading::{Brdf, LightingVars, POINT};
use crate::texture::Sampling;
use lumigrad_core::map::{Builder, CallParams, Expr, Map, vector};
use lumigrad_core::{DType, Tensor, Var};
use lumigrad_scene::AlphaMode;
use std::collections::HashMap;
use std::sync::Arc;

/// Texels of a texture with all its levels.
#[derive(Clone)]
pub(super) struct TextureVars {
    pub texels: Var,
    pub levels: Var,
}

/// A scene with its parameters bound: world geometry, mip chains, factors, prefiltered light. Views of a batch share it.
pub struct Frame<'r> {
    pub(crate) renderer: &'r Renderer,
    pub(crate) vertices: Vertices,
    pub(super) textures: HashMap<(usize, bool), TextureVars>,
    /// One row per material, the default material last.
    pub(super) factors: Vec<Var>,
    pub(super) lighting: LightingVars,
    /// What each draw has in place of glTF's BRDF.
    pub(super) brdfs: Vec<Option<Arc<dyn Brdf>>>,
}

/// A picture of a frame.
pub struct Rendered {
    /// [H, W, 4]: linear light, premultiplied by alpha.
    pub image: Var,
    /// Triangle number + 1 of the nearest surface, u32 [H · W]; 0 = nothing.
    pub triangles: Tensor,
}

/// Channels of the auxiliary pictures, [H, W, [`Aov::COUNT`]].
#[allow(missing_docs)]
pub struct Aov;

#[allow(missing_docs)]
impl Aov {
    pub const DEPTH: usize = 0;
    pub const FLAT_NORMAL: usize = 1;
    pub const VERTEX_NORMAL: usize = 4;
    pub const NORMAL: usize = 7;
    pub const UV: usize = 10;
    pub const BASE_COLOR: usize = 12;
    pub const METALLIC: usize = 15;
    pub const ROUGHNESS: usize = 16;
    pub const BACK_FACING: usize = 17;
    /// Draw number + 1.
    pub const DRAW: usize = 18;
    /// Triangle number + 1 among all that are drawn, exact below 2²⁴.
    pub const TRIANGLE: usize = 19;
    /// [`Self::NORMAL`] in the camera's axes (x right, y down, z forward).
    pub const CAMERA_NORMAL: usize = 20;
    /// Coverage.
    pub const MASK: usize = 23;
    pub const COUNT: usize = 24;
}

/// What fragments are evaluated to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shader {
    /// Premultiplied radiance and alpha.
    Radiance,
    /// What another BRDF is asked with, [`POINT`] numbers; then emitted radiance and alpha.
    Points,
    /// [`Aov`] channels; blended surfaces are left out.
    Aov(Sampling),
}

impl Shader {
    fn channels(self) -> usize {
        match self {
            Shader::Radiance => 4,
            Shader::Points => POINT,
            Shader::Aov(_) => Aov::COUNT,
        }
    }
}

impl Frame<'_> {
    /// World positions of all vertices, [V, 3].
    pub fn positions(&self) -> &Var {
        &self.vertices.positions
    }

    /// The scene from a camera.
    ///
    /// **Gradients** flow to everything bound, through shading, texture sampling and silhouettes (`antialias`). Which
    /// surface a pixel sees has no derivative of its own.
    pub fn render(&self, camera: &Camera) -> Result<Rendered> {
        let clip = camera.project(&self.vertices.positions)?;
        let g = &self.renderer.geometry;
        let smooth = |own: Var, layer: &Layer| kernels::antialias(&own, layer, &clip, &g.triangles, &g.neighbours);
        let (image, layers) = self.composite(camera, &clip, Shader::Radiance, smooth)?;
        let triangles = match layers.into_iter().next() {
            Some(layer) => layer.triangles,
            None => Tensor::zeros(clip.device(), DType::U32, &[camera.height * camera.width])?,
        };
        Ok(Rendered { image, triangles })
    }

    /// The picture sampled at pixel centres, its layers, and the projected vertices.
    pub(crate) fn sampled(&self, camera: &Camera) -> Result<(Var, Vec<Layer>, Var)> {
        let clip = camera.project(&self.vertices.positions)?;
        let (image, layers) = self.composite(camera, &clip, Shader::Radiance, |own, _| Ok(own))?;
        Ok((image, layers, clip))
    }

    /// Auxiliary pictures [H, W, [`Aov::COUNT`]] of the nearest opaque or kept surface, not antialiased; 0 elsewhere.
    pub fn aov(&self, camera: &Camera, sampling: Sampling) -> Result<Var> {
        let clip = camera.project(&self.vertices.positions)?;
        Ok(self.composite(camera, &clip, Shader::Aov(sampling), |own, _| Ok(own))?.0)
    }

    /// The layers, each finished by `finish`, one over the other.
    fn composite(
        &self,
        camera: &Camera,
        clip: &Var,
        shader: Shader,
        finish: impl Fn(Var, &Layer) -> Result<Var>,
    ) -> Result<(Var, Vec<Layer>)> {
        let shape = [camera.height, camera.width, shader.channels()];
        let mut image: Option<Var> = None;
        let mut layers = vec![];
        self.peel(
            camera,
            clip,
            |layer, own| {
                let own = finish(own.reshape(&shape)?, layer)?;
                layers.push(layer.clone());
                image = Some(match image.take() {
                    None => own,
                    Some(front) => over(&front, &own)?,
                });
                Ok(())
            },
            shader,
        )?;
        let image = match image {
            Some(image) => image,
            None => Tensor::zeros(clip.device(), clip.dtype(), &shape)?.into(),
        };
        Ok((image, layers))
    }

    /// Rasterises layer after layer, front to back, and hands each one over with its shaded pixels [H · W, C].
    fn peel(
        &self,
        camera: &Camera,
        clip: &Var,
        mut layer_done: impl FnMut(&Layer, Var) -> Result<()>,
        shader: Shader,
    ) -> Result<()> {
        let geometry = &self.renderer.geometry;
        let mut previous: Option<Layer> = None;
        for _ in 0..self.renderer.layers {
            let layer = kernels::rasterize(
                clip.tensor(),
                &geometry.triangles,
                &geometry.flags,
                camera.width,
                camera.height,
                previous.as_ref(),
            )?;
            let mut shaded = vec![];
            for (number, draw) in geometry.draws.iter().enumerate() {
                let fragments = kernels::fragments(&layer, draw.triangles.clone())?;
                if fragments.pixels.is_empty() {
                    continue;
                }
                let values = match &self.brdfs[number] {
                    Some(brdf) if shader == Shader::Radiance && !self.renderer.material_of(number).key.unlit => {
                        let found = self.shade(camera, clip, draw, number, &fragments, Shader::Points)?;
                        lit(&self.lighting.reflected(&**brdf, &found[0])?, &found[1])?
                    }
                    _ => self.shade(camera, clip, draw, number, &fragments, shader)?.remove(0),
                };
                shaded.push((values, fragments.pixels));
            }
            if shaded.is_empty() {
                break;
            }
            layer_done(&layer, kernels::place(shaded, camera.width * camera.height)?)?;
            previous = Some(layer);
        }
        Ok(())
    }

    fn shade(
        &self,
        camera: &Camera,
        clip: &Var,
        draw: &Draw,
        number: usize,
        fragments: &kernels::Fragments,
        shader: Shader,
    ) -> Result<Vec<Var>> {
        let material = self.renderer.material_of(number);
        let key = &material.key;
        let lights = &self.lighting;
        let name = match shader {
            Shader::Radiance => format!("raster/shade {key:?} {:?}", lights.key()),
            Shader::Points => format!("raster/points {key:?}"),
            Shader::Aov(sampling) => format!("raster/aov {key:?} {sampling:?}"),
        };
        let map = Map::cached(&name, |m| {
            let sampling = if let Shader::Aov(s) = shader { s } else { Sampling::Sampler };
            let s = surface(m, key, sampling);
            match shader {
                Shader::Radiance => radiance(m, &s, key, lights),
                Shader::Points => points(m, &s, key),
                Shader::Aov(_) => aov(m, &s, key),
            }
        });
        let (pixels, triangles) = (fragments.pixels.clone().into(), fragments.triangles.clone().into());
        let (v, topology) = (&self.vertices, self.renderer.geometry.triangles.clone().into());
        let mut inputs: Vec<&Var> = vec![
            &pixels,
            &triangles,
            &topology,
            clip,
            &v.positions,
            &v.normals,
            &v.texcoords,
            &v.tangents,
            &v.colors,
            &self.factors[material.row],
            &camera.viewmat,
        ];
        for image in material.images.iter().flatten() {
            let t = &self.textures[image];
            inputs.extend([&t.texels, &t.levels]);
        }
        if shader == Shader::Radiance && !key.unlit {
            inputs.extend(lights.inputs());
        }
        let sign = |yes: bool| if yes { -1.0 } else { 1.0 };
        let mut real = vec![sign(camera.orthographic), sign(draw.flip_winding)];
        if let Shader::Aov(_) = shader {
            real.push((number + 1) as f64);
        }
        let call = CallParams { items: 0, real, int: vec![camera.width as i32, camera.height as i32] };
        let values = map.apply_with(&inputs, call)?;
        debug_assert_eq!(values[0].shape()[1], shader.channels());
        Ok(values)
    }
}

/// Outgoing radiance, premultiplied by coverage.
fn radiance(m: &mut Builder, s: &Surface, key: &MaterialKey, lights: &LightingVars) {
    let alpha = coverage(s, key.alpha);
    let rgb: [Expr; 3] = match key.unlit {
        true => [s.base_color[0], s.base_color[1], s.base_color[2]],
        false => {
            let reflected = lights.radiance(m, s, key);
            std::array::from_fn(|k| reflected[k] + s.emissive[k])
        }
    };
    m.output("radiance", &[rgb[0] * alpha, rgb[1] * alpha, rgb[2] * alpha, alpha]);
}

/// What another BRDF is asked with, and what is seen beside what it reflects.
fn points(m: &mut Builder, s: &Surface, key: &MaterialKey) {
    m.output("points", &[&s.position[..], &s.normal, &s.view, &[s.occlusion]].concat());
    m.output("rest", &[&s.emissive[..], &[coverage(s, key.alpha)]].concat());
}

/// Radiance of what is reflected [P, 3] and of emission with alpha [P, 4], premultiplied by coverage.
fn lit(reflected: &Var, rest: &Var) -> Result<Var> {
    let map = Map::cached("raster/lit", |m| {
        let (reflected, [r, g, b, alpha]) = (m.item::<3>("reflected"), m.item("rest"));
        let rgb = vector::scale(vector::add(reflected, [r, g, b]), alpha);
        m.output("radiance", &[rgb[0], rgb[1], rgb[2], alpha]);
    });
    Ok(map.apply(&[reflected, rest])?.remove(0))
}

fn aov(m: &mut Builder, s: &Surface, key: &MaterialKey) {
    let number = m.param();
    let alpha = if key.alpha == AlphaMode::Blend { 0.0.into() } else { coverage(s, key.alpha) };
    let mut values: Vec<Expr> = vec![s.depth];
    values.extend(s.flat_normal);
    values.extend(s.vertex_normal);
    values.extend(s.normal);
    values.extend(s.uv);
    values.extend(&s.base_color[..3]);
    values.extend([s.metallic, s.roughness, s.back_facing.select(1.0, 0.0), number]);
    values.push((s.triangle + 1).to_real());
    values.extend(s.camera_normal);
    let mut values: Vec<Expr> = values.into_iter().map(|v| v * alpha).collect();
    values.push(alpha);
    m.output("aov", &values);
}

/// front over back; alpha (or coverage) is the last channel, colours are premultiplied.
fn over(front: &Var, back: &Var) -> Result<Var> {
    let channels = *front.shape().last().unwrap_or(&4);
    let map = Map::cached(&format!("raster/over {channels}"), |m| {
        // Widths are types: the channels are fetched from tables of single numbers.
        let (f, b) = (m.table::<1>("front"), m.table::<1>("back"));
        let at = m.index() * channels as i32;
        let rest = 1.0 - f.fetch(at + (channels as i32 - 1))[0];
        let values: Vec<Expr> = (0..channels as i32).map(|k| f.fetch(at + k)[0] + rest * b.fetch(at + k)[0]).collect();
        m.output("over", &values);
    });
    let call = CallParams { items: front.len() / channels, ..Default::default() };
    Ok(map.apply_with(&[front, back], call)?.remove(0).reshape(front.shape())?)
}

/// The row of factors for a material's numbers with bound ones in their places.
pub(super) fn bound_factors(
    row: &[f32],
    bound: &[(usize, Var)],
    device: &lumigrad_core::Device,
    dtype: DType,
) -> Result<Var> {
    let mut row = row.to_vec();
    for (at, value) in bound {
        row[*at..*at + value.len()].fill(0.0);
    }
    let constant = Tensor::from_slice(&lumigrad_core::Device::cpu(), &row, &[factor::COUNT])?.cast(dtype)?;
    let mut sum: Var = constant.to_device(device)?.into();
    for (at, value) in bound {
        let n = value.len();
        let map = Map::cached(&format!("raster/place_factor {n}"), |m| {
            let base = m.item::<1>("factors")[0];
            let values = m.table::<1>("value");
            let at = m.int_param();
            let k = m.index() - at;
            let inside = k.less(0).or(k.less(n as i32).not()).not();
            m.output("factors", &[base + inside.select(values.fetch(k)[0], 0.0)]);
        });
        let call = CallParams { items: factor::COUNT, real: vec![], int: vec![*at as i32] };
        sum = map.apply_with(&[&sum, value], call)?.remove(0).reshape(&[factor::COUNT])?;
    }
    Ok(sum)
}
