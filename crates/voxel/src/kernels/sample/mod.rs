//! Trilinear interpolation between the corners of a lattice, and its derivatives.
//!
//! With p = (x + 1)/2·(n − 1) along each axis, clamped to the lattice, the cell is ⌊p⌋, at most n − 2, and the weight of a
//! corner the product over axes of t or 1 − t, with t = p − ⌊p⌋. Where p was clamped, the slope along that axis is 0.

mod cpu;

use lumigrad_core::{kernel, params};

params! {
    /// Parameters of the kernels.
    pub struct Params {
        pub points: u32,
        pub channels: u32,
        /// Corners along each axis.
        pub nx: u32,
        pub ny: u32,
        pub nz: u32,
        /// 1: rows of corners are found in `index`, and corners that have none are 0.
        pub sparse: u32,
        pub unused: [u32; 2],
    }
}

kernel! {
    /// One point per item: its values, [points, channels].
    pub struct Sample(SampleBuffers) {
        points: read real,
        index: read u32,
        table: read real,
        values: write real,
    }
    name: "voxel/sample", wgsl: concat!(include_str!("cell.wgsl"), include_str!("values.wgsl")), entry: "sample", items_per_group: 64,
    params: Params, cpu: sample
}

kernel! {
    /// One point per item: the change of its values along a direction, [points, channels].
    pub struct SampleAlong(SampleAlongBuffers) {
        points: read real,
        index: read u32,
        table: read real,
        directions: read real,
        changes: write real,
    }
    name: "voxel/sample_along", wgsl: concat!(include_str!("cell.wgsl"), include_str!("along.wgsl")), entry: "sample_along", items_per_group: 64,
    params: Params, cpu: along
}

kernel! {
    /// One point per item: its cotangent, [points, 3].
    pub struct SamplePoints(SamplePointsBuffers) {
        points: read real,
        index: read u32,
        table: read real,
        cotangents: read real,
        gradient: write real,
    }
    name: "voxel/sample_points", wgsl: concat!(include_str!("cell.wgsl"), include_str!("points.wgsl")), entry: "sample_points", items_per_group: 64,
    params: Params, cpu: points
}

kernel! {
    /// One point per item: adds to the table's gradient what its values' cotangents say. On GPUs the order of additions is not
    /// fixed.
    pub struct SampleTable(SampleTableBuffers) {
        points: read real,
        index: read u32,
        cotangents: read real,
        gradient: update real,
    }
    name: "voxel/sample_table", wgsl: concat!(include_str!("cell.wgsl"), include_str!("table.wgsl")), entry: "sample_table", items_per_group: 64,
    params: Params, cpu: table
}
