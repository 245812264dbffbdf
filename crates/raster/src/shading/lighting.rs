//! The light of a scene: its punctual lights and the environment around it, with bound parameters.

use super::environment::{EnvironmentTables, Prefilter, PrefilteredEnvironment};
use super::lights::{UNBOUNDED, column, kind, punctual_radiance};
use super::{Clearcoat, Dielectric, Substance};
use crate::Result;
use crate::render::{
    Bindings,
    material::{MaterialKey, factor},
    surface_map::Surface,
};
use lumigrad_core::map::{Builder, CallParams, Expr, Map};
use lumigrad_core::{DType, Device, Tensor, Var, ops};
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{LightKind, Scene};
use std::sync::{Arc, Mutex};

/// Pointer under which the texels of the environment, [H, W, 3], are bound.
pub const ENVIRONMENT_POINTER: &str = "/environment";

/// A light at a node.
struct Placed {
    node: usize,
    /// Index among the scene's lights.
    light: usize,
    row: [f32; column::COUNT],
    /// From the space of the node's parent to the world, rows of the affine part.
    parent: [f32; 12],
}

/// Height and width of maps, with their prefilter.
type Kept = ((usize, usize), Arc<Prefilter>);

/// The constant part of a scene's light.
pub struct Lighting {
    placed: Vec<Placed>,
    constant: LightingVars,
    prefilter: Mutex<Option<Kept>>,
    device: Device,
    dtype: DType,
}

/// The light of a frame.
#[derive(Clone)]
pub struct LightingVars {
    count: usize,
    lights: Option<(Var, Var)>,
    environment: Option<PrefilteredEnvironment>,
}

impl Lighting {
    /// Collects the lights of the active scene and prefilters the environment.
    pub fn new(scene: &Scene, environment: Option<&Environment>, device: &Device, dtype: DType) -> Result<Self> {
        let placed: Vec<Placed> = place_lights(scene);
        let kinds: Vec<i32> = placed
            .iter()
            .map(|p| match scene.lights()[p.light].kind {
                LightKind::Directional => kind::DIRECTIONAL,
                LightKind::Point => kind::POINT,
                LightKind::Spot { .. } => kind::SPOT,
            })
            .collect();
        let rows: Vec<[f32; column::COUNT]> = placed.iter().map(|p| p.row).collect();
        let lights = match placed.is_empty() {
            true => None,
            false => {
                let table = Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[rows.len(), column::COUNT])?;
                let kinds = Tensor::from_slice(device, &kinds, &[kinds.len(), 1])?;
                Some((table.cast(dtype)?.to_device(device)?.into(), kinds.into()))
            }
        };
        let constant = LightingVars::new(lights, None);
        let mut lighting = Self { placed, constant, prefilter: Default::default(), device: device.clone(), dtype };
        if let Some(e) = environment {
            let texels = Tensor::from_slice(&Device::cpu(), &e.data, &[e.height, e.width, 3])?;
            let texels = texels.cast(dtype)?.to_device(device)?.into();
            lighting.constant.environment = Some(lighting.prefiltered(&texels)?);
        }
        Ok(lighting)
    }

    /// The light with bound values in place of the scene's own: the properties of lights
    /// (`/extensions/KHR_lights_punctual/lights/N/…`), `/nodes/N/translation` of nodes that carry lights, and
    /// [`ENVIRONMENT_POINTER`].
    pub fn bind(&self, _scene: &Scene, bindings: &Bindings) -> Result<LightingVars> {
        let mut vars = self.constant.clone();
        if let Some(texels) = bindings.get(ENVIRONMENT_POINTER) {
            vars.environment = Some(self.prefiltered(texels)?);
        }
        let mut parts: Vec<(usize, Var)> = vec![];
        for (row, p) in self.placed.iter().enumerate() {
            let light = format!("/extensions/KHR_lights_punctual/lights/{}", p.light);
            for (name, at) in PROPERTIES {
                if let Some(v) = bindings.get(&format!("{light}/{name}")) {
                    parts.push((row * column::COUNT + at, v.clone()));
                }
            }
            if let Some(v) = bindings.get(&format!("/nodes/{}/translation", p.node)) {
                parts.push((row * column::COUNT + column::POSITION, to_world(v, &p.parent)?));
            }
        }
        if let (false, Some((table, _))) = (parts.is_empty(), &mut vars.lights) {
            *table = replace(table, parts)?;
        }
        Ok(vars)
    }

    /// Prefilters a map, keeping the matrices of its size.
    fn prefiltered(&self, texels: &Var) -> Result<PrefilteredEnvironment> {
        let &[height, width, 3] = texels.shape() else {
            return Err(lumigrad_core::Error::shape("an environment", texels.shape(), "[height, width, 3]").into());
        };
        let mut kept = self.prefilter.lock().expect("no panic while held");
        let prefilter = match &*kept {
            Some((size, p)) if *size == (height, width) => p.clone(),
            _ => {
                let p = Arc::new(Prefilter::new(height, width, &self.device, self.dtype)?);
                *kept = Some(((height, width), p.clone()));
                p
            }
        };
        Ok(prefilter.apply(texels)?)
    }
}

/// Properties of a light below its pointer, with their columns.
const PROPERTIES: [(&str, usize); 5] = [
    ("color", column::COLOR),
    ("intensity", column::INTENSITY),
    ("range", column::RANGE),
    ("spot/innerConeAngle", column::INNER_CONE),
    ("spot/outerConeAngle", column::OUTER_CONE),
];

