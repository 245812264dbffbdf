//! Materials: their numbers as one row of a tensor, their structure as a key that selects the shading map.

use lumigrad_scene::{AlphaMode, Material, Sampler, Scene, TextureInfo};

/// Places of a material's numbers in its row of factors.
pub mod factor {
    #![allow(missing_docs)]
    pub const BASE_COLOR: usize = 0;
    pub const METALLIC: usize = 4;
    pub const ROUGHNESS: usize = 5;
    pub const NORMAL_SCALE: usize = 6;
    pub const OCCLUSION_STRENGTH: usize = 7;
    pub const EMISSIVE: usize = 8;
    pub const EMISSIVE_STRENGTH: usize = 11;
    pub const ALPHA_CUTOFF: usize = 12;
    pub const IOR: usize = 13;
    pub const SPECULAR: usize = 14;
    pub const SPECULAR_COLOR: usize = 15;
    pub const CLEARCOAT: usize = 18;
    pub const CLEARCOAT_ROUGHNESS: usize = 19;
    /// Offset, rotation and scale (5 numbers) for each of [`super::SLOTS`].
    pub const TRANSFORMS: usize = 20;
    pub const COUNT: usize = TRANSFORMS + 5 * super::SLOTS.len();
}

/// The textures that are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Slot {
    BaseColor,
    MetallicRoughness,
    Normal,
    Occlusion,
    Emissive,
}

/// All slots, in the order of their transforms and inputs.
pub const SLOTS: [Slot; 5] = [Slot::BaseColor, Slot::MetallicRoughness, Slot::Normal, Slot::Occlusion, Slot::Emissive];

impl Slot {
    /// The material's texture in this slot.
    pub fn of(self, material: &Material) -> Option<&TextureInfo> {
        match self {
            Slot::BaseColor => material.base_color_texture.as_ref(),
            Slot::MetallicRoughness => material.metallic_roughness_texture.as_ref(),
            Slot::Normal => material.normal_texture.as_ref(),
            Slot::Occlusion => material.occlusion_texture.as_ref(),
            Slot::Emissive => material.emissive_texture.as_ref(),
        }
    }

    /// Pointer of the texture below its material.
    pub fn pointer(self) -> &'static str {
        match self {
            Slot::BaseColor => "pbrMetallicRoughness/baseColorTexture",
            Slot::MetallicRoughness => "pbrMetallicRoughness/metallicRoughnessTexture",
            Slot::Normal => "normalTexture",
            Slot::Occlusion => "occlusionTexture",
            Slot::Emissive => "emissiveTexture",
        }
    }

    /// Colours are stored as sRGB and sampled in linear light.
    pub fn is_srgb(self) -> bool {
        matches!(self, Slot::BaseColor | Slot::Emissive)
    }
}

/// What the shader reads of a texture in this slot.
fn texture_columns(slot: Slot, material: &Material) -> [bool; 4] {
    match slot {
        Slot::BaseColor => [true, true, true, material.alpha_mode != AlphaMode::Opaque],
        Slot::MetallicRoughness => [false, true, true, false],
        Slot::Normal | Slot::Emissive => [true, true, true, false],
        Slot::Occlusion => [true, false, false, false],
    }
}

/// Material number and the rest of a pointer below `/materials/`.
pub(crate) fn material_of(pointer: &str) -> Option<(usize, &str)> {
    let (number, rest) = pointer.strip_prefix("/materials/")?.split_once('/')?;
    Some((number.parse().ok()?, rest))
}

/// Columns of a parameter's rows that rendering reads; empty: all. Opaque materials have no alpha, and textures have
/// channels for others.
pub fn read_columns(scene: &Scene, pointers: &[&str]) -> Vec<bool> {
    let mut all = vec![];
    for pointer in pointers {
        let Some((material, rest)) = material_of(pointer) else { return vec![] };
        let Some(material) = scene.materials().get(material) else { return vec![] };
        let own = match SLOTS.into_iter().find(|slot| slot.pointer() == rest) {
            Some(slot) => texture_columns(slot, material),
            None if rest.ends_with("baseColorFactor") => texture_columns(Slot::BaseColor, material),
            None => return vec![],
        };
        all.resize(4, false);
        all.iter_mut().zip(own).for_each(|(all, own)| *all |= own);
    }
    all
}

