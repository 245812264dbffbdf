//! What a scene is made of, as plain host data.

mod material;
mod mesh;
mod node;

pub use material::{
    AlphaMode, Clearcoat, Filter, Image, Material, Sampler, Specular, Texture, TextureInfo, TextureTransform,
    Transmission, Wrap,
};
pub use mesh::{Influences, Mesh, Mode, MorphTarget, Primitive};
pub use node::{Camera, Light, LightKind, Node, Projection, Skin, Transform};
