//! Hand-written kernels of the core. The registry lists each one once.

mod sum_rows;

pub use sum_rows::sum_rows;

use crate::kernel::KernelSpec;

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[sum_rows::SumRows::SPEC];
