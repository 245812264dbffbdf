//! How much of a ray's light each of its samples holds, front to back, and both derivatives of it.
//!
//! τᵢ = σᵢδᵢ, Tᵢ = exp(−Σ_{j<i} τⱼ), wᵢ = Tᵢ(1 − exp(−τᵢ)). With gᵢ the cotangent of wᵢ, the cotangent of σᵢ is
//! δᵢ(gᵢTᵢ₊₁ − Σ_{j>i} gⱼwⱼ), added up from the last sample to the first, which takes no division and no difference of sums.

mod cpu;

use lumigrad_core::{kernel, params};

params! {
    /// Parameters of the kernels.
    pub struct Params {
        pub rays: u32,
        pub unused: [u32; 3],
    }
}

kernel! {
    /// One ray per item: weights of its samples.
    pub struct Weights(WeightsBuffers) {
        offsets: read u32,
        densities: read real,
        lengths: read real,
        weights: write real,
    }
    name: "volume/weights", wgsl: concat!(include_str!("common.wgsl"), include_str!("forward.wgsl")), entry: "weights_of", items_per_group: 64,
    params: Params, cpu: weights
}

kernel! {
    /// One ray per item: cotangents of its densities.
    pub struct WeightsVjp(WeightsVjpBuffers) {
        offsets: read u32,
        densities: read real,
        lengths: read real,
        cotangents: read real,
        gradient: write real,
    }
    name: "volume/weights_vjp", wgsl: concat!(include_str!("common.wgsl"), include_str!("vjp.wgsl")), entry: "weights_vjp", items_per_group: 64,
    params: Params, cpu: weights_vjp
}

kernel! {
    /// One ray per item: tangents of its weights.
    pub struct WeightsJvp(WeightsJvpBuffers) {
        offsets: read u32,
        densities: read real,
        lengths: read real,
        tangents: read real,
        moved: write real,
    }
    name: "volume/weights_jvp", wgsl: concat!(include_str!("common.wgsl"), include_str!("jvp.wgsl")), entry: "weights_jvp", items_per_group: 64,
    params: Params, cpu: weights_jvp
}
