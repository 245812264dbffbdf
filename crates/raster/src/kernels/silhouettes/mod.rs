//! Where silhouettes pass between neighbouring pixels.
//!
//! From the nearer of two pixels that see different triangles, the surface is followed towards the other pixel, from
//! triangle to triangle, until it ends or folds over. Following it (rather than looking at the nearer triangle's own
//! edges only, as Laine et al. 2020 do) finds the silhouette also where triangles are smaller than pixels.

mod cpu;
#[cfg(test)]
mod tests;

use super::Layer;
use crate::Result;
use lumigrad_core::{DType, Tensor, kernel, params};

params! {
    /// Parameters.
    pub struct Params {
        width: u32,
        height: u32,
        unused: [u32; 2],
    }
}

kernel! {
    /// Silhouette edge between each pixel and the ones to its right and below.
    pub struct Silhouettes(SilhouettesBuffers) {
        visible: read u32,
        depth: read u32,
        clip: read real,
        triangles: read u32,
        neighbours: read u32,
        edges: write u32,
    }
    name: "raster/silhouettes", wgsl: include_str!("forward.wgsl"), entry: "silhouettes", items_per_group: 64,
    params: Params, cpu: silhouettes
}

/// Silhouette edges between neighbouring pixels, u32 [2 · H · W].
///
/// Element 2 · pixel + direction (0: the pixel to the right, 1: the one below) is 0 where there is none, else
/// 2 · (3 · triangle + k + 1) + near: the edge from vertex k to k + 1 of the triangle bounds the nearer surface, which is
/// that of the pixel itself (near = 1) or of the other one. Edges that are steeper than 45° lie between pixels of a row
/// only, all others between those of a column.
///
/// **Shapes**: clip [V, 4], triangles and neighbours u32 [T, 3] as in [`antialias`](super::antialias).
/// **Gradients**: none.
pub fn silhouettes(layer: &Layer, clip: &Tensor, triangles: &Tensor, neighbours: &Tensor) -> Result<Tensor> {
    let (width, height) = (layer.width, layer.height);
    let mut edges = Tensor::uninit(clip.device(), DType::U32, &[2 * width * height])?;
    let params = Params { width: width as u32, height: height as u32, unused: [0; 2] };
    Silhouettes { visible: &layer.triangles, depth: &layer.depth, clip, triangles, neighbours, edges: &mut edges }
        .launch(&params, 2 * width * height)?;
    Ok(edges)
}
