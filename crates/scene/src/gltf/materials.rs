//! Reads materials.

use crate::Result;
use crate::gltf::json::Json;
use crate::model::{AlphaMode, Clearcoat, Material, Specular, Texture, TextureInfo, TextureTransform, Transmission};

/// Reads `/materials/i`; texture slots without an image come out empty.
pub(crate) fn read_material(at: &Json<'_>, textures: &[Texture]) -> Result<Material> {
    let plain = Material::default();
    let mut material = Material {
        name: at.text("name")?.unwrap_or_default().to_owned(),
        emissive_factor: at.f32s_or("emissiveFactor", plain.emissive_factor)?,
        emissive_texture: read_slot(at, "emissiveTexture", textures)?,
        normal_texture: read_slot(at, "normalTexture", textures)?,
        normal_scale: sub_number(at, "normalTexture", "scale", plain.normal_scale)?,
        occlusion_texture: read_slot(at, "occlusionTexture", textures)?,
        occlusion_strength: sub_number(at, "occlusionTexture", "strength", plain.occlusion_strength)?,
        alpha_mode: read_alpha_mode(at)?,
        alpha_cutoff: at.f32_or("alphaCutoff", plain.alpha_cutoff)?,
        double_sided: at.flag("doubleSided")?,
        ..plain
    };
    if let Some(pbr) = at.get("pbrMetallicRoughness") {
        material.base_color_factor = pbr.f32s_or("baseColorFactor", material.base_color_factor)?;
        material.base_color_texture = read_slot(&pbr, "baseColorTexture", textures)?;
        material.metallic_factor = pbr.f32_or("metallicFactor", material.metallic_factor)?;
        material.roughness_factor = pbr.f32_or("roughnessFactor", material.roughness_factor)?;
        material.metallic_roughness_texture = read_slot(&pbr, "metallicRoughnessTexture", textures)?;
    }
    read_extensions(at, textures, &mut material)?;
    Ok(material)
}

/// Names what a material asks for and the rasteriser does not show.
pub(crate) fn warn_about_unrendered(index: usize, material: &Material, warnings: &mut Vec<String>) {
    let specular = material.specular.as_ref();
    let coat = material.clearcoat.as_ref();
    let parts = [
        ("KHR_materials_transmission", material.transmission.as_ref().is_some_and(|t| t.factor != 0.0)),
        ("KHR_materials_specular/specularTexture", specular.is_some_and(|s| s.texture.is_some())),
        ("KHR_materials_specular/specularColorTexture", specular.is_some_and(|s| s.color_texture.is_some())),
        ("KHR_materials_clearcoat/clearcoatTexture", coat.is_some_and(|c| c.texture.is_some())),
        ("KHR_materials_clearcoat/clearcoatRoughnessTexture", coat.is_some_and(|c| c.roughness_texture.is_some())),
        ("KHR_materials_clearcoat/clearcoatNormalTexture", coat.is_some_and(|c| c.normal_texture.is_some())),
    ];
    for (part, _) in parts.into_iter().filter(|(_, present)| *present) {
        warnings.push(format!("/materials/{index}/extensions/{part}: kept but not rendered"));
    }
}

fn read_extensions(at: &Json<'_>, textures: &[Texture], material: &mut Material) -> Result<()> {
    material.unlit = at.extension("KHR_materials_unlit").is_some();
    if let Some(e) = at.extension("KHR_materials_emissive_strength") {
        material.emissive_strength = e.f32_or("emissiveStrength", 1.0)?;
    }
    if let Some(e) = at.extension("KHR_materials_ior") {
        material.ior = e.f32_or("ior", 1.5)?;
    }
    if let Some(e) = at.extension("KHR_materials_specular") {
        material.specular = Some(Specular {
            factor: e.f32_or("specularFactor", 1.0)?,
            texture: read_slot(&e, "specularTexture", textures)?,
            color_factor: e.f32s_or("specularColorFactor", [1.0; 3])?,
            color_texture: read_slot(&e, "specularColorTexture", textures)?,
        });
    }
    if let Some(e) = at.extension("KHR_materials_clearcoat") {
        material.clearcoat = Some(Clearcoat {
            factor: e.f32_or("clearcoatFactor", 0.0)?,
            texture: read_slot(&e, "clearcoatTexture", textures)?,
            roughness_factor: e.f32_or("clearcoatRoughnessFactor", 0.0)?,
            roughness_texture: read_slot(&e, "clearcoatRoughnessTexture", textures)?,
            normal_texture: read_slot(&e, "clearcoatNormalTexture", textures)?,
            normal_scale: sub_number(&e, "clearcoatNormalTexture", "scale", 1.0)?,
        });
    }
    if let Some(e) = at.extension("KHR_materials_transmission") {
        let texture = read_slot(&e, "transmissionTexture", textures)?;
        material.transmission = Some(Transmission { factor: e.f32_or("transmissionFactor", 0.0)?, texture });
    }
    Ok(())
}

fn read_alpha_mode(at: &Json<'_>) -> Result<AlphaMode> {
    Ok(match at.text("alphaMode")? {
        None | Some("OPAQUE") => AlphaMode::Opaque,
        Some("MASK") => AlphaMode::Mask,
        Some("BLEND") => AlphaMode::Blend,
        Some(other) => {
            return Err(at.error(format!("alphaMode \"{other}\" does not exist"), "use OPAQUE, MASK or BLEND"));
        }
    })
}

fn sub_number(at: &Json<'_>, slot: &str, key: &str, default: f32) -> Result<f32> {
    at.get(slot).map_or(Ok(default), |slot| slot.f32_or(key, default))
}

fn read_slot(at: &Json<'_>, key: &str, textures: &[Texture]) -> Result<Option<TextureInfo>> {
    let Some(slot) = at.get(key) else { return Ok(None) };
    let Some(texture) = slot.index("index", textures.len(), "textures")? else {
        return Err(slot.error("\"index\" is missing", ""));
    };
    let mut texcoord = slot.count("texCoord")?.unwrap_or(0);
    let mut transform = None;
    if let Some(e) = slot.extension("KHR_texture_transform") {
        texcoord = e.count("texCoord")?.unwrap_or(texcoord);
        transform = Some(TextureTransform {
            offset: e.f32s_or("offset", [0.0; 2])?,
            rotation: e.f32_or("rotation", 0.0)?,
            scale: e.f32s_or("scale", [1.0; 2])?,
        });
    }
    Ok(textures[texture].image.map(|_| TextureInfo { texture, texcoord, transform }))
}
