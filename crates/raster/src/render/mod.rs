//! Rendering a scene: tensors from a [`Scene`](lumigrad_scene::Scene), frames, pictures.

mod camera;
mod frame;
mod geometry;
pub mod material;
mod renderer;
pub mod surface_map;

pub use camera::Camera;
pub use frame::{Aov, Frame, Rendered};
pub use geometry::{Draw, Geometry, NO_NEIGHBOUR, Vertices, neighbours};
pub use renderer::{Options, Renderer};

use crate::shading::Brdf;
use lumigrad_core::Var;
use std::collections::HashMap;
use std::sync::Arc;

/// Values that stand in for those of the scene, by pointer, and BRDFs in place of glTF's. Recorded ones get gradients.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    values: HashMap<String, Var>,
    brdfs: HashMap<usize, Arc<dyn Brdf>>,
}

impl Bindings {
    /// No value is replaced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds a value to a glTF object-model pointer.
    pub fn bind(&mut self, pointer: impl Into<String>, value: Var) {
        self.values.insert(pointer.into(), value);
    }

    /// Lets a material reflect light by another BRDF; the number after the last material's stands for meshes without one.
    /// Of the material itself alpha, emission, normal map and occlusion remain; colour, metallic, roughness and extensions
    /// are not looked at. Unlit materials stay as they are.
    pub fn reflect(&mut self, material: usize, brdf: Arc<dyn Brdf>) {
        self.brdfs.insert(material, brdf);
    }

    /// The BRDF that a material has in place of glTF's.
    pub fn brdf(&self, material: usize) -> Option<&Arc<dyn Brdf>> {
        self.brdfs.get(&material)
    }

    /// The value bound to a pointer.
    pub fn get(&self, pointer: &str) -> Option<&Var> {
        self.values.get(pointer)
    }

    /// All pointers that are bound.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// True when no pointer is bound.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
