//! Rays and points in an octree.
//!
//! A point goes down from the root by the bits of its place in cells of the deepest level. A ray looks up what lies a little
//! behind where it stands, leaves that node through the face that it meets first, and so on: nodes come front to back.

mod cpu;

use lumigrad_core::{kernel, params};

/// Word of a child that is empty.
pub const EMPTY: u32 = u32::MAX;
/// Bit of words that name leaves.
pub const LEAF: u32 = 1 << 31;

params! {
    /// Parameters of [`Locate`].
    pub struct LocateParams {
        pub points: u32,
        pub unused: [u32; 3],
    }
}

params! {
    /// Parameters of [`WalkCount`] and [`WalkEmit`].
    pub struct WalkParams {
        pub rays: u32,
        /// Samples of a crossing.
        pub per_leaf: u32,
        /// Samples of a ray at most.
        pub most: u32,
        pub unused: u32,
        pub near: f32,
        pub far: f32,
        pub unused_too: [u32; 2],
    }
}

kernel! {
    /// One point per item: its leaf, or one near it.
    pub struct Locate(LocateBuffers) {
        points: read real,
        nodes: read u32,
        leaves: write u32,
    }
    name: "octree/locate", wgsl: concat!(include_str!("locate.wgsl"), include_str!("tree.wgsl")), entry: "locate", items_per_group: 64,
    params: LocateParams, cpu: locate
}

kernel! {
    /// One ray per item, and one more: samples of each, 0 for the last.
    pub struct WalkCount(WalkCountBuffers) {
        origins: read real,
        directions: read real,
        nodes: read u32,
        counts: write u32,
    }
    name: "octree/walk_count", wgsl: concat!(include_str!("count.wgsl"), include_str!("walk.wgsl"), include_str!("tree.wgsl"), include_str!("../span.wgsl")), entry: "walk_count", items_per_group: 64,
    params: WalkParams, cpu: walk_count
}

kernel! {
    /// One ray per item: its samples' middles and lengths. Slots that were counted and are not found again (compilers may round
    /// differently) have length 0.
    pub struct WalkEmit(WalkEmitBuffers) {
        origins: read real,
        directions: read real,
        nodes: read u32,
        offsets: read u32,
        middles: write real,
        lengths: write real,
    }
    name: "octree/walk_emit", wgsl: concat!(include_str!("emit.wgsl"), include_str!("walk.wgsl"), include_str!("tree.wgsl"), include_str!("../span.wgsl")), entry: "walk_emit", items_per_group: 64,
    params: WalkParams, cpu: walk_emit
}
