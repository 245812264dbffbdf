//! The frames of a surface that moves as one animated scene.

use crate::Result;
use lumigrad_scene::mesh::TriangleMesh;
use lumigrad_scene::{Material, MeshData, Node, Scene, Transform};

/// How long each frame is shown, seconds.
const SECONDS: f32 = 0.25;

/// A scene with a node for each frame, of which one is shown at a time.
pub struct Book {
    scene: Scene,
    nodes: Vec<usize>,
    /// The point that hidden frames shrink to.
    centre: [f32; 3],
}

impl Book {
    /// Without frames; `centre` is the middle of the surface.
    pub fn new(name: &str, centre: [f64; 3]) -> Result<Self> {
        let mut scene = Scene::new(name);
        let base_color_factor = [0.6, 0.6, 0.6, 1.0];
        scene.add_material(&Material {
            base_color_factor,
            metallic_factor: 0.0,
            roughness_factor: 0.7,
            ..Material::default()
        })?;
        Ok(Self { scene, nodes: vec![], centre: centre.map(|x| x as f32) })
    }

    /// Adds a frame; one without triangles shows nothing.
    pub fn page(&mut self, mesh: &TriangleMesh) -> Result<()> {
        let k = self.nodes.len();
        let name = format!("frame {k}");
        let data = MeshData {
            positions: mesh.positions.iter().map(|p| [0, 1, 2].map(|c| p[c] - self.centre[c])).collect(),
            triangles: mesh.triangles.clone(),
            normals: mesh.normals.clone(),
            ..MeshData::default()
        };
        let placed =
            if mesh.triangles.is_empty() { None } else { Some(self.scene.add_mesh(&name, &[(data, Some(0))])?) };
        let scale = [if k == 0 { 1.0 } else { 0.0 }; 3];
        let transform = Transform::Trs { translation: self.centre, rotation: [1.0, 0.0, 0.0, 0.0], scale };
        self.nodes.push(self.scene.add_node(&Node { name, mesh: placed, transform, ..Node::default() })?);
        Ok(())
    }

    /// The file of it.
    pub fn into_glb(mut self) -> Result<Vec<u8>> {
        self.scene.add_flip_book("evolution", &self.nodes, SECONDS)?;
        Ok(self.scene.to_glb()?)
    }
}
