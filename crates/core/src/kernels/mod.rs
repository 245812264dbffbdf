//! Hand-written kernels of the core. The registry lists each one once.

mod convolve;
mod correlate;
mod disjoint;
mod extreme;
mod matmul;
mod normalize;
mod radix_sort;
mod scan;
mod segment;
mod softmax;
mod sum_rows;

pub use convolve::{Geometry, convolve, convolve_back, convolve_weights};
pub use correlate::correlate;
pub use extreme::extreme_place;
pub use matmul::{Operand, matmul};
pub use normalize::{Statistics, normalize, normalize_back};
pub use radix_sort::{Sorted, radix_sort};
pub use scan::{Order, scan, scan_segments};
pub use segment::{segment_ids, segment_offsets};
pub use softmax::{softmax, softmax_back};
pub use sum_rows::sum_rows;

use crate::kernel::KernelSpec;

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[
    convolve::Convolve::SPEC,
    convolve::ConvolveWeights::SPEC,
    correlate::Correlate::SPEC,
    extreme::Extreme::SPEC,
    matmul::MatMul::SPEC,
    normalize::Normalize::SPEC,
    normalize::NormalizeBack::SPEC,
    radix_sort::RadixCount::SPEC,
    radix_sort::RadixMove::SPEC,
    scan::ScanApply::SPEC,
    scan::ScanApplyU32::SPEC,
    scan::ScanBlocks::SPEC,
    scan::ScanBlocksU32::SPEC,
    segment::SegmentIds::SPEC,
    segment::SegmentOffsets::SPEC,
    softmax::Softmax::SPEC,
    softmax::SoftmaxBack::SPEC,
    sum_rows::SumRows::SPEC,
];
