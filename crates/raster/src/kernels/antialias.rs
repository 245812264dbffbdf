//! Blended silhouettes: the derivative of visibility (Laine et al. 2020, "Modular Primitives for High-Performance
//! Differentiable Rendering", §3.5).

use super::fragments::discontinuities;
use crate::Result;
use crate::kernels::Layer;
use lumigrad_core::map::{BoolExpr, CallParams, Expr, IntExpr, Map};
use lumigrad_core::{Tensor, Var};

/// Blends pixels across silhouette edges by the fraction that the nearer surface covers.
///
/// For two adjacent pixels that see different triangles, the nearer triangle's silhouette edge crosses the line between
/// their centres at distance s from the nearer surface's centre; (s − ½)(c_near − c_far) is added to the pixel that the
/// edge lies in. Steep edges are handled along rows, flat ones along columns, so that the sum over the picture changes
/// with the edge by exactly the area that it sweeps.
///
/// **Shapes**: image [H, W, 4], clip [V, 4], triangles u32 [T, 3], neighbours u32 [T, 3] (the triangle across the edge from
/// vertex k to k + 1, all ones = none). **Gradients**: exact for the blended picture, to colours and clip positions;
/// where an edge passes a pixel centre the blend is continuous. **Source**: as above, with the row/column rule.
pub fn antialias(image: &Var, layer: &Layer, clip: &Var, triangles: &Tensor, neighbours: &Tensor) -> Result<Var> {
    let (width, height) = (layer.width, layer.height);
    let pairs = discontinuities(&layer.triangles, width, height)?;
    if pairs.is_empty() {
        return Ok(image.clone());
    }
    let map = Map::cached("raster/antialias", define);
    let (flat, n) = (image.reshape(&[height * width, 4])?, width * height);
    let constants = [&pairs, &layer.triangles, &layer.depth, triangles, neighbours].map(|t| Var::from(t.clone()));
    let [pairs, ids, depth, triangles, neighbours] = &constants;
    let inputs = [pairs, ids, depth, triangles, neighbours, clip, &flat];
    let call = CallParams { items: pairs.len(), real: vec![], int: vec![width as i32, height as i32] };
    let blend = map.apply_with(&inputs, call)?.remove(0);
    debug_assert_eq!(blend.len(), 4 * n);
    Ok(flat.add(&blend)?.reshape(&[height, width, 4])?)
}

fn define(m: &mut lumigrad_core::map::Builder) {
    let [pair] = m.item_int("pairs");
    let ids = m.table_int::<1>("ids");
    let depth = m.table_int::<1>("depth");
    let triangles = m.table_int::<3>("triangles");
    let neighbours = m.table_int::<3>("neighbours");
    let clip = m.table::<4>("clip");
    let image = m.table::<4>("image");
    let (width, height) = (m.int_param(), m.int_param());
    let down = pair.bit_and(1).equals(1);
    let p = pair.quotient(2);
    let py = p.quotient(width);
    let px = p - py * width;
    let q = p + down.select_int(width, 1);
    let inside = down.select_int(height - py, width - px);
    let (id_p, id_q) = (ids.fetch(p)[0], ids.fetch(q)[0]);
    // The other pixel must exist and see something else.
    m.guard(IntExpr::from(1).less(inside).and(id_p.equals(id_q).not()));

    // Depth bits order as depths do; nothing is all ones, which is −1 and farthest.
    let far = |d: IntExpr| d.less(0).select_int(i32::MAX, d);
    let near_p = id_q.equals(0).or(id_p.equals(0).not().and(far(depth.fetch(q)[0]).less(far(depth.fetch(p)[0])).not()));
    let front = near_p.select_int(id_p, id_q) - 1;
    let corners = triangles.fetch(front);
    let others = neighbours.fetch(front);
    let (w, h) = (width.to_real(), height.to_real());
    let point = |v: IntExpr| -> ([Expr; 2], BoolExpr) {
        let c = clip.fetch(v);
        let visible = c[3].greater(1e-12);
        let inverse = 1.0 / visible.select(c[3], 1.0);
        ([(c[0] * inverse * 0.5 + 0.5) * w, (0.5 - c[1] * inverse * 0.5) * h], visible)
    };
    let turn = |corners: [IntExpr; 3]| -> BoolExpr {
        // Sign of the determinant of (x, y, w): orientation, also across the camera plane.
        let c = corners.map(|v| clip.fetch(v));
        let det: Expr = (0..3)
            .map(|k| {
                let (i, j) = ((k + 1) % 3, (k + 2) % 3);
                c[k][3] * (c[i][0] * c[j][1] - c[j][0] * c[i][1])
            })
            .sum();
        det.less(0.0)
    };
    let own_turn = turn(corners);
    let points = corners.map(point);
    // Along: the axis of the pair; across: the other one.
    let (cx, cy) = (px.to_real() + 0.5, py.to_real() + 0.5);
    let along = |v: [Expr; 2]| down.select(v[1], v[0]);
    let across = |v: [Expr; 2]| down.select(v[0], v[1]);
    let line = across([cx, cy]);
    let start = along([cx, cy]);
    let mut distance: Expr = 0.5.into();
    for k in 0..3 {
        let ((a, seen_a), (b, seen_b)) = (points[k], points[(k + 1) % 3]);
        let other = others[k];
        let border = other.less(0);
        let their_turn = turn(triangles.fetch(other));
        // Folded over: the neighbour shows its other side.
        let fold = own_turn.and(their_turn.not()).or(own_turn.not().and(their_turn));
        let silhouette = border.or(fold).and(seen_a).and(seen_b);
        let (a0, b0) = (across(a) - line, across(b) - line);
        let (ua, ub) = (along(a), along(b));
        let crosses = a0.less(0.0).and(b0.less(0.0).not()).or(b0.less(0.0).and(a0.less(0.0).not()));
        let steep = (ub - ua).abs().less_eq((b0 - a0).abs());
        let span = crosses.select(b0 - a0, 1.0);
        let at = ua - a0 * (ub - ua) / span - start;
        let between = at.less(0.0).or(at.greater(1.0)).not();
        let valid = silhouette.and(crosses).and(steep).and(between);
        let from_front = near_p.select(at, 1.0 - at);
        distance = valid.select(from_front, distance);
    }
    let amount = distance - 0.5;
    let (front_pixel, back_pixel) = (near_p.select_int(p, q), near_p.select_int(q, p));
    let target = amount.less(0.0).select_int(front_pixel, back_pixel);
    let (c_front, c_back) = (image.fetch(front_pixel), image.fetch(back_pixel));
    let values = std::array::from_fn::<Expr, 4, _>(|k| amount * (c_front[k] - c_back[k]));
    m.scatter("blend", image, &[(target, values)]);
}
