//! Loading scenes from any supported file.

use crate::Result;
use lumigrad_scene::Scene;
use std::path::Path;

/// A scene from glTF, GLB, OBJ, PLY or STL.
pub fn load_scene(path: &Path) -> Result<Scene> {
    match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
        Some("obj" | "ply" | "stl") => {
            let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or("mesh");
            Ok(Scene::from_triangle_mesh(name, &lumigrad_scene::mesh::load_mesh(path)?)?)
        }
        _ => Ok(Scene::load(path)?),
    }
}
