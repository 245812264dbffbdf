//! The constant part of rendering a scene: what is made once and used by every frame.

use super::frame::{Frame, TextureVars, bound_factors};
use super::material::{FACTOR_POINTERS, MaterialKey, SLOTS, SlotKey, factors, transform_place};
use super::{Bindings, Draw, Geometry};
use crate::Result;
use crate::shading::Lighting;
use crate::texture::mip_chain;
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{AlphaMode, Material, Scene};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Layers peeled at most where surfaces are transparent or alpha-tested.
const MAX_LAYERS: usize = 8;

/// What surrounds the scene.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Light from all around; `None`: none.
    pub environment: Option<Environment>,
    /// Element type: `F32`, or `F64` on the CPU for checks.
    pub dtype: Option<DType>,
}

/// A material ready to be shaded.
pub(super) struct MaterialSlot {
    pub key: MaterialKey,
    /// Image and colour space of each present texture, in slot order.
    pub images: [Option<(usize, bool)>; SLOTS.len()],
    /// Row of factors.
    pub row: usize,
}

/// Renders one scene. The scene's own values are constants; [`Bindings`] replace them per frame.
pub struct Renderer {
    scene: Scene,
    device: Device,
    dtype: DType,
    pub(crate) geometry: Geometry,
    materials: Vec<MaterialSlot>,
    factor_rows: Vec<Vec<f32>>,
    textures: HashMap<(usize, bool), TextureVars>,
    lighting: Arc<Lighting>,
    pub(super) layers: usize,
}

impl Renderer {
    /// Prepares a scene on a device.
    pub fn new(scene: &Scene, device: &Device, options: &Options) -> Result<Self> {
        let dtype = options.dtype.unwrap_or(DType::F32);
        let geometry = Geometry::new(scene, device, dtype)?;
        let default = Material::default();
        let materials = material_slots(scene, &geometry);
        let mut textures = HashMap::new();
        for image in materials.iter().flat_map(|m| m.images.iter().flatten()) {
            if !textures.contains_key(image) {
                let chain = texture(scene, *image, device, dtype)?;
                textures.insert(*image, chain);
            }
        }
        let peeled = materials.iter().any(|m| m.key.alpha != AlphaMode::Opaque);
        Ok(Self {
            layers: if peeled { MAX_LAYERS } else { 1 },
            factor_rows: scene.materials().iter().chain([&default]).map(factors).collect(),
            lighting: Arc::new(Lighting::new(scene, options.environment.as_ref(), device, dtype)?),
            scene: scene.clone(),
            device: device.clone(),
            dtype,
            geometry,
            materials,
            textures,
        })
    }

    /// The same scene with other geometry in its primitives; lights, textures and factors are shared, not made anew.
    ///
    /// # Errors
    /// Positions that are not finite in the world.
    pub fn with_geometry(&self, scene: &Scene) -> Result<Self> {
        let geometry = Geometry::new(scene, &self.device, self.dtype)?;
        Ok(Self {
            materials: material_slots(scene, &geometry),
            geometry,
            scene: scene.clone(),
            device: self.device.clone(),
            dtype: self.dtype,
            factor_rows: self.factor_rows.clone(),
            textures: self.textures.clone(),
            lighting: self.lighting.clone(),
            layers: self.layers,
        })
    }

    /// The scene as it was given.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// The geometry that is drawn.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Where it renders.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Element type of its tensors.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Material of a draw, by the draw's number.
    pub(super) fn material_of(&self, draw: usize) -> &MaterialSlot {
        &self.materials[draw]
    }

