//! Meshes.

/// Several primitives that move together.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    /// Name in the file; may be empty.
    pub name: String,
    /// The parts, each with one material.
    pub primitives: Vec<Primitive>,
    /// Default weights of the morph targets; one per target.
    pub weights: Vec<f32>,
}

/// What a primitive is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Triangle lists, strips and fans; `triangles` holds them as a list.
    #[default]
    Triangles,
    /// Points: kept in the file, not rendered.
    Points,
    /// Lines, strips or loops of lines: kept in the file, not rendered.
    Lines,
}

/// Vertices and triangles with one material.
///
/// All per-vertex arrays that are present have the length of `positions`.
#[derive(Clone, Debug, Default)]
pub struct Primitive {
    /// Triangles, points or lines.
    pub mode: Mode,
    /// Vertex indices, counter-clockwise seen from the front; each is below `positions.len()`.
    pub triangles: Vec<[u32; 3]>,
    /// Positions in mesh space, metres, finite.
    pub positions: Vec<[f32; 3]>,
    /// Unit normals in mesh space; `None`: the surface is flat-shaded.
    pub normals: Option<Vec<[f32; 3]>>,
    /// Unit tangents (xyz) and handedness (w = ±1) in mesh space; made by MikkTSpace where the file has none and
    /// the material has a normal map, so they are absent only where nothing needs them or normals or uvs lack.
    pub tangents: Option<Vec<[f32; 4]>>,
    /// Whether `tangents` were made here rather than read.
    pub tangents_generated: bool,
    /// Texture coordinates by set; a set that the file skips is empty. (0, 0) is the top left of the picture.
    pub texcoords: Vec<Vec<[f32; 2]>>,
    /// Linear RGBA vertex colours, multiplied with the base colour.
    pub colors: Option<Vec<[f32; 4]>>,
    /// Which joints move each vertex.
    pub influences: Option<Influences>,
    /// Morph targets.
    pub targets: Vec<MorphTarget>,
    /// Index of the material; `None` is glTF's default material.
    pub material: Option<usize>,
}

impl Primitive {
    /// The texture coordinates of set `set`, where the primitive has them.
    pub fn texcoord(&self, set: usize) -> Option<&[[f32; 2]]> {
        self.texcoords.get(set).map(Vec::as_slice).filter(|uv| !uv.is_empty())
    }
}

/// Joints and weights, `per_vertex` of each for every vertex.
#[derive(Clone, Debug, Default)]
pub struct Influences {
    /// Entries for each vertex: 4 for each set in the file.
    pub per_vertex: usize,
    /// Indices into the skin's joints, [V · per_vertex].
    pub joints: Vec<u32>,
    /// Weights that sum to one for each vertex, [V · per_vertex].
    pub weights: Vec<f32>,
}

/// Differences that a morph target adds, each scaled by the target's weight.
#[derive(Clone, Debug, Default)]
pub struct MorphTarget {
    /// Added to positions; empty or one per vertex.
    pub positions: Vec<[f32; 3]>,
    /// Added to normals; empty or one per vertex.
    pub normals: Vec<[f32; 3]>,
    /// Added to tangents' xyz; empty or one per vertex.
    pub tangents: Vec<[f32; 3]>,
}
