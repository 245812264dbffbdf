//! The steps of rendering as operators of their own (after Laine et al. 2020, "Modular Primitives for High-Performance
//! Differentiable Rendering"): [`rasterize`], [`interpolate`], [`sample_texture`], [`shade`] or
//! [`shade_by`], [`antialias`]. Take those
//! that you need; [`Renderer`](crate::Renderer) renders whole scenes in one go, and faster.
//!
//! Each has both derivative modes on both devices. Clip space: x right, y up, 0 ≤ z ≤ w visible; pictures are row-major
//! with row 0 on top.
//!
//! ```
//! use lumigrad_core::{Device, Tape, Tensor};
//! use lumigrad_raster::modular::{antialias, interpolate, rasterize, sample_texture};
//! use lumigrad_raster::render::neighbours;
//! use lumigrad_scene::Sampler;
//!
//! let cpu = Device::cpu();
//! let corners = [[-0.7f32, -0.6, 0.5, 1.0], [0.8, -0.5, 0.5, 1.0], [0.1, 0.9, 0.5, 1.0]];
//! let list = [[0u32, 1, 2]];
//! let tape = Tape::new();
//! let clip = tape.variable(Tensor::from_slice(&cpu, corners.as_flattened(), &[3, 4])?);
//! let triangles = Tensor::from_slice(&cpu, list.as_flattened(), &[1, 3])?;
//! let texture = tape.variable(Tensor::from_slice(&cpu, &[0.5f32; 8 * 8 * 4], &[8, 8, 4])?);
//! let uv = Tensor::from_slice(&cpu, &[0.0f32, 0.0, 1.0, 0.0, 0.5, 1.0], &[3, 2])?.into();
//!
//! let flags = Tensor::from_slice(&cpu, &[0u32], &[1])?;
//! let layer = rasterize(clip.tensor(), &triangles, &flags, 32, 32, None)?;
//! let at = interpolate(&uv, &clip, &triangles, &layer)?;
//! let color = sample_texture(&texture, &at.values, Some((&at.dx, &at.dy)), &Sampler::default())?;
//! // Texture where the triangle is seen, nothing elsewhere.
//! let one = Tensor::from_slice(&cpu, &[1.0f32; 3], &[3, 1])?.into();
//! let mask = interpolate(&one, &clip, &triangles, &layer)?.values;
//! let edges = Tensor::from_slice(&cpu, neighbours(&list, &[0, 1, 2]).as_flattened(), &[1, 3])?;
//! let picture = antialias(&color.mul(&mask)?, &layer, &clip, &triangles, &edges)?;
//!
//! let mut gradients = tape.backward(&picture.sum()?)?;
//! assert_eq!(gradients.take(&texture).unwrap().shape(), &[8, 8, 4]);
//! // A corner that moves outwards makes the picture brighter.
//! let outwards = gradients.take(&clip).unwrap().to_vec::<f32>()?;
//! assert!(outwards[4 * 2 + 1] > 1.0 && outwards[0] < -1.0);
//! # Ok::<(), lumigrad_raster::Error>(())
//! ```

pub use crate::kernels::{Layer, antialias, rasterize};

use crate::Result;
use crate::kernels::counting;
use crate::shading::lights::{column, punctual_radiance};
use crate::shading::{Brdf, EnvironmentTables, LightingVars, POINT, PrefilteredEnvironment, Substance};
use crate::surface::fragment_weights;
use crate::texture::{Footprint, Levels, Sampling, TextureTable, mip_chain, sample};
use lumigrad_core::map::{CallParams, Expr, Map, vector};
use lumigrad_core::{Error, Tensor, Var};
use lumigrad_scene::Sampler;

/// Attributes at the pixels of a layer.
#[derive(Clone, Debug)]
pub struct Interpolated {
    /// [H, W, C]; 0 where nothing is seen.
    pub values: Var,
    /// Change per pixel to the right, [H, W, C].
    pub dx: Var,
    /// Change per pixel down, [H, W, C].
    pub dy: Var,
}