/// Pointers below `/materials/N/` with their places among the factors.
pub const FACTOR_POINTERS: &[(&str, usize, usize)] = &[
    ("pbrMetallicRoughness/baseColorFactor", factor::BASE_COLOR, 4),
    ("pbrMetallicRoughness/metallicFactor", factor::METALLIC, 1),
    ("pbrMetallicRoughness/roughnessFactor", factor::ROUGHNESS, 1),
    ("normalTexture/scale", factor::NORMAL_SCALE, 1),
    ("occlusionTexture/strength", factor::OCCLUSION_STRENGTH, 1),
    ("emissiveFactor", factor::EMISSIVE, 3),
    ("extensions/KHR_materials_emissive_strength/emissiveStrength", factor::EMISSIVE_STRENGTH, 1),
    ("alphaCutoff", factor::ALPHA_CUTOFF, 1),
    ("extensions/KHR_materials_ior/ior", factor::IOR, 1),
    ("extensions/KHR_materials_specular/specularFactor", factor::SPECULAR, 1),
    ("extensions/KHR_materials_specular/specularColorFactor", factor::SPECULAR_COLOR, 3),
    ("extensions/KHR_materials_clearcoat/clearcoatFactor", factor::CLEARCOAT, 1),
    ("extensions/KHR_materials_clearcoat/clearcoatRoughnessFactor", factor::CLEARCOAT_ROUGHNESS, 1),
];

/// Where a texture-transform pointer of a slot (`offset`, `rotation`, `scale`) is among the factors.
pub fn transform_place(slot: usize, name: &str) -> Option<(usize, usize)> {
    let first = factor::TRANSFORMS + 5 * slot;
    match name {
        "offset" => Some((first, 2)),
        "rotation" => Some((first + 2, 1)),
        "scale" => Some((first + 3, 2)),
        _ => None,
    }
}

/// The numbers of a material, [`factor::COUNT`] of them.
pub fn factors(material: &Material) -> Vec<f32> {
    let mut row = vec![0.0; factor::COUNT];
    let mut put = |at: usize, values: &[f32]| row[at..at + values.len()].copy_from_slice(values);
    put(factor::BASE_COLOR, &material.base_color_factor);
    put(factor::METALLIC, &[material.metallic_factor]);
    put(factor::ROUGHNESS, &[material.roughness_factor]);
    put(factor::NORMAL_SCALE, &[material.normal_scale]);
    put(factor::OCCLUSION_STRENGTH, &[material.occlusion_strength]);
    put(factor::EMISSIVE, &material.emissive_factor);
    put(factor::EMISSIVE_STRENGTH, &[material.emissive_strength]);
    put(factor::ALPHA_CUTOFF, &[material.alpha_cutoff]);
    put(factor::IOR, &[material.ior]);
    let specular = material.specular.as_ref();
    put(factor::SPECULAR, &[specular.map_or(1.0, |s| s.factor)]);
    put(factor::SPECULAR_COLOR, &specular.map_or([1.0; 3], |s| s.color_factor));
    let coat = material.clearcoat.as_ref();
    put(factor::CLEARCOAT, &[coat.map_or(0.0, |c| c.factor)]);
    put(factor::CLEARCOAT_ROUGHNESS, &[coat.map_or(0.0, |c| c.roughness_factor)]);
    for (k, slot) in SLOTS.iter().enumerate() {
        let t = slot.of(material).and_then(|t| t.transform);
        let (offset, rotation, scale) = t.map_or(([0.0; 2], 0.0, [1.0; 2]), |t| (t.offset, t.rotation, t.scale));
        put(factor::TRANSFORMS + 5 * k, &[offset[0], offset[1], rotation, scale[0], scale[1]]);
    }
    row
}

/// How one slot is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotKey {
    /// Set of texture coordinates.
    pub texcoord: usize,
    /// Wrap and filter.
    pub sampler: Sampler,
    /// The coordinates are transformed.
    pub transformed: bool,
}

/// The structure of a material: everything that selects code rather than numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaterialKey {
    /// Textures that are present.
    pub slots: [Option<SlotKey>; SLOTS.len()],
    /// What alpha means.
    pub alpha: AlphaMode,
    /// Colour without light.
    pub unlit: bool,
    /// Index of refraction or specular colour differ from the default dielectric.
    pub specular: bool,
    /// Has a clear coat.
    pub clearcoat: bool,
    /// Vertex normals exist (else flat shading).
    pub normals: bool,
    /// Vertex colours exist.
    pub colors: bool,
}