    /// The scene with `bindings` in place of its own values. Pointers that are not rendered are ignored.
    pub fn frame(&self, bindings: &Bindings) -> Result<Frame<'_>> {
        let vertices = match bindings.is_empty() {
            true => self.geometry.constant.clone(),
            false => self.geometry.vertices(&self.scene, bindings)?,
        };
        let mut textures = self.textures.clone();
        let mut done = HashSet::new();
        for (m, material) in self.scene.materials().iter().enumerate() {
            for slot in SLOTS {
                let Some(image) = self.image_of(slot.of(material)) else { continue };
                let key = (image, slot.is_srgb());
                let Some(value) = bindings.get(&format!("/materials/{m}/{}", slot.pointer())) else { continue };
                if textures.contains_key(&key) && done.insert(key) {
                    let (texels, levels) = mip_chain(value)?;
                    let levels = levels.table(&self.device)?.into();
                    textures.insert(key, TextureVars { texels, levels });
                }
            }
        }
        let mut rows = Vec::with_capacity(self.factor_rows.len());
        for (m, row) in self.factor_rows.iter().enumerate() {
            rows.push(bound_factors(row, &self.factor_bindings(m, bindings), &self.device, self.dtype)?);
        }
        let lighting = self.lighting.bind(&self.scene, bindings)?;
        let brdfs = self.materials.iter().map(|m| bindings.brdf(m.row).cloned()).collect();
        Ok(Frame { renderer: self, vertices, textures, factors: rows, lighting, brdfs })
    }

    fn image_of(&self, info: Option<&lumigrad_scene::TextureInfo>) -> Option<usize> {
        self.scene.textures()[info?.texture].image
    }

    fn factor_bindings(&self, material: usize, bindings: &Bindings) -> Vec<(usize, lumigrad_core::Var)> {
        let mut bound = vec![];
        for &(pointer, at, _) in FACTOR_POINTERS {
            if let Some(v) = bindings.get(&format!("/materials/{material}/{pointer}")) {
                bound.push((at, v.clone()));
            }
        }
        for (k, slot) in SLOTS.iter().enumerate() {
            for name in ["offset", "rotation", "scale"] {
                let pointer =
                    format!("/materials/{material}/{}/extensions/KHR_texture_transform/{name}", slot.pointer());
                if let (Some(v), Some((at, _))) = (bindings.get(&pointer), transform_place(k, name)) {
                    bound.push((at, v.clone()));
                }
            }
        }
        bound
    }
}

/// The material of each draw.
fn material_slots(scene: &Scene, geometry: &Geometry) -> Vec<MaterialSlot> {
    let (default, n) = (Material::default(), scene.materials().len());
    let slot = |draw: &Draw| {
        let material = draw.instance.material.map_or(&default, |m| &scene.materials()[m]);
        material_slot(scene, material, draw, draw.instance.material.unwrap_or(n))
    };
    geometry.draws.iter().map(slot).collect()
}

fn material_slot(scene: &Scene, material: &Material, draw: &Draw, row: usize) -> MaterialSlot {
    let mut images = [None; SLOTS.len()];
    let slots = SLOTS.map(|slot| {
        let info = slot.of(material)?;
        let texture = &scene.textures()[info.texture];
        images[slot as usize] = Some((texture.image?, slot.is_srgb()));
        Some(SlotKey { texcoord: info.texcoord, sampler: texture.sampler, transformed: info.transform.is_some() })
    });
    let plain = material.ior == 1.5 && material.specular.is_none();
    let key = MaterialKey {
        slots,
        alpha: material.alpha_mode,
        unlit: material.unlit,
        specular: !plain,
        clearcoat: material.clearcoat.is_some(),
        normals: draw.normals,
        colors: draw.colors,
    };
    MaterialSlot { key, images, row }
}

fn texture(scene: &Scene, (image, srgb): (usize, bool), device: &Device, dtype: DType) -> Result<TextureVars> {
    let image = &scene.images()[image];
    let (h, w) = (image.height as usize, image.width as usize);
    let data = Tensor::from_slice(&Device::cpu(), &image.to_f32(srgb), &[h, w, 4])?;
    let (texels, levels) = mip_chain(&data.cast(dtype)?.to_device(device)?.into())?;
    Ok(TextureVars { texels, levels: levels.table(device)?.into() })
}