fn place_lights(scene: &Scene) -> Vec<Placed> {
    let world = scene.world_matrices();
    scene
        .placed_lights()
        .into_iter()
        .filter_map(|(node, light, matrix)| {
            let index = scene.nodes()[node].light?;
            let mut row = [0.0; column::COUNT];
            row[column::COLOR..column::COLOR + 3].copy_from_slice(&light.color);
            row[column::INTENSITY] = light.intensity;
            row[column::RANGE] = light.range.unwrap_or(UNBOUNDED);
            let (position, axis) = (matrix.w_axis, -matrix.z_axis.truncate().normalize_or_zero());
            for k in 0..3 {
                row[column::POSITION + k] = position[k] as f32;
                row[column::DIRECTION + k] = axis[k] as f32;
            }
            if let LightKind::Spot { inner_cone_angle, outer_cone_angle } = light.kind {
                row[column::INNER_CONE] = inner_cone_angle;
                row[column::OUTER_CONE] = outer_cone_angle;
            }
            let parent = scene.nodes()[node].parent.map_or(glam::DMat4::IDENTITY, |p| world[p]).transpose();
            let rows = parent.to_cols_array();
            Some(Placed { node, light: index, row, parent: std::array::from_fn(|k| rows[k] as f32) })
        })
        .collect()
}

/// A translation in the parent's space as a world position, [3].
fn to_world(translation: &Var, parent: &[f32; 12]) -> Result<Var> {
    let map = Map::cached("raster/light_position", |m| {
        let t = m.item::<3>("translation");
        let a: [Expr; 12] = std::array::from_fn(|_| m.param());
        let world: [Expr; 3] =
            std::array::from_fn(|r| a[4 * r] * t[0] + a[4 * r + 1] * t[1] + a[4 * r + 2] * t[2] + a[4 * r + 3]);
        m.output("position", &world);
    });
    let call = CallParams { items: 1, real: parent.iter().map(|&x| x as f64).collect(), int: vec![] };
    Ok(map.apply_with(&[translation], call)?.remove(0))
}

/// A table with some of its elements, given by the first one's number, replaced.
fn replace(table: &Var, mut parts: Vec<(usize, Var)>) -> Result<Var> {
    parts.sort_by_key(|(at, _)| *at);
    let flat = table.reshape(&[table.len()])?;
    let mut pieces = vec![];
    let mut done = 0;
    for (at, value) in parts {
        if at > done {
            pieces.push(flat.slice(0, done, at)?);
        }
        done = at + value.len();
        pieces.push(value.reshape(&[value.len()])?);
    }
    if done < flat.len() {
        pieces.push(flat.slice(0, done, flat.len())?);
    }
    Ok(ops::concat(&pieces.iter().collect::<Vec<_>>(), 0)?.reshape(table.shape())?)
}

impl LightingVars {
    /// Of lights, a table [n, [`column::COUNT`]] with kinds i32 [n, 1], and an environment.
    pub(crate) fn new(lights: Option<(Var, Var)>, environment: Option<PrefilteredEnvironment>) -> Self {
        Self { count: lights.as_ref().map_or(0, |(_, kinds)| kinds.len()), lights, environment }
    }

    /// The table of lights, and their kinds.
    pub(super) fn lights(&self) -> Option<(&Var, &Var)> {
        self.lights.as_ref().map(|(table, kinds)| (table, kinds))
    }

    /// What is around.
    pub(super) fn environment(&self) -> Option<&PrefilteredEnvironment> {
        self.environment.as_ref()
    }

    /// What selects code: the number of lights, and whether there is an environment.
    pub fn key(&self) -> (usize, bool) {
        (self.count, self.environment.is_some())
    }

    /// Inputs that [`LightingVars::radiance`] declares, in order.
    pub fn inputs(&self) -> Vec<&Var> {
        let mut inputs = vec![];
        if let Some((table, kinds)) = &self.lights {
            inputs.extend([table, kinds]);
        }
        inputs.extend(self.environment.iter().flat_map(|e| e.inputs()));
        inputs
    }

    /// Radiance that a surface reflects towards the camera.
    pub fn radiance(&self, m: &mut Builder, s: &Surface, key: &MaterialKey) -> [Expr; 3] {
        let substance = substance(s, key);
        let mut sum: [Expr; 3] = [0.0.into(); 3];
        if self.lights.is_some() {
            let (table, kinds) = (m.table("lights"), m.table_int("kinds of lights"));
            sum = punctual_radiance(table, kinds, self.count, &substance, s.position, s.normal, s.view);
        }
        if self.environment.is_some() {
            let reflected = EnvironmentTables::declare(m).reflect(&substance, s.normal, s.view, s.occlusion);
            sum = std::array::from_fn(|k| sum[k] + reflected[k]);
        }
        sum
    }
}

fn substance(s: &Surface, key: &MaterialKey) -> Substance {
    let f = &s.factors;
    let color = [s.base_color[0], s.base_color[1], s.base_color[2]];
    let mut substance = Substance::new(color, s.metallic, s.roughness);
    if key.specular {
        let tint = std::array::from_fn(|k| f[factor::SPECULAR_COLOR + k]);
        substance.dielectric = Dielectric::new(f[factor::IOR], f[factor::SPECULAR], tint);
    }
    if key.clearcoat {
        substance.clearcoat = Some(Clearcoat {
            factor: f[factor::CLEARCOAT],
            roughness: f[factor::CLEARCOAT_ROUGHNESS],
            normal: s.vertex_normal,
        });
    }
    substance
}
