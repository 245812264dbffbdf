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

use lumigrad_core::Var;
use std::collections::HashMap;

/// Values that stand in for those of the scene, by pointer. Recorded ones get gradients.
#[derive(Clone, Debug, Default)]
pub struct Bindings(HashMap<String, Var>);

impl Bindings {
    /// No value is replaced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds a value to a glTF object-model pointer.
    pub fn bind(&mut self, pointer: impl Into<String>, value: Var) {
        self.0.insert(pointer.into(), value);
    }

    /// The value bound to a pointer.
    pub fn get(&self, pointer: &str) -> Option<&Var> {
        self.0.get(pointer)
    }

    /// All pointers that are bound.
    pub fn pointers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// True when nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
