//! Rasterisation: the nearest triangle of each pixel centre.
//!
//! Vertices are snapped to 1/4096 pixel and edge functions are integers, so that shared edges are watertight and every
//! pixel on them belongs to exactly one triangle (top-left rule). Visibility has no derivative.

mod cpu;
#[cfg(test)]
mod tests;

use crate::Result;
use lumigrad_core::{DType, Tensor, kernel, params};

params! {
    /// Parameters of both passes.
    pub struct Params {
        width: u32,
        height: u32,
        triangles: u32,
        /// 1: only fragments behind `previous_depth`, `previous_triangle`.
        peel: u32,
    }
}

/// Rows of a triangle's bounding box are dealt to this many invocations.
const STRIPS: usize = 16;

kernel! {
    /// Nearest depth of each pixel. On the CPU this pass finds the triangles too.
    pub struct RasterizeDepth(RasterizeDepthBuffers) {
        clip: read real,
        triangles: read u32,
        flags: read u32,
        previous_depth: read u32,
        previous_triangle: read u32,
        depth: update u32,
        triangle: update u32,
    }
    name: "raster/rasterize_depth", wgsl: include_str!("forward.wgsl"), entry: "depth_pass", items_per_group: 64,
    params: Params, cpu: rasterize
}

kernel! {
    /// The first triangle with a pixel's nearest depth (GPU only; the CPU has it from the first pass).
    pub struct RasterizeTriangle(RasterizeTriangleBuffers) {
        clip: read real,
        triangles: read u32,
        flags: read u32,
        previous_depth: read u32,
        previous_triangle: read u32,
        depth: update u32,
        triangle: update u32,
    }
    name: "raster/rasterize_triangle", wgsl: include_str!("forward.wgsl"), entry: "triangle_pass", items_per_group: 64,
    params: Params, cpu: nothing
}

/// One layer of visible surfaces.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Triangle number + 1 for each pixel, u32 [H · W]; 0 = nothing.
    pub triangles: Tensor,
    /// Bits of z/w (an f32 ≥ 0, so that their order is the order of depths), u32 [H · W]; all ones = nothing.
    pub depth: Tensor,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The nearest triangle at each pixel centre.
///
/// **Shapes**: clip [V, 4] (x right, y up, 0 ≤ z ≤ w visible), triangles u32 [T, 3], flags u32 `[T]`: bit 0 = also its
/// back is seen, bit 1 = its front is clockwise.
/// `previous` peels: only fragments behind that layer, ordered by (depth, triangle), so that surfaces at one depth are
/// each seen once.
///
/// Triangles that cross the near plane are clipped (on a GPU: evaluated in homogeneous coordinates). Triangles with no
/// area or NaN vertices draw nothing.
/// **Gradients**: none. **Determinism**: always.
pub fn rasterize(
    clip: &Tensor,
    triangles: &Tensor,
    flags: &Tensor,
    width: usize,
    height: usize,
    previous: Option<&Layer>,
) -> Result<Layer> {
    let device = clip.device();
    let n = flags.len();
    let mut depth = Tensor::full(device, DType::U32, &[height * width], u32::MAX as f64)?;
    let mut triangle = Tensor::full(device, DType::U32, &[height * width], u32::MAX as f64)?;
    let none = Tensor::zeros(device, DType::U32, &[1])?;
    let (previous_depth, previous_triangle) = previous.map_or((&none, &none), |p| (&p.depth, &p.triangles));
    let params =
        Params { width: width as u32, height: height as u32, triangles: n as u32, peel: previous.is_some() as u32 };
    RasterizeDepth {
        clip,
        triangles,
        flags,
        previous_depth,
        previous_triangle,
        depth: &mut depth,
        triangle: &mut triangle,
    }
    .launch(&params, n * STRIPS)?;
    if !device.is_cpu() {
        RasterizeTriangle {
            clip,
            triangles,
            flags,
            previous_depth,
            previous_triangle,
            depth: &mut depth,
            triangle: &mut triangle,
        }
        .launch(&params, n * STRIPS)?;
        triangle = finish(&triangle)?;
    }
    Ok(Layer { triangles: triangle, depth, width, height })
}

/// Triangle numbers from the GPU pass (all ones = nothing) to numbers + 1.
fn finish(triangle: &Tensor) -> Result<Tensor> {
    let map = lumigrad_core::Map::cached("raster/finish", |m| {
        let [t] = m.item_int("triangle");
        m.output_int("triangle", &[t + 1]);
    });
    let ids = map.run(&[triangle], &Default::default())?.remove(0);
    Ok(ids.reshape(triangle.shape())?.bitcast_u32()?)
}
