//! Blended silhouettes: the derivative of visibility (Laine et al. 2020, "Modular Primitives for High-Performance
//! Differentiable Rendering", §3.5).

use super::counting;
use super::{Layer, silhouettes};
use crate::Result;
use crate::surface::pixel_centre;
use lumigrad_core::map::{Builder, CallParams, Expr, IntExpr, Map};
use lumigrad_core::{Tensor, Var};

/// Blends pixels across silhouette edges by the fraction that the nearer surface covers.
///
/// Where the nearer surface's silhouette crosses the line between two pixel centres at distance s from the nearer one,
/// (s − ½)(c_near − c_far) is added to the pixel that the edge lies in. Steep edges are handled along rows, flat ones
/// along columns, so that the sum over the picture changes with the edge by the area that it sweeps.
///
/// **Shapes**: image [H, W, 4], clip [V, 4], triangles u32 [T, 3], neighbours u32 [T, 3] (the triangle across the edge
/// from vertex k to k + 1, all ones = none). **Gradients**: exact for the blended picture, to colours and clip positions;
/// where an edge passes a pixel centre the blend is continuous. Surfaces that no pixel centre sees have none. **Source**:
/// as above, with [`silhouettes`] found by following the surface.
pub fn antialias(image: &Var, layer: &Layer, clip: &Var, triangles: &Tensor, neighbours: &Tensor) -> Result<Var> {
    let (width, height) = (layer.width, layer.height);
    let edges = silhouettes(layer, clip.tensor(), triangles, neighbours)?;
    let (pairs, edges) = listed(edges)?;
    if pairs.is_empty() {
        return Ok(image.clone());
    }
    let map = Map::cached("raster/antialias", define);
    let flat = image.reshape(&[height * width, 4])?;
    let items = pairs.len();
    let constants = [pairs, edges, triangles.clone()].map(Var::from);
    let [pairs, edges, triangles] = &constants;
    let call = CallParams { items, real: vec![], int: vec![width as i32, height as i32] };
    let blend = map.apply_with(&[pairs, edges, triangles, clip, &flat], call)?.remove(0);
    debug_assert_eq!(blend.len(), 4 * width * height);
    Ok(flat.add(&blend)?.reshape(&[height, width, 4])?)
}

/// Pairs with an edge, and the edges: only those on the CPU; on a GPU all, so that no count is read back.
fn listed(edges: Tensor) -> Result<(Tensor, Tensor)> {
    let Some(all) = edges.as_slice::<u32>() else {
        return Ok((counting(&edges, edges.len())?, edges));
    };
    let (mut pairs, mut found) = (vec![], vec![]);
    for (pair, &edge) in all.iter().enumerate().filter(|(_, edge)| **edge != 0) {
        pairs.push(pair as u32);
        found.push(edge);
    }
    let tensor = |data: &[u32]| Tensor::from_slice(edges.device(), data, &[data.len()]);
    Ok((tensor(&pairs)?, tensor(&found)?))
}

fn define(m: &mut Builder) {
    let [pair] = m.item_int("pairs");
    let [edge] = m.item_int("edges");
    let corners = m.table_int::<1>("triangles");
    let clip = m.table::<4>("clip");
    let image = m.table::<4>("image");
    let (width, height) = (m.int_param(), m.int_param());
    m.guard(IntExpr::from(0).less(edge));
    let down = pair.bit_and(1).equals(1);
    let own = pair.quotient(2);
    let other = own + down.select_int(width, 1);
    let near = edge.bit_and(1).equals(1);
    let (front, back) = (near.select_int(own, other), near.select_int(other, own));

    let first = edge.quotient(2) - 1;
    let last = first.modulo(3).equals(2).select_int(first - 2, first + 1);
    // Along the way from the front to the back pixel, across it, and w; homogeneous, in pixels.
    let [cx, cy] = pixel_centre(front, width);
    let sign = near.select(1.0, -1.0);
    let point = |corner: IntExpr| -> [Expr; 3] {
        let [x, y, _, w] = clip.fetch(corners.fetch(corner)[0]);
        let right = (x + w) * 0.5 * width.to_real() - cx * w;
        let below = (w - y) * 0.5 * height.to_real() - cy * w;
        [sign * down.select(below, right), down.select(right, below), w]
    };
    let (a, b) = (point(first), point(last));
    let distance = (a[0] * b[1] - b[0] * a[1]) / (a[2] * b[1] - b[2] * a[1]);
    let amount = distance - 0.5;
    let target = amount.less(0.0).select_int(front, back);
    let (near, far) = (image.fetch(front), image.fetch(back));
    let values = std::array::from_fn::<Expr, 4, _>(|k| amount * (near[k] - far[k]));
    m.scatter("blend", image, &[(target, values)]);
}