/// Perspective-correct interpolation of vertex attributes, with their derivatives on the screen.
///
/// **Shapes**: attributes [V, C], clip [V, 4], triangles u32 [T, 3] as given to [`rasterize`]. Attributes 1, 0, 0 … at the
/// three corners give barycentrics.
/// **Gradients**: to attributes and clip positions, of all three outputs. **Source**: Olano & Greer 1997.
pub fn interpolate(attributes: &Var, clip: &Var, triangles: &Tensor, layer: &Layer) -> Result<Interpolated> {
    let &[vertices, channels] = attributes.shape() else {
        return Err(Error::shape("attributes", attributes.shape(), "[V, C]").into());
    };
    if clip.shape() != [vertices, 4] {
        return Err(Error::shape("clip", clip.shape(), format!("[{vertices}, 4] (V from attributes)")).into());
    }
    let map = Map::cached(&format!("raster/interpolate {channels}"), |m| {
        let weights = fragment_weights(m);
        let table = m.table::<1>("attributes");
        let n = channels as i32;
        let rows = |k: i32| weights.vertices.map(|v| table.fetch(v * n + k));
        let (mut values, mut dx, mut dy) = (vec![], vec![], vec![]);
        for k in 0..n {
            let rows = rows(k);
            let (right, down) = weights.derivatives(&rows);
            values.extend(weights.interpolate(&rows));
            dx.extend(right);
            dy.extend(down);
        }
        m.output("values", &values);
        m.output("dx", &dx);
        m.output("dy", &dy);
    });
    let pixels = counting(&layer.triangles, layer.triangles.len())?.into();
    let inputs = [&pixels, &layer.triangles.clone().into(), &triangles.clone().into(), clip, attributes];
    let call = CallParams { items: 0, real: vec![], int: vec![layer.width as i32, layer.height as i32] };
    let shape = [layer.height, layer.width, channels];
    let mut outputs = map.apply_with(&inputs, call)?.into_iter();
    let mut next = || -> Result<Var> { Ok(outputs.next().expect("three outputs").reshape(&shape)?) };
    Ok(Interpolated { values: next()?, dx: next()?, dy: next()? })
}

/// A texture at texture coordinates, (0, 0) its top left.
///
/// With `footprint`, the changes of uv per pixel to the right and down, the sampler's minification filter and mip levels
/// are used; without, its magnification filter.
///
/// **Shapes**: texture [h, w, 4]; uv and footprint […, 2]; result […, 4]. **Gradients**: to the texture through all
/// levels that are read and, for linear filters, to uv (and through trilinear weights to the footprint). **Cost**: the
/// mip chain is made anew, a third of the texture.
pub fn sample_texture(texture: &Var, uv: &Var, footprint: Option<(&Var, &Var)>, sampler: &Sampler) -> Result<Var> {
    let (&[h, w, 4], Some((&2, outer))) = (texture.shape(), uv.shape().split_last()) else {
        let message = format!("[h, w, 4] with uv […, 2], which is {:?}", uv.shape());
        return Err(Error::shape("texture", texture.shape(), message).into());
    };
    let sampler = match footprint {
        Some(_) => *sampler,
        None => Sampler { mip: None, ..*sampler },
    };
    let (texels, levels) = match sampler.mip {
        Some(_) => mip_chain(texture)?,
        None => (texture.reshape(&[h * w, 4])?, Levels::single(w, h)),
    };
    let with_footprint = footprint.is_some();
    let map = Map::cached(&format!("raster/sample {sampler:?} {with_footprint}"), |m| {
        let uv = m.item::<2>("uv");
        let still: [Expr; 2] = [0.0.into(); 2];
        let [du, dv] = if with_footprint { [m.item::<2>("du"), m.item::<2>("dv")] } else { [still; 2] };
        let table = TextureTable { texels: m.table("texels"), levels: m.table_int("levels") };
        m.output("color", &sample(&table, &Footprint { uv, du, dv }, &sampler, Sampling::Sampler));
    });
    let rows = |v: &Var| v.reshape(&[v.len() / 2, 2]);
    let mut items = vec![rows(uv)?];
    if let Some((du, dv)) = footprint {
        items.extend([rows(du)?, rows(dv)?]);
    }
    items.extend([texels, levels.table(texture.device())?.into()]);
    let color = map.apply(&items.iter().collect::<Vec<_>>())?.remove(0);
    Ok(color.reshape(&[outer, &[4]].concat())?)
}

