//! Kernels that send rays through Gaussians, tile by tile.

use super::cpu;
use lumigrad_core::{kernel, params};

params! {
    /// Parameters of all of them.
    pub struct RayParams {
        pub width: u32,
        pub height: u32,
        /// Tiles in a row, and all of them.
        pub columns: u32,
        pub tiles: u32,
        /// log₂ of the least optical depth that is seen.
        pub least: f32,
        /// Near plane.
        pub near: f32,
        /// log₂ of the intervals in an octave of depths.
        pub bits: u32,
        pub unused: u32,
    }
}

kernel! {
    /// The picture [H·W, 5] of Gaussians [N, 15] in lists, by rays of the lengths [H·W, 1].
    pub struct RayComposite(RayCompositeBuffers) {
        rays: read real,
        lengths: read real,
        ids: read u32,
        starts: read u32,
        picture: write real,
    }
    name: "splat/ray_composite", wgsl: concat!(include_str!("ray.wgsl"), include_str!("composite.wgsl")), entry: "ray_composite", items_per_group: 1,
    params: RayParams, cpu: composite
}

kernel! {
    /// For each entry of the lists, at its slot, the derivative by its Gaussian [M, 15], and that by the lengths [H·W, 1].
    /// `pixels` [H·W, 2] are lengths, and the products of picture and gradient.
    pub struct RayGradient(RayGradientBuffers) {
        rays: read real,
        pixels: read real,
        ids: read u32,
        starts: read u32,
        slots: read u32,
        grads: read real,
        parts: write real,
        by_lengths: write real,
    }
    name: "splat/ray_gradient", wgsl: concat!(include_str!("ray.wgsl"), include_str!("gradient.wgsl")), entry: "ray_gradient", items_per_group: 1,
    params: RayParams, cpu: gradient
}

kernel! {
    /// The change of the picture for a change of Gaussians and lengths.
    pub struct RayTangent(RayTangentBuffers) {
        rays: read real,
        lengths: read real,
        ids: read u32,
        starts: read u32,
        tangents: read real,
        length_tangents: read real,
        change: write real,
    }
    name: "splat/ray_tangent", wgsl: concat!(include_str!("ray.wgsl"), include_str!("tangent.wgsl")), entry: "ray_tangent", items_per_group: 1,
    params: RayParams, cpu: tangent
}
