//! Mesh file formats other than glTF.

pub mod obj;
pub mod ply;
pub mod stl;

#[cfg(test)]
mod tests;
