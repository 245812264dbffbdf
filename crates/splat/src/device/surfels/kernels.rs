//! Kernels that composite surfels, tile by tile.

use super::cpu;
use lumigrad_core::{kernel, params};

params! {
    /// Parameters of all of them.
    pub struct SurfelParams {
        pub width: u32,
        pub height: u32,
        /// Tiles in a row, and all of them.
        pub columns: u32,
        pub tiles: u32,
        /// log₂ of the least alpha that is drawn.
        pub least: f32,
        /// Near plane.
        pub near: f32,
        pub unused: [u32; 2],
    }
}

kernel! {
    /// The picture [H·W, 10] of surfels [N, 18] in lists.
    pub struct SurfelComposite(SurfelCompositeBuffers) {
        surfels: read real,
        ids: read u32,
        starts: read u32,
        picture: write real,
    }
    name: "splat/surfel_composite", wgsl: concat!(include_str!("../kernels/square.wgsl"), include_str!("surfel.wgsl"), include_str!("composite.wgsl")), entry: "surfel_composite", items_per_group: 1,
    params: SurfelParams, cpu: composite
}

kernel! {
    /// For each entry of the lists, at its slot, the derivative by its surfel [M, 18].
    pub struct SurfelGradient(SurfelGradientBuffers) {
        surfels: read real,
        ids: read u32,
        starts: read u32,
        slots: read u32,
        picture: read real,
        grads: read real,
        parts: write real,
    }
    name: "splat/surfel_gradient", wgsl: concat!(include_str!("../kernels/square.wgsl"), include_str!("surfel.wgsl"), include_str!("gradient.wgsl")), entry: "surfel_gradient", items_per_group: 1,
    params: SurfelParams, cpu: gradient
}

kernel! {
    /// The change of the picture for a change of the surfels.
    pub struct SurfelTangent(SurfelTangentBuffers) {
        surfels: read real,
        ids: read u32,
        starts: read u32,
        tangents: read real,
        change: write real,
    }
    name: "splat/surfel_tangent", wgsl: concat!(include_str!("../kernels/square.wgsl"), include_str!("surfel.wgsl"), include_str!("tangent.wgsl")), entry: "surfel_tangent", items_per_group: 1,
    params: SurfelParams, cpu: tangent
}

kernel! {
    /// One more than the number of the surfel at which half of a pixel's light is taken, [H·W]; 0 where it never is.
    pub struct SurfelMedian(SurfelMedianBuffers) {
        surfels: read real,
        ids: read u32,
        starts: read u32,
        chosen: write u32,
    }
    name: "splat/surfel_median", wgsl: concat!(include_str!("../kernels/square.wgsl"), include_str!("surfel.wgsl"), include_str!("median.wgsl")), entry: "surfel_median", items_per_group: 1,
    params: SurfelParams, cpu: median
}
