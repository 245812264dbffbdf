//! Shading of surfaces: glTF's BRDF, punctual lights, image-based light, as expressions for maps.

pub mod brdf;
pub mod environment;
mod lighting;
pub mod lights;
mod reflected;

pub use brdf::{Clearcoat, Dielectric, Substance};
pub use environment::{EnvironmentTables, Prefilter, PrefilteredEnvironment};
pub use lighting::{ENVIRONMENT_POINTER, Lighting, LightingVars};
pub use lights::{incident, punctual_radiance};
pub use reflected::{Brdf, POINT};
