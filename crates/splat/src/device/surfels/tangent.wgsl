// The change of the picture for a change of the surfels.
@group(0) @binding(4) var<storage, read> tangents: array<f32>;
@group(0) @binding(5) var<storage, read_write> change: array<f32>;

var<workgroup> moved: array<array<f32, 18>, 64>;

fn moved_row(i: u32, first: u32) -> vec3<f32> {
    return vec3(moved[i][first], moved[i][first + 1u], moved[i][first + 2u]);
}

@compute @workgroup_size(64)
fn surfel_tangent(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                  @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var by_left = vec4(0.0);
    var sums = array<array<f32, 9>, 4>();
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        workgroupBarrier();
        if lane < min(BATCH, end - base) {
            let id = ids[base + lane];
            for (var k = 0u; k < ROW; k++) { moved[lane][k] = tangents[id * ROW + k]; }
        }
        let n = next_batch(base, end, lane, left);
        if n == 0u { break; }
        for (var i = 0u; i < n; i++) {
            let w = row(i, 6u);
            let dw = moved_row(i, 6u);
            for (var k = 0u; k < 4u; k++) {
                if !(left[k] > 0.0) { continue; }
                let at = centre(first, k);
                let h = hit(i, at);
                if !h.reached { continue; }
                let next = left[k] - left[k] * h.alpha;
                if !(next > 1e-4) {
                    left[k] = -left[k];
                    continue;
                }
                var by_rho = 4.0 * (h.d.x * moved[i][9] + h.d.y * moved[i][10]);
                var by_depth = dw.z;
                if h.met {
                    let dp = cross(at.x * dw - moved_row(i, 0u), h.l) + cross(h.k, at.y * dw - moved_row(i, 3u));
                    let du = (dp.x - h.u * dp.z) / h.p.z;
                    let dv = (dp.y - h.v * dp.z) / h.p.z;
                    by_rho = 2.0 * (h.u * du + h.v * dv);
                    by_depth = du * w.x + dv * w.y + h.u * dw.x + h.v * dw.y + dw.z;
                }
                var by_alpha = h.alpha * (LN2 * moved[i][11] - 0.5 * by_rho);
                if h.raw >= 0.99 { by_alpha = 0.0; }
                let weight = h.alpha * left[k];
                let by_weight = by_alpha * left[k] + h.alpha * by_left[k];
                let per = 1.0 / h.depth;
                for (var c = 0u; c < 3u; c++) {
                    sums[k][c] += by_weight * staged[i][12u + c] + weight * moved[i][12u + c];
                    sums[k][4u + c] += by_weight * staged[i][15u + c] + weight * moved[i][15u + c];
                }
                sums[k][3] += by_weight * h.depth + weight * by_depth;
                sums[k][7] += per * (by_weight - weight * by_depth * per);
                sums[k][8] += per * per * (by_weight - 2.0 * weight * by_depth * per);
                by_left[k] = by_left[k] * (1.0 - h.alpha) - left[k] * by_alpha;
                left[k] = next;
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let at = pixel(first, k);
        if inside(at) {
            let to = (at.y * params.width + at.x) * PLANES;
            for (var c = 0u; c < 9u; c++) { change[to + c] = sums[k][c]; }
            change[to + 9u] = by_left[k];
        }
    }
}
