//! Meshes with textures: what a source's light looks like on a surface that was taken out of it.

mod bake;
mod job;
mod normals;
mod photographs;
mod refit;
#[cfg(test)]
mod tests;
mod visible;

pub use bake::painted;
use bake::{baked, normal_map};
pub use job::{score, seen, textured};
pub use normals::{coded, normals};
pub use photographs::Photographs;
pub use refit::{Fitted, Target, camera, linear, picture, pictures, shuffled};
use refit::{Refit, refit, scored};
use visible::visible;

use crate::{Error, Result};
use lumigrad_geometry::{Atlas, AtlasOptions};
use lumigrad_scene::formats::obj;
use lumigrad_scene::mesh::{MeshMaterial, TriangleMesh};
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_scene::{Filter, Material, MeshData, Node, Sampler, Scene, Wrap};
use std::path::Path;

/// Texels between charts.
const GUTTER: usize = 2;
/// Sizes that are chosen where none is given.
const SIZES: [usize; 4] = [512, 1024, 2048, 4096];
/// Texels of a triangle that a size is chosen for.
const TEXELS: usize = 6;
/// Where a material keeps its pictures.
const BASE: &str = "/materials/0/pbrMetallicRoughness/baseColorTexture";
const NORMAL: &str = "/materials/0/normalTexture";

/// A surface of the world with pictures on it.
#[derive(Clone)]
pub struct Textured {
    /// Vertices before they were cut, [V, 3].
    pub positions: Vec<[f32; 3]>,
    /// Their normals, [V, 3].
    pub normals: Vec<[f32; 3]>,
    /// The cut surface.
    pub atlas: Atlas,
    /// Colours of the texels, [S · S], sRGB encoded.
    pub colours: Vec<[f32; 3]>,
    /// Normals of the texels, [S · S], in tangent space.
    pub normal_map: Option<Vec<[f32; 3]>>,
}

/// An atlas with as many texels as are asked for, or as suit the number of triangles.
///
/// # Errors
/// A size that the charts do not fit in.
pub fn atlas(positions: &[[f32; 3]], triangles: &[[u32; 3]], size: Option<usize>) -> Result<Atlas> {
    let cut = |size| Atlas::new(positions, triangles, &AtlasOptions { size, gutter: GUTTER });
    if let Some(size) = size {
        return cut(size)
            .map_err(|e| Error::usage("--texture-size", e.to_string(), "a larger one, or fewer --triangles"));
    }
    let wanted = ((TEXELS * triangles.len()) as f64).sqrt();
    let first = SIZES.iter().position(|s| *s as f64 * std::f64::consts::SQRT_2 > wanted).unwrap_or(SIZES.len() - 1);
    let mut found = cut(SIZES[first]);
    for &size in &SIZES[first + 1..] {
        if found.is_ok() {
            break;
        }
        found = cut(size);
    }
    Ok(found?)
}

/// A scene of one surface whose colours are light.
///
/// # Errors
/// Numbers that are not finite.
pub fn glowing(data: MeshData) -> Result<Scene> {
    let mut scene = Scene::new("surface");
    let name = "surface".to_owned();
    let material = Material { name, metallic_factor: 0.0, unlit: true, ..Material::default() };
    let material = scene.add_material(&material)?;
    let mesh = scene.add_mesh("surface", &[(data, Some(material))])?;
    scene.add_node(&Node { name: "surface".into(), mesh: Some(mesh), ..Node::default() })?;
    Ok(scene)
}

impl Textured {
    /// What a renderer draws: colours are light that is the same from all sides, so that no light is needed.
    ///
    /// # Errors
    /// Numbers that are not finite.
    pub fn scene(&self) -> Result<Scene> {
        let mut scene = glowing(MeshData {
            positions: self.atlas.rows(&self.positions),
            triangles: self.atlas.triangles.clone(),
            normals: Some(self.atlas.rows(&self.normals)),
            texcoords: Some(self.atlas.uvs.clone()),
            colors: None,
        })?;
        let texels = |values: &[[f32; 3]]| values.iter().flat_map(|c| [c[0], c[1], c[2], 1.0]).collect::<Vec<f32>>();
        let linear: Vec<[f32; 3]> =
            self.colours.iter().map(|c| c.map(lumigrad_scene::picture::srgb_to_linear)).collect();
        let size = self.atlas.size as u32;
        scene.create_texture(BASE, size, size, &texels(&linear))?;
        if let Some(normals) = &self.normal_map {
            let coded: Vec<[f32; 3]> = normals.iter().map(|n| n.map(|x| 0.5 + 0.5 * x)).collect();
            scene.create_texture(NORMAL, size, size, &texels(&coded))?;
        }
        // Coarser levels would mix charts that are neighbours in the picture alone.
        let plain = Sampler {
            wrap_s: Wrap::ClampToEdge,
            wrap_t: Wrap::ClampToEdge,
            mag: Filter::Linear,
            min: Filter::Linear,
            mip: None,
        };
        for texture in 0..scene.textures().len() {
            scene.set_sampler(texture, plain)?;
        }
        Ok(scene)
    }

    /// Writes .glb, .gltf, or .obj with its pictures beside it.
    ///
    /// # Errors
    /// Other endings; files that cannot be written.
    pub fn save(&self, to: &Path) -> Result<()> {
        match ending(to).as_str() {
            "glb" | "gltf" => Ok(self.scene()?.save(to)?),
            "obj" => {
                let material = MeshMaterial { name: "surface".into(), color: [1.0; 3], texture: None };
                let mesh = TriangleMesh {
                    positions: self.atlas.rows(&self.positions),
                    normals: Some(self.atlas.rows(&self.normals)),
                    uvs: Some(self.atlas.uvs.clone()),
                    triangles: self.atlas.triangles.clone(),
                    triangle_materials: vec![Some(0); self.atlas.triangles.len()],
                    materials: vec![material],
                    ..TriangleMesh::default()
                };
                Ok(obj::save(to, &mesh, &[Some(self.picture())])?)
            }
            other => {
                let message = format!("files ending in {other:?} hold no textures");
                Err(Error::usage(to.display(), message, "choose .glb, .gltf or .obj, or --appearance vertices"))
            }
        }
    }

    fn picture(&self) -> Picture {
        let (size, data) = (self.atlas.size, self.colours.as_flattened().to_vec());
        Picture { width: size, height: size, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false }
    }
}

/// A file name's ending in lower case.
pub fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}
