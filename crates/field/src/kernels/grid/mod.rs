//! Interpolation in grids of several resolutions, stored whole or by a hash (Müller et al. 2022, §3).
//!
//! A level looks at some axes of the points. With the points in [0, 1], p = x·scale + ½; the cell is ⌊p⌋, the weight of a
//! corner the product over axes of s(t) or 1 − s(t), with t = p − ⌊p⌋ and s(t) = t or, smooth, t²(3 − 2t). A level's
//! streams are derivatives of these weights by the points; each level's rows begin at its offset.

mod cpu;

use lumigrad_core::{kernel, params};

/// Words of a level in the buffer `levels`: offset of its rows, their number, its resolution, its scale (bits of an f32),
/// whether rows are found by a hash, number of axes, and the axes, 8 bits each.
pub const LEVEL: usize = 8;

/// Bit of a stream's code for "the sum over the level's axes of second derivatives of this". The other bits are, 4 per
/// axis, how often the value is differentiated along it.
pub const LAPLACIAN: u32 = 1 << 31;

params! {
    /// Parameters of both kernels.
    pub struct Params {
        pub points: u32,
        pub dim: u32,
        pub levels: u32,
        /// Of a level.
        pub features: u32,
        pub streams: u32,
        /// 1: weights are smooth.
        pub ease: u32,
        pub unused: [u32; 2],
    }
}

kernel! {
    /// One point on one level per item: its features in every stream, [streams, points, levels · features].
    pub struct GridEncode(GridEncodeBuffers) {
        points: read real,
        table: read real,
        levels: read u32,
        codes: read u32,
        encoded: write real,
    }
    name: "field/grid_encode", wgsl: concat!(include_str!("cell.wgsl"), include_str!("encode.wgsl")), entry: "grid_encode", items_per_group: 64,
    params: Params, cpu: encode
}

kernel! {
    /// One point on one level per item: adds to the gradient of the table what its features' cotangents say. On GPUs the order
    /// of additions is not fixed.
    pub struct GridTable(GridTableBuffers) {
        points: read real,
        levels: read u32,
        codes: read u32,
        cotangents: read real,
        gradient: update real,
    }
    name: "field/grid_table", wgsl: concat!(include_str!("cell.wgsl"), include_str!("table.wgsl")), entry: "grid_table", items_per_group: 64,
    params: Params, cpu: table
}
