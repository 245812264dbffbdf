//! Scenes that can be painted: with texture coordinates and materials.

use crate::Result;
use crate::run::flatten;
use lumigrad_geometry::{Atlas, AtlasOptions, weld_positions};
use lumigrad_scene::{Material, MeshData, Mode, Scene};

/// Texels between charts.
const GUTTER: usize = 4;

/// The scene itself where all that is drawn has a material and texture coordinates for it; else one mesh of all, in the world,
/// with an atlas of `size` texels and one material.
///
/// # Errors
/// A surface that no atlas of this size holds.
pub fn paintable(scene: Scene, size: usize) -> Result<(Scene, Option<usize>)> {
    let whole = scene.instances().iter().all(|instance| {
        let primitive = scene.primitive(instance);
        let set = |m: usize| scene.materials()[m].base_color_texture.as_ref().map_or(0, |t| t.texcoord);
        primitive.mode != Mode::Triangles || instance.material.is_some_and(|m| primitive.texcoord(set(m)).is_some())
    });
    if whole {
        return Ok((scene, None));
    }
    let (mesh, _) = flatten(&scene)?;
    let (class, n) = weld_positions(&mesh.positions);
    let mut positions = vec![[0.0; 3]; n];
    mesh.positions.iter().zip(&class).for_each(|(p, &c)| positions[c as usize] = *p);
    let distinct = |t: &[u32; 3]| t[0] != t[1] && t[1] != t[2] && t[2] != t[0];
    let triangles: Vec<[u32; 3]> =
        mesh.triangles.iter().map(|t| t.map(|v| class[v as usize])).filter(distinct).collect();
    let atlas = Atlas::new(&positions, &triangles, &AtlasOptions { size, gutter: GUTTER })?;
    let data = MeshData {
        positions: atlas.rows(&positions),
        triangles: atlas.triangles.clone(),
        texcoords: Some(atlas.uvs.clone()),
        ..MeshData::default()
    };
    let material =
        Material { name: "painted".into(), metallic_factor: 0.0, roughness_factor: 0.8, ..Material::default() };
    Ok((Scene::from_mesh("painted", &data, &material, None)?, Some(atlas.n_charts)))
}
