//! Hand-written kernels of this crate. The registry lists each one once.

pub mod adam_step;
mod blur_axis;

pub use blur_axis::blur;

use lumigrad_core::kernel::KernelSpec;

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[adam_step::AdamStep::SPEC, blur_axis::BlurAxis::SPEC];
