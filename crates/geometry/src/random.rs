//! Random numbers by counting: the same for any number of threads (SplitMix64; Steele, Lea & Flood 2014).

/// What the state grows by from number to number.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of a state.
pub(crate) fn scramble(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Number `counter` of the stream `seed`.
pub(crate) fn number(seed: u64, counter: u64) -> u64 {
    scramble(scramble(seed.wrapping_mul(STEP)).wrapping_add(counter.wrapping_add(1).wrapping_mul(STEP)))
}

/// Uniform in [0, 1) with 53 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
