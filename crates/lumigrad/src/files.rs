//! Loading scenes from any supported file.

use crate::Result;
use crate::run::{require_memory, scene_bytes};
use lumigrad_scene::Scene;
use std::path::Path;

/// A scene from glTF, GLB, OBJ, PLY or STL, to be rendered or posed.
///
/// # Errors
/// As [`Scene::load`]; or there is not enough memory for all that it places: a small file may place a mesh at very many
/// nodes.
pub fn load_scene(path: &Path) -> Result<Scene> {
    let scene = Scene::load(path)?;
    let help = "give the scene smaller textures, or place its meshes at fewer nodes";
    require_memory(scene_bytes(&scene), scene.file(), help)?;
    Ok(scene)
}
