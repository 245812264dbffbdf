//! Scenes from one format to another.

use crate::{Error, Result};
use lumigrad_scene::Scene;
use lumigrad_scene::mesh::{MeshMaterial, TriangleMesh};
use lumigrad_scene::picture::{Picture, Transfer};
use std::path::Path;

/// Reads a scene of any supported format and writes it as `.glb`, `.gltf` or `.obj`. Gives warnings: what the format of
/// `to` cannot hold.
///
/// # Errors
/// A file that cannot be read or written; an ending that is none of these, before anything is read.
pub fn convert(from: &Path, to: &Path) -> Result<Vec<String>> {
    let ending = to.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if !["glb", "gltf", "obj"].contains(&ending.as_str()) {
        let message = format!("cannot write a file ending in {ending:?}");
        return Err(Error::usage(to.display(), message, "choose .glb, .gltf or .obj"));
    }
    // Only a mesh file spells out what nodes place many times.
    let scene = if ending == "obj" { crate::files::load_scene(from)? } else { Scene::load(from)? };
    let mut warnings = scene.warnings.clone();
    if ending == "obj" {
        let (mesh, textures) = flatten(&scene)?;
        lumigrad_scene::formats::obj::save(to, &mesh, &textures)?;
        warnings.push(
            "an .obj file keeps positions, normals, texture coordinates and base colours; all else is left out".into(),
        );
    } else {
        scene.save(to)?;
    }
    Ok(warnings)
}

/// Everything that is drawn as one mesh in the world, with the base-colour pictures of its materials.
///
/// # Errors
/// Positions that are not finite in the world.
pub fn flatten(scene: &Scene) -> Result<(TriangleMesh, Vec<Option<Picture>>)> {
    let mut mesh = TriangleMesh::default();
    let (mut normals, mut uvs) = (vec![], vec![]);
    for instance in scene.instances() {
        let (primitive, world) = (scene.primitive(&instance), scene.world_geometry(&instance)?);
        let (first, n) = (mesh.positions.len() as u32, world.positions.len());
        mesh.positions.extend(&world.positions);
        if let Some(given) = world.normals.as_ref().filter(|_| normals.len() == first as usize) {
            normals.extend(given);
        }
        let info = instance.material.and_then(|m| scene.materials()[m].base_color_texture.as_ref());
        match primitive.texcoord(info.map_or(0, |i| i.texcoord)) {
            Some(given) => uvs.extend(given),
            None => uvs.resize(uvs.len() + n, [0.0; 2]),
        }
        let turned = |t: &[u32; 3]| if world.flip_winding { [t[0], t[2], t[1]] } else { *t };
        mesh.triangles.extend(primitive.triangles.iter().map(|t| turned(t).map(|v| v + first)));
        let material = instance.material.map(|m| m as u32);
        mesh.triangle_materials.resize(mesh.triangles.len(), material);
    }
    // Normals are all or nothing: a surface without any is flat-shaded, and the format holds no mixture.
    mesh.normals = (normals.len() == mesh.positions.len()).then_some(normals);
    mesh.uvs = Some(uvs);
    let mut textures = vec![];
    for material in scene.materials() {
        let [r, g, b, _] = material.base_color_factor;
        mesh.materials.push(MeshMaterial { name: material.name.clone(), color: [r, g, b], texture: None });
        let texture = material.base_color_texture.as_ref().and_then(|i| scene.textures()[i.texture].image);
        textures.push(texture.map(|i| {
            let image = &scene.images()[i];
            let data = image.rgba8.iter().map(|&x| f32::from(x) / 255.0).collect();
            let (width, height) = (image.width as usize, image.height as usize);
            Picture { width, height, channels: 4, data, transfer: Transfer::Srgb, premultiplied: false }
        }));
    }
    Ok((mesh, textures))
}
