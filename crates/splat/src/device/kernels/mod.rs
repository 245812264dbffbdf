//! Kernels that composite splats, tile by tile.

mod cpu;
mod tiles;

pub(crate) use cpu::{tiled, untiled, with_precision};

use super::surfels::kernels::{SurfelComposite, SurfelGradient, SurfelMedian, SurfelTangent};
use crate::raycast::kernels::{RayComposite, RayGradient, RayTangent};
use lumigrad_core::kernel::KernelSpec;
use lumigrad_core::{kernel, params};

params! {
    /// Parameters of all of them.
    pub struct Params {
        pub width: u32,
        pub height: u32,
        /// Tiles in a row, and all of them.
        pub columns: u32,
        pub tiles: u32,
        /// log₂ of the least alpha that is drawn.
        pub least: f32,
        pub unused: [u32; 3],
    }
}

kernel! {
    /// The picture [H·W, 5] of splats [N, 10] in lists.
    pub struct Composite(CompositeBuffers) {
        splats: read real,
        ids: read u32,
        starts: read u32,
        picture: write real,
    }
    name: "splat/composite", wgsl: concat!(include_str!("square.wgsl"), include_str!("tile.wgsl"), include_str!("composite.wgsl")), entry: "composite", items_per_group: 1,
    params: Params, cpu: composite
}

kernel! {
    /// For each entry of the lists, at its slot, the moments of the derivative by its splat.
    pub struct CompositeMoments(CompositeMomentsBuffers) {
        splats: read real,
        ids: read u32,
        starts: read u32,
        slots: read u32,
        picture: read real,
        grads: read real,
        moments: write real,
    }
    name: "splat/composite_moments", wgsl: concat!(include_str!("square.wgsl"), include_str!("tile.wgsl"), include_str!("back.wgsl"), include_str!("moments.wgsl")), entry: "composite_moments", items_per_group: 1,
    params: Params, cpu: composite_moments
}

kernel! {
    /// For each entry of the lists, at its slot, the sum of its pixels' pulls at the mean.
    pub struct CompositePulls(CompositePullsBuffers) {
        splats: read real,
        ids: read u32,
        starts: read u32,
        slots: read u32,
        picture: read real,
        grads: read real,
        pulls: write real,
    }
    name: "splat/composite_pulls", wgsl: concat!(include_str!("square.wgsl"), include_str!("tile.wgsl"), include_str!("back.wgsl"), include_str!("pulls.wgsl")), entry: "composite_pulls", items_per_group: 1,
    params: Params, cpu: composite_pulls
}

kernel! {
    /// The change of the picture for a change of the splats.
    pub struct CompositeTangent(CompositeTangentBuffers) {
        splats: read real,
        ids: read u32,
        starts: read u32,
        tangents: read real,
        change: write real,
    }
    name: "splat/composite_tangent", wgsl: concat!(include_str!("square.wgsl"), include_str!("tile.wgsl"), include_str!("tangent.wgsl")), entry: "composite_tangent", items_per_group: 1,
    params: Params, cpu: composite_tangent
}

kernel! {
    /// One more than the number of the splat at which half of a pixel's light is taken, [H·W]; 0 where it never is.
    pub struct SplatMedian(SplatMedianBuffers) {
        splats: read real,
        ids: read u32,
        starts: read u32,
        chosen: write u32,
    }
    name: "splat/median", wgsl: concat!(include_str!("square.wgsl"), include_str!("tile.wgsl"), include_str!("median.wgsl")), entry: "splat_median", items_per_group: 1,
    params: Params, cpu: splat_median
}

params! {
    /// Parameters of [`SplatGradient`].
    pub struct Ranks {
        pub ranks: u32,
        pub unused: [u32; 3],
    }
}

kernel! {
    /// Gradients by splats [N, 10] from the moments at their slots, one rank per item.
    pub struct SplatGradient(SplatGradientBuffers) {
        splats: read real,
        /// Splat of each rank.
        order: read u32,
        /// First slot of each rank, and the end.
        offsets: read u32,
        moments: read real,
        gradient: write real,
    }
    name: "splat/gradient", wgsl: include_str!("gradient.wgsl"), entry: "splat_gradient", items_per_group: 64,
    params: Ranks, cpu: splat_gradient
}

params! {
    /// Parameters of [`CountTiles`] and [`EmitTiles`].
    pub struct Reach {
        pub items: u32,
        pub ranks: u32,
        /// Tiles in a row, and all of them.
        pub columns: u32,
        pub tiles: u32,
        /// log₂ of the least alpha that is drawn.
        pub least: f32,
        pub unused: [u32; 3],
    }
}

kernel! {
    /// Tiles that the splat of each rank reaches, [N + 1]; the last one of none.
    pub struct CountTiles(CountTilesBuffers) {
        splats: read real,
        /// First column and row, columns, rows of the tiles about each splat.
        boxes: read real,
        /// Splat of each rank.
        order: read u32,
        counts: write u32,
    }
    name: "splat/count_tiles", wgsl: concat!(include_str!("runs.wgsl"), include_str!("count.wgsl")), entry: "count_tiles", items_per_group: 64,
    params: Reach, cpu: count_tiles
}

kernel! {
    /// Tile and splat of each entry, in the order of ranks.
    pub struct EmitTiles(EmitTilesBuffers) {
        splats: read real,
        boxes: read real,
        order: read u32,
        /// First entry of each rank.
        offsets: read u32,
        /// Rank of each entry.
        owners: read u32,
        tile_of: write u32,
        splat_of: write u32,
    }
    name: "splat/emit_tiles", wgsl: concat!(include_str!("runs.wgsl"), include_str!("emit.wgsl")), entry: "emit_tiles", items_per_group: 64,
    params: Reach, cpu: emit_tiles
}

/// All hand-written kernels of this crate.
pub const KERNELS: &[KernelSpec] = &[
    Composite::SPEC,
    CompositeMoments::SPEC,
    CompositePulls::SPEC,
    CompositeTangent::SPEC,
    CountTiles::SPEC,
    EmitTiles::SPEC,
    RayComposite::SPEC,
    RayGradient::SPEC,
    RayTangent::SPEC,
    SplatGradient::SPEC,
    SplatMedian::SPEC,
    SurfelComposite::SPEC,
    SurfelGradient::SPEC,
    SurfelMedian::SPEC,
    SurfelTangent::SPEC,
];
