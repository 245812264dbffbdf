//! Scenes from mesh files.

use crate::build::MeshData;
use crate::gltf::container::read_file;
use crate::gltf::images::decode;
use crate::mesh::{MeshMaterial, TriangleMesh};
use crate::model::{Material, Node};
use crate::normals::{normalize, smooth_normals};
use crate::picture::srgb_to_linear;
use crate::{Result, Scene};
use std::collections::{BTreeMap, HashMap};

impl Scene {
    /// A scene of one node: a primitive for each material of `mesh`, all dielectric (metallic 0, roughness 1).
    ///
    /// A texture that cannot be read becomes a warning.
    ///
    /// # Errors
    /// The mesh's arrays do not fit together.
    pub fn from_triangle_mesh(name: &str, mesh: &TriangleMesh) -> Result<Self> {
        let mut scene = Self::new(name);
        let mut parts: BTreeMap<Option<u32>, Vec<[u32; 3]>> = BTreeMap::new();
        for (i, triangle) in mesh.triangles.iter().enumerate() {
            parts.entry(mesh.triangle_materials.get(i).copied().flatten()).or_default().push(*triangle);
        }
        if parts.is_empty() {
            return Ok(scene);
        }
        let whole = mesh_data(mesh);
        let mut primitives = Vec::new();
        for (material, triangles) in &parts {
            let given = material.and_then(|m| mesh.materials.get(m as usize));
            let data = if parts.len() == 1 { whole.clone() } else { part_of(&whole, triangles) };
            let index = scene.import_material(given, data.texcoords.is_some())?;
            primitives.push((data, Some(index)));
        }
        let mesh = scene.add_mesh(name, &primitives)?;
        scene.add_node(&Node { name: name.to_owned(), mesh: Some(mesh), ..Node::default() })?;
        Ok(scene)
    }

    fn import_material(&mut self, given: Option<&MeshMaterial>, has_texcoords: bool) -> Result<usize> {
        let [r, g, b] = given.map_or([1.0; 3], |m| m.color);
        let index = self.add_material(&Material {
            name: given.map_or("surface".to_owned(), |m| m.name.clone()),
            base_color_factor: [r, g, b, 1.0],
            metallic_factor: 0.0,
            ..Material::default()
        })?;
        let Some(path) = given.and_then(|m| m.texture.as_ref()).filter(|_| has_texcoords) else { return Ok(index) };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match read_file(path).map_err(|e| e.to_string()).and_then(|bytes| decode(&name, &bytes)) {
            Ok(image) => {
                let slot = format!("/materials/{index}/pbrMetallicRoughness/baseColorTexture");
                self.create_texture(&slot, image.width, image.height, &image.to_f32(true))?;
            }
            Err(reason) => self.warnings.push(format!("{}: not shown: {reason}", path.display())),
        }
        Ok(index)
    }
}

fn mesh_data(mesh: &TriangleMesh) -> MeshData {
    let normals = mesh.normals.as_ref().map(|normals| {
        let mut normals = normals.clone();
        normals.iter_mut().for_each(normalize);
        let unusable = |n: &[f32; 3]| *n == [0.0; 3] || !n.iter().all(|x| x.is_finite());
        if normals.iter().any(unusable) {
            let geometric = smooth_normals(&mesh.positions, &mesh.triangles);
            normals.iter_mut().zip(geometric).filter(|(n, _)| unusable(n)).for_each(|(n, g)| *n = g);
        }
        normals
    });
    let color = |c: &[f32; 3]| [srgb_to_linear(c[0]), srgb_to_linear(c[1]), srgb_to_linear(c[2]), 1.0];
    MeshData {
        positions: mesh.positions.clone(),
        triangles: mesh.triangles.clone(),
        normals,
        texcoords: mesh.uvs.clone(),
        colors: mesh.colors.as_ref().map(|colors| colors.iter().map(color).collect()),
    }
}

/// The vertices that `triangles` use, in order of first use.
fn part_of(whole: &MeshData, triangles: &[[u32; 3]]) -> MeshData {
    let (mut new, mut old) = (HashMap::new(), Vec::new());
    let mut renumber = |v: u32| {
        *new.entry(v).or_insert_with(|| {
            old.push(v as usize);
            old.len() as u32 - 1
        })
    };
    let triangles = triangles.iter().map(|t| t.map(&mut renumber)).collect();
    fn pick<T: Copy>(values: &[T], old: &[usize]) -> Vec<T> {
        old.iter().map(|&v| values[v]).collect()
    }
    MeshData {
        positions: pick(&whole.positions, &old),
        triangles,
        normals: whole.normals.as_ref().map(|n| pick(n, &old)),
        texcoords: whole.texcoords.as_ref().map(|t| pick(t, &old)),
        colors: whole.colors.as_ref().map(|c| pick(c, &old)),
    }
}
