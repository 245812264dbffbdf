//! The tables of fields: pointer, size, meaning, bounds and default of everything that is a number in the JSON.

use super::ParameterKind::{self, Camera, Color, Factor, Light, TextureTransform};
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI};

const INF: f32 = f32::INFINITY;

/// A number or an array of numbers in the JSON.
pub(super) struct Field {
    /// Keys below the object, joined by `/`.
    pub path: &'static str,
    /// What it is where the file says nothing; its length is the field's.
    pub default: &'static [f32],
    pub kind: ParameterKind,
    pub bounds: (f32, f32),
}

const fn field(path: &'static str, default: &'static [f32], kind: ParameterKind, bounds: (f32, f32)) -> Field {
    Field { path, default, kind, bounds }
}

pub(super) const MATERIAL: &[Field] = &[
    field("pbrMetallicRoughness/baseColorFactor", &[1.0; 4], Color, (0.0, 1.0)),
    field("pbrMetallicRoughness/metallicFactor", &[1.0], Factor, (0.0, 1.0)),
    field("pbrMetallicRoughness/roughnessFactor", &[1.0], Factor, (0.0, 1.0)),
    field("emissiveFactor", &[0.0; 3], Color, (0.0, 1.0)),
    field("normalTexture/scale", &[1.0], Factor, (-INF, INF)),
    field("occlusionTexture/strength", &[1.0], Factor, (0.0, 1.0)),
    field("alphaCutoff", &[0.5], Factor, (0.0, 1.0)),
    field("extensions/KHR_materials_emissive_strength/emissiveStrength", &[1.0], Factor, (0.0, INF)),
    field("extensions/KHR_materials_ior/ior", &[1.5], Factor, (1.0, INF)),
    field("extensions/KHR_materials_specular/specularFactor", &[1.0], Factor, (0.0, 1.0)),
    field("extensions/KHR_materials_specular/specularColorFactor", &[1.0; 3], Color, (0.0, INF)),
    field("extensions/KHR_materials_clearcoat/clearcoatFactor", &[0.0], Factor, (0.0, 1.0)),
    field("extensions/KHR_materials_clearcoat/clearcoatRoughnessFactor", &[0.0], Factor, (0.0, 1.0)),
    field("extensions/KHR_materials_clearcoat/clearcoatNormalTexture/scale", &[1.0], Factor, (-INF, INF)),
    field("extensions/KHR_materials_transmission/transmissionFactor", &[0.0], Factor, (0.0, 1.0)),
];

/// Below every texture slot.
pub(super) const TRANSFORM: &[Field] = &[
    field("extensions/KHR_texture_transform/offset", &[0.0; 2], TextureTransform, (-INF, INF)),
    field("extensions/KHR_texture_transform/rotation", &[0.0], TextureTransform, (-INF, INF)),
    field("extensions/KHR_texture_transform/scale", &[1.0; 2], TextureTransform, (-INF, INF)),
];

pub(super) const PERSPECTIVE: &[Field] = &[field("perspective/yfov", &[0.8], Camera, (1e-4, PI - 1e-4))];

pub(super) const ORTHOGRAPHIC: &[Field] =
    &[field("orthographic/xmag", &[1.0], Camera, (1e-9, INF)), field("orthographic/ymag", &[1.0], Camera, (1e-9, INF))];

pub(super) const LIGHT: &[Field] = &[
    field("color", &[1.0; 3], Color, (0.0, INF)),
    field("intensity", &[1.0], Light, (0.0, INF)),
    field("range", &[INF], Light, (1e-9, INF)),
    field("spot/innerConeAngle", &[0.0], Light, (0.0, FRAC_PI_2)),
    field("spot/outerConeAngle", &[FRAC_PI_4], Light, (0.0, FRAC_PI_2)),
];

/// A texture slot of a material.
pub(crate) struct Slot {
    /// Keys below the material, joined by `/`.
    pub path: &'static str,
    /// Whether RGB is stored as sRGB.
    pub srgb: bool,
    /// Which of R, G, B, A are used.
    pub channels: [bool; 4],
}

const fn slot(path: &'static str, srgb: bool, channels: [u8; 4]) -> Slot {
    let [r, g, b, a] = channels;
    Slot { path, srgb, channels: [r == 1, g == 1, b == 1, a == 1] }
}

pub(crate) const SLOTS: &[Slot] = &[
    slot("pbrMetallicRoughness/baseColorTexture", true, [1, 1, 1, 1]),
    slot("pbrMetallicRoughness/metallicRoughnessTexture", false, [0, 1, 1, 0]),
    slot("normalTexture", false, [1, 1, 1, 0]),
    slot("occlusionTexture", false, [1, 0, 0, 0]),
    slot("emissiveTexture", true, [1, 1, 1, 0]),
    slot("extensions/KHR_materials_specular/specularTexture", false, [0, 0, 0, 1]),
    slot("extensions/KHR_materials_specular/specularColorTexture", true, [1, 1, 1, 0]),
    slot("extensions/KHR_materials_clearcoat/clearcoatTexture", false, [1, 0, 0, 0]),
    slot("extensions/KHR_materials_clearcoat/clearcoatRoughnessTexture", false, [0, 1, 0, 0]),
    slot("extensions/KHR_materials_clearcoat/clearcoatNormalTexture", false, [1, 1, 1, 0]),
    slot("extensions/KHR_materials_transmission/transmissionTexture", false, [1, 0, 0, 0]),
];
