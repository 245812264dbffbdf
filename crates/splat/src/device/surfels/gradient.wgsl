// For each entry of the lists, at its slot, the derivative by its surfel: every invocation adds up what its four pixels say,
// then one per number what all have found. One writer for each sum, in a fixed order.
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> picture: array<f32>;
@group(0) @binding(6) var<storage, read> grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> parts: array<f32>;

var<workgroup> found: array<array<f32, 64>, 18>;

@compute @workgroup_size(64)
fn surfel_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                   @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var g = array<array<f32, 10>, 4>();
    // Products of the gradients with what is still to come, the transmittance behind all included.
    var rest = vec4(0.0);
    for (var k = 0u; k < 4u; k++) {
        let at = pixel(first, k);
        if inside(at) {
            let begin = (at.y * params.width + at.x) * PLANES;
            for (var c = 0u; c < PLANES; c++) {
                g[k][c] = grads[begin + c];
                rest[k] += grads[begin + c] * picture[begin + c];
            }
        }
    }
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        if n == 0u { break; }
        for (var i = 0u; i < n; i++) {
            var sum = array<f32, 18>();
            let w = row(i, 6u);
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
                let weight = h.alpha * left[k];
                let per = 1.0 / h.depth;
                var shade = g[k][3] * h.depth + g[k][7] * per + g[k][8] * per * per;
                for (var c = 0u; c < 3u; c++) {
                    shade += g[k][c] * staged[i][12u + c] + g[k][4u + c] * staged[i][15u + c];
                    sum[12u + c] += weight * g[k][c];
                    sum[15u + c] += weight * g[k][4u + c];
                }
                rest[k] -= weight * shade;
                var by_alpha = left[k] * shade - rest[k] / (1.0 - h.alpha);
                if h.raw >= 0.99 { by_alpha = 0.0; }
                let by_depth = weight * (g[k][3] - per * per * (g[k][7] + 2.0 * g[k][8] * per));
                let by_rho = -0.5 * h.alpha * by_alpha;
                sum[11] += LN2 * h.alpha * by_alpha;
                if h.met {
                    let by_u = 2.0 * h.u * by_rho + by_depth * w.x;
                    let by_v = 2.0 * h.v * by_rho + by_depth * w.y;
                    let by_p = vec3(by_u, by_v, -(by_u * h.u + by_v * h.v)) / h.p.z;
                    let by_k = cross(h.l, by_p);
                    let by_l = cross(by_p, h.k);
                    let by_w = at.x * by_k + at.y * by_l + by_depth * vec3(h.u, h.v, 1.0);
                    for (var c = 0u; c < 3u; c++) {
                        sum[c] -= by_k[c];
                        sum[3u + c] -= by_l[c];
                        sum[6u + c] += by_w[c];
                    }
                } else {
                    sum[9] += 4.0 * h.d.x * by_rho;
                    sum[10] += 4.0 * h.d.y * by_rho;
                    sum[8] += by_depth;
                }
                left[k] = next;
            }
            for (var c = 0u; c < ROW; c++) { found[c][lane] = sum[c]; }
            workgroupBarrier();
            if lane < ROW {
                var all = 0.0;
                for (var k = 0u; k < 64u; k++) { all += found[lane][(k + lane) % 64u]; }
                parts[slots[base + i] * ROW + lane] = all;
            }
            workgroupBarrier();
        }
    }
}
