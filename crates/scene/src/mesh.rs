//! A triangle mesh without a scene: what OBJ, PLY and STL files hold.

use crate::{Error, Result, formats};
use std::path::{Path, PathBuf};

/// What a mesh file says about the surface.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshMaterial {
    /// Name in the file.
    pub name: String,
    /// Linear RGB base colour.
    pub color: [f32; 3],
    /// The base-colour texture's file, where one is named; it may not exist.
    pub texture: Option<PathBuf>,
}

/// Vertices and triangles. Per-vertex arrays have the length of `positions`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TriangleMesh {
    /// `[V, 3]`, finite.
    pub positions: Vec<[f32; 3]>,
    /// Normals `[V, 3]` as in the file.
    pub normals: Option<Vec<[f32; 3]>>,
    /// Texture coordinates `[V, 2]`; (0, 0) is the top left of the picture.
    pub uvs: Option<Vec<[f32; 2]>>,
    /// Vertex colours `[V, 3]`, sRGB encoded in [0, 1].
    pub colors: Option<Vec<[f32; 3]>>,
    /// Vertex indices, counter-clockwise seen from the front, each below V.
    pub triangles: Vec<[u32; 3]>,
    /// Material of each triangle, an index into `materials`; empty where the file names none.
    pub triangle_materials: Vec<Option<u32>>,
    /// The materials.
    pub materials: Vec<MeshMaterial>,
}

impl TriangleMesh {
    /// Checks finite positions, indices and array lengths, so that later code may index freely.
    pub(crate) fn checked(self, location: &str) -> Result<Self> {
        let n = self.positions.len();
        if let Some(i) = self.positions.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let message = format!("vertex {i} has a position that is not finite: {:?}", self.positions[i]);
            return Err(Error::invalid(location, message, "remove or repair the vertex"));
        }
        if let Some(i) = self.triangles.iter().position(|t| t.iter().any(|&v| v as usize >= n)) {
            let message = format!("triangle {i} names vertices {:?}, but there are {n}", self.triangles[i]);
            return Err(Error::invalid(location, message, ""));
        }
        Ok(self)
    }
}

/// Reads a mesh; the format is the name's ending: `.obj`, `.ply` or `.stl`.
///
/// # Errors
/// A file that cannot be read or is damaged, and other endings.
pub fn load_mesh(path: &Path) -> Result<TriangleMesh> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "obj" => formats::obj::load(path),
        "ply" => formats::ply::load(path),
        "stl" => formats::stl::load(path),
        _ => Err(Error::unsupported(
            path.display(),
            format!("a mesh file ending in {ending:?}"),
            "use .obj, .ply or .stl",
        )),
    }
}
