//! Mesh files become scenes.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::mesh::{MeshMaterial, TriangleMesh};
use lumigrad_scene::{ParameterKind, Scene};

fn material(name: &str, color: [f32; 3]) -> MeshMaterial {
    MeshMaterial { name: name.into(), color, texture: None }
}

#[test]
fn each_material_becomes_a_primitive_with_the_vertices_it_uses() {
    let mesh = TriangleMesh {
        positions: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
        normals: Some(vec![[0.0, 0.0, 2.0], [0.0; 3], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]),
        triangles: vec![[0, 1, 2], [2, 1, 3]],
        triangle_materials: vec![Some(0), Some(1)],
        materials: vec![material("red", [1.0, 0.0, 0.0]), material("blue", [0.0, 0.0, 1.0])],
        ..TriangleMesh::default()
    };
    let scene = Scene::from_triangle_mesh("two", &mesh).unwrap();
    let drawn = scene.instances();
    assert_eq!(drawn.len(), 2);
    assert_eq!(scene.primitive(&drawn[1]).positions, [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]);
    assert_eq!(scene.primitive(&drawn[0]).normals, Some(vec![[0.0, 0.0, 1.0]; 3]), "unit, and never zero");
    assert_eq!(scene.materials()[1].base_color_factor, [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(scene.materials()[1].metallic_factor, 0.0);
    assert!(Scene::from_triangle_mesh("none", &TriangleMesh::default()).unwrap().instances().is_empty());
}

#[test]
fn mesh_files_load_as_scenes_and_survive_as_glb() {
    let Some(data) = common::data() else { return };
    for (file, triangles) in [("spot.obj", 5856), ("bunny_binary.ply", 16301), ("suzanne.obj", 968)] {
        let scene = Scene::load(data.join("meshes").join(file)).unwrap();
        let drawn = scene.instances();
        assert_eq!(drawn.len(), 1, "{file}");
        let count = scene.primitive(&drawn[0]).triangles.len();
        println!("{file}: {count} triangles");
        assert_eq!(count, triangles, "{file}");
        let again = Scene::from_bytes(&scene.to_glb().unwrap(), file).unwrap();
        assert_eq!(
            again.world_geometry(&again.instances()[0]).unwrap().positions,
            scene.primitive(&drawn[0]).positions
        );
        let positions = again.resolve("/meshes/*/primitives/*/attributes/POSITION").unwrap();
        assert_eq!(positions[0].kind, ParameterKind::Position);
    }
}
