//! Where samples lie along rays: places of a fixed lattice in cells that are not empty.
//!
//! Place number x lies at distance step·x, and with a ratio, from 1/ratio steps on, at (step/ratio)·exp(ratio·x − 1), so that
//! steps grow with distance. A ray's sample i reaches from place i + shift to the next; what counts is its middle. Cells that
//! are empty are left at once, which changes nothing of the samples in others.

mod cpu;

use lumigrad_core::{kernel, params};

params! {
    /// Parameters of [`MarchCount`] and [`MarchEmit`].
    pub struct Params {
        pub rays: u32,
        /// Cells along a side of the finest level.
        pub resolution: u32,
        /// Samples of a ray at most.
        pub most: u32,
        /// 1: space outside of the box is contracted.
        pub unbounded: u32,
        pub step: f32,
        pub ratio: f32,
        pub near: f32,
        pub far: f32,
    }
}

params! {
    /// Parameters of [`Visible`] and [`Keep`].
    pub struct KeepParams {
        pub rays: u32,
        /// Least light that must reach a sample.
        pub threshold: f32,
        /// Least weight that it must have.
        pub least: f32,
        pub unused: u32,
    }
}

kernel! {
    /// One ray per item, and one more: samples of each, 0 for the last.
    pub struct MarchCount(MarchCountBuffers) {
        origins: read real,
        directions: read real,
        shifts: read real,
        words: read u32,
        counts: write u32,
    }
    name: "volume/march_count", wgsl: concat!(include_str!("march.wgsl"), include_str!("count.wgsl"), include_str!("../span.wgsl")), entry: "march_count", items_per_group: 64,
    params: Params, cpu: march_count
}

kernel! {
    /// One ray per item: its samples' middles and lengths. Slots that were counted and are not found again (compilers may
    /// round differently) have length 0.
    pub struct MarchEmit(MarchEmitBuffers) {
        origins: read real,
        directions: read real,
        shifts: read real,
        words: read u32,
        offsets: read u32,
        middles: write real,
        lengths: write real,
    }
    name: "volume/march_emit", wgsl: concat!(include_str!("march.wgsl"), include_str!("emit.wgsl"), include_str!("../span.wgsl")), entry: "march_emit", items_per_group: 64,
    params: Params, cpu: march_emit
}

kernel! {
    /// One ray per item, and one more: samples that light reaches and that have weight, 0 for the last.
    pub struct Visible(VisibleBuffers) {
        offsets: read u32,
        densities: read real,
        lengths: read real,
        counts: write u32,
    }
    name: "volume/visible", wgsl: concat!(include_str!("reached.wgsl"), include_str!("visible.wgsl")), entry: "visible", items_per_group: 64,
    params: KeepParams, cpu: visible
}

kernel! {
    /// One ray per item: those samples.
    pub struct Keep(KeepBuffers) {
        offsets: read u32,
        kept: read u32,
        densities: read real,
        middles: read real,
        lengths: read real,
        kept_middles: write real,
        kept_lengths: write real,
    }
    name: "volume/keep", wgsl: concat!(include_str!("reached.wgsl"), include_str!("keep.wgsl")), entry: "keep", items_per_group: 64,
    params: KeepParams, cpu: keep
}
