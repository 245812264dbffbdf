//! How far apart along a ray its weight lies (distortion of Barron et al. 2022, eq. 15), in linear time.
//!
//! L = Σᵢⱼ wᵢwⱼ|mᵢ − mⱼ| + ⅓Σ wᵢ²δᵢ = ½⟨w, Aw⟩, where (Aw)ₖ = 2[mₖ(W< − W>) − (WM< − WM>)] + ⅔δₖwₖ, with W and WM the sums
//! of w and wm before and behind. A is symmetric: it is its own transpose.

mod cpu;

use lumigrad_core::{kernel, params};

params! {
    /// Parameters of the kernel.
    pub struct Params {
        pub rays: u32,
        pub unused: [u32; 3],
    }
}

kernel! {
    /// One ray per item: A w.
    pub struct Spread(SpreadBuffers) {
        offsets: read u32,
        middles: read real,
        lengths: read real,
        weights: read real,
        pulls: write real,
    }
    name: "volume/spread", wgsl: include_str!("spread.wgsl"), entry: "spread", items_per_group: 64,
    params: Params, cpu: spread
}
