//! Hand-written kernels of the core. The registry lists each one once.

mod correlate;
mod extreme;
mod matmul;
mod sum_rows;

pub use correlate::correlate;
pub use extreme::extreme_place;
pub use matmul::{Operand, matmul};
pub use sum_rows::sum_rows;

use crate::kernel::KernelSpec;

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] =
    &[correlate::Correlate::SPEC, extreme::Extreme::SPEC, matmul::MatMul::SPEC, sum_rows::SumRows::SPEC];
