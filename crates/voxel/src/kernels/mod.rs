//! Hand-written kernels.

pub mod sample;

use lumigrad_core::kernel::KernelSpec;

/// All kernels of this crate.
pub const KERNELS: &[KernelSpec] =
    &[sample::Sample::SPEC, sample::SampleAlong::SPEC, sample::SamplePoints::SPEC, sample::SampleTable::SPEC];

#[cfg(test)]
mod tests {
    #[test]
    fn shaders_are_valid_and_match_their_declarations() {
        lumigrad_testkit::check_shaders(super::KERNELS);
    }
}
