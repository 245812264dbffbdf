//! The wgpu device: the one place that talks to wgpu.

mod adapters;
mod engine;
mod texture;

pub use adapters::{AdapterReport, adapters};
pub use engine::{GpuBuffer, GpuCounts, GpuDevice};