/// Points to be shaded; all arrays have N rows.
#[derive(Clone, Copy)]
pub struct Points<'a> {
    /// World position, metres, [N, 3].
    pub position: &'a Var,
    /// Normal, any length but zero, [N, 3].
    pub normal: &'a Var,
    /// Direction towards the camera, any length but zero, [N, 3].
    pub view: &'a Var,
    /// Linear RGB, [N, 3].
    pub base_color: &'a Var,
    /// Metallic and roughness in [0, 1], [N, 2].
    pub metallic_roughness: &'a Var,
}

/// Punctual lights in the world.
#[derive(Clone, Copy)]
pub struct Lights<'a> {
    /// [n, [`column::COUNT`]].
    pub table: &'a Var,
    /// [`kind`](crate::shading::lights::kind) of each, i32 [n, 1].
    pub kinds: &'a Tensor,
}

/// Radiance that points reflect towards the camera by glTF's BRDF, linear RGB, [N, 3]; no shadows.
///
/// **Gradients**: to points, lights and environment. **Source**: glTF 2.0, Appendix B; see [`Substance::reflect`] and
/// [`EnvironmentTables::reflect`].
pub fn shade(points: Points, lights: Option<Lights>, environment: Option<&PrefilteredEnvironment>) -> Result<Var> {
    let count = lights.map_or(0, |l| l.kinds.len());
    let map = Map::cached(&format!("raster/shade points {count} {}", environment.is_some()), |m| {
        let position = m.item::<3>("position");
        let [normal, view] = ["normal", "view"].map(|name| vector::normalize(m.item::<3>(name)));
        let base_color = m.item::<3>("base_color");
        let [metallic, roughness] = m.item("metallic_roughness");
        let substance = Substance::new(base_color, metallic, roughness);
        let mut sum: [Expr; 3] = [0.0.into(); 3];
        if count > 0 {
            let (table, kinds) = (m.table::<{ column::COUNT }>("lights"), m.table_int("kinds"));
            sum = punctual_radiance(table, kinds, count, &substance, position, normal, view);
        }
        if environment.is_some() {
            let reflected = EnvironmentTables::declare(m).reflect(&substance, normal, view, 1.0.into());
            sum = vector::add(sum, reflected);
        }
        m.output("radiance", &sum);
    });
    let kinds = lights.map(|l| Var::from(l.kinds.clone()));
    let mut inputs = vec![points.position, points.normal, points.view, points.base_color, points.metallic_roughness];
    if let (Some(l), Some(kinds), true) = (lights, &kinds, count > 0) {
        inputs.extend([l.table, kinds]);
    }
    inputs.extend(environment.iter().flat_map(|e| e.inputs()));
    Ok(map.apply(&inputs)?.remove(0))
}

/// The same as [`shade`] by another BRDF, at points [N, 3] with normals and directions towards the camera of any length but
/// zero.
///
/// **Gradients**: to points, lights, environment and through the BRDF. **Cost**: see [`LightingVars::reflected`].
pub fn shade_by(
    brdf: &dyn Brdf,
    [position, normal, view]: [&Var; 3],
    lights: Option<Lights>,
    environment: Option<&PrefilteredEnvironment>,
) -> Result<Var> {
    let map = Map::cached("raster/points of vectors", |m| {
        let position = m.item::<3>("position");
        let [normal, view] = ["normal", "view"].map(|name| vector::normalize(m.item::<3>(name)));
        let point: [Expr; POINT] = std::array::from_fn(|k| match k {
            0..3 => position[k],
            3..6 => normal[k - 3],
            6..9 => view[k - 6],
            _ => 1.0.into(),
        });
        m.output("points", &point);
    });
    let points = map.apply(&[position, normal, view])?.remove(0);
    let lights = lights.map(|l| (l.table.clone(), l.kinds.clone().into()));
    LightingVars::new(lights, environment.cloned()).reflected(brdf, &points)
}
