//! Samples where rays cross leaves.

use super::Octree;
use crate::kernels::octree::{WalkCount, WalkEmit, WalkParams};
use crate::samples::counted;
use crate::{Rays, Result, Samples};
use lumigrad_core::kernels::segment_ids;
use lumigrad_core::{DType, Tensor};

/// How rays walk through a tree. Distances are in the unit of [`Rays`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walk {
    /// Samples of a crossing.
    pub per_leaf: usize,
    /// Nearest and farthest point.
    pub range: [f64; 2],
    /// Samples of a ray at most.
    pub most: usize,
    /// Samples of all rays at most: rays from the one that has more are left out.
    pub total: usize,
}

impl Octree {
    /// Cuts each ray's way through each leaf, front to back, into pieces of one length; of the first rays only, where all have too
    /// many together.
    ///
    /// **Gradients**: none; where samples lie is taken as given. **Cost**: rays are walked twice, each time down from the root for
    /// every leaf and every empty part of the tree that they cross, and the number of samples is read back.
    ///
    /// # Errors
    /// Memory.
    pub fn walk(&self, rays: &Rays, how: &Walk) -> Result<Samples> {
        let n = rays.len();
        let params = WalkParams {
            rays: n as u32,
            per_leaf: how.per_leaf.clamp(1, 64) as u32,
            most: how.most.min(1 << 16) as u32,
            unused: 0,
            near: how.range[0].max(0.0) as f32,
            far: how.range[1].min(1e9) as f32,
            unused_too: [0; 2],
        };
        let (origins, directions, nodes) = (&rays.origins, &rays.directions, &self.nodes);
        let mut counts = Tensor::uninit(origins.device(), DType::U32, &[n + 1])?;
        WalkCount { origins, directions, nodes, counts: &mut counts }.launch(&params, n + 1)?;
        let (offsets, samples) = counted(&counts, how.total)?;
        let n = offsets.len() - 1;
        let new = || Tensor::uninit(origins.device(), DType::F32, &[samples]);
        let (mut middles, mut lengths) = (new()?, new()?);
        WalkEmit { origins, directions, nodes, offsets: &offsets, middles: &mut middles, lengths: &mut lengths }
            .launch(&WalkParams { rays: n as u32, ..params }, n)?;
        let rays = segment_ids(&offsets, samples)?;
        Ok(Samples { offsets, rays, middles, lengths })
    }
}
