//! Scenes as plain host data: glTF in and out, and every parameter by its pointer.
//!
//! [`Scene`] keeps the file's JSON document and buffers as the source of truth, so that saving changes only what was
//! changed; its getters give a typed model of it. [`Scene::instances`] lists what is drawn, [`Scene::world_geometry`]
//! poses it. [`Scene::resolve`] finds parameters by pattern, [`Scene::get`] and [`Scene::set`] read and write them.
//!
//! ```
//! use lumigrad_scene::{MeshData, Scene};
//!
//! let quad = MeshData {
//!     positions: vec![[0., 0., 0.], [1., 0., 0.], [1., 1., 0.], [0., 1., 0.]],
//!     triangles: vec![[0, 1, 2], [0, 2, 3]],
//!     ..MeshData::default()
//! };
//! let mut scene = Scene::from_mesh("quad", &quad, &Default::default(), None)?;
//! scene.set("/materials/0/pbrMetallicRoughness/roughnessFactor", &[0.25])?;
//! assert_eq!(scene.materials()[0].roughness_factor, 0.25);
//! # Ok::<(), lumigrad_scene::Error>(())
//! ```

pub mod environment;
pub mod formats;
pub mod mesh;
pub mod picture;
pub mod views;

mod build;
pub mod camera;
mod edit;
mod error;
mod flip_book;
mod gltf;
mod import;
mod instance;
mod model;
mod normals;
mod parameter;
mod save;
mod scene;

pub use build::MeshData;
pub use error::{Error, Result};
pub use gltf::write::write_atomically;
pub use instance::{Instance, Morphed, VertexTransform, WorldGeometry};
pub use model::*;
pub use normals::smooth_normals;
pub use parameter::{Parameter, ParameterKind};
pub use scene::Scene;
