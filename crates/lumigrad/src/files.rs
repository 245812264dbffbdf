//! Loading scenes from any supported file.

use crate::Result;
use lumigrad_scene::Scene;
use std::path::Path;

/// A scene from glTF, GLB, OBJ, PLY or STL.
pub fn load_scene(path: &Path) -> Result<Scene> {
    Ok(Scene::load(path)?)
}
