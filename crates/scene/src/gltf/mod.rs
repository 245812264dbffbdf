//! glTF 2.0 and GLB: from bytes to the typed model and back.

pub(crate) mod accessor;
pub(crate) mod container;
pub(crate) mod images;
pub(crate) mod json;
pub(crate) mod materials;
pub(crate) mod meshes;
pub(crate) mod nodes;
pub(crate) mod pack;
pub(crate) mod write;

use crate::gltf::json::Json;
use crate::{Error, Result};

/// Extensions that change nothing the typed model leaves out.
const UNDERSTOOD: &[&str] = &[
    "EXT_texture_webp",
    "KHR_lights_punctual",
    "KHR_materials_clearcoat",
    "KHR_materials_emissive_strength",
    "KHR_materials_ior",
    "KHR_materials_specular",
    "KHR_materials_transmission",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
];

/// Extensions that a still picture of the default look may ignore, even where the file requires them.
const HARMLESS: &[&str] =
    &["KHR_animation_pointer", "KHR_materials_variants", "KHR_xmp_json_ld", "KHR_xmp", "MSFT_lod"];

/// Checks the version and the required extensions; warns about what is kept but not understood.
pub(crate) fn check_features(root: &Json<'_>, warnings: &mut Vec<String>) -> Result<()> {
    let asset = root.get("asset").ok_or_else(|| root.error("\"asset\" is missing", "this is no glTF 2.0 file"))?;
    let version =
        asset.text("version")?.ok_or_else(|| asset.error("\"version\" is missing", "this is no glTF 2.0 file"))?;
    if version.split('.').next() != Some("2") {
        return Err(Error::unsupported(
            asset.location(),
            format!("glTF version {version}"),
            "convert the file to glTF 2.0",
        ));
    }
    if let Some(required) = root.get("extensionsRequired") {
        for extension in required.items()? {
            let name = extension.as_text()?;
            if !UNDERSTOOD.contains(&name) && !HARMLESS.contains(&name) {
                let help = "export the scene without this extension";
                return Err(Error::unsupported(extension.location(), format!("the required extension {name}"), help));
            }
        }
    }
    if let Some(used) = root.get("extensionsUsed") {
        for extension in used.items()? {
            let name = extension.as_text()?;
            if !UNDERSTOOD.contains(&name) {
                warnings.push(format!("{}: {name} is kept but not rendered", extension.pointer()));
            }
        }
    }
    if root.len_of("animations") > 0 {
        warnings.push("/animations: kept but not played; the rest pose is used".to_owned());
    }
    Ok(())
}
