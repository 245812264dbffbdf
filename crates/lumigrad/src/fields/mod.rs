//! What becomes of trained fields: meshes, pictures, sounds; and what fits share with that.

pub(crate) mod brdf;
pub(crate) mod extract;
mod file;
pub(crate) mod mesh;
pub(crate) mod operators;
pub(crate) mod place;
pub(crate) mod render;
pub(crate) mod residual;
pub(crate) mod seen;
pub(crate) mod shade;
pub(crate) mod shading;
pub(crate) mod signal;
pub(crate) mod solid;
pub(crate) mod sound;
pub(crate) mod source;
pub(crate) mod splats;
pub(crate) mod surface;
pub(crate) mod textured;
pub(crate) mod trace;

pub use brdf::FieldBrdf;
pub(crate) use file::FieldFile;
pub use file::find;
pub use mesh::{MeshJob, mesh};
pub use operators::DERIVATIONS;
pub use render::{own_flags, render};
pub use shading::SHADINGS;
