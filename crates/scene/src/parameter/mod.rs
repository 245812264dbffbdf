//! Parameters: what can be optimised, addressed by glTF object-model pointer.

mod fields;
mod list;
mod resolve;
mod value;

pub(crate) use fields::SLOTS;

/// One parameter of a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its pointer with indices, for example `/materials/0/pbrMetallicRoughness/roughnessFactor`.
    pub pointer: String,
    /// The same with the object's name in place of its index, where it has a name.
    pub name: Option<String>,
    /// Numbers of elements along each axis; scalars are `[1]`.
    pub shape: Vec<usize>,
    /// What it means.
    pub kind: ParameterKind,
    /// Least and greatest value of every element; infinite where there is no bound.
    pub bounds: (f32, f32),
}

/// What a parameter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterKind {
    /// Vertex positions in mesh space, [V, 3].
    Position,
    /// Vertex normals, [V, 3].
    Normal,
    /// Vertex tangents and handedness, [V, 4].
    Tangent,
    /// Texture coordinates, [V, 2].
    Texcoord,
    /// Linear RGBA vertex colours, [V, 4].
    VertexColor,
    /// A picture, [H, W, 4] RGBA: RGB in linear light where `srgb`, all else as stored, divided by 255.
    Texture {
        /// Index of the image: slots with the same image are one parameter.
        image: usize,
        /// Whether the file stores RGB as sRGB.
        srgb: bool,
        /// Which of red, green, blue and alpha the slot uses.
        channels: [bool; 4],
    },
    /// A number that multiplies or limits.
    Factor,
    /// A linear colour.
    Color,
    /// A node's translation, metres.
    Translation,
    /// A node's rotation, quaternion wxyz.
    Rotation,
    /// A node's scale.
    Scale,
    /// A node's matrix that is no product of the above, [4, 4] row-major.
    Matrix,
    /// Weights of morph targets.
    MorphWeights,
    /// A property of a punctual light.
    Light,
    /// A property of a camera.
    Camera,
    /// Offset, rotation or scale of texture coordinates.
    TextureTransform,
}
