//! The wgpu device: the one place that talks to wgpu.

mod adapters;
mod buffer;
mod draw;
mod engine;
mod pages;
mod pool;
mod recorder;
mod texture;
mod timestamps;

pub use adapters::{AdapterReport, adapters};
pub use buffer::GpuBuffer;
pub use draw::{DrawPipeline, Target};
pub use engine::{GpuCounts, GpuDevice};
pub(crate) use pages::pages;
pub(crate) use recorder::Binding;
