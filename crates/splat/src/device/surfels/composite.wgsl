// The picture: red, green, blue, depth, normal, inverse depth and its square, each summed with its weights, and the
// transmittance behind all.
@group(0) @binding(4) var<storage, read_write> picture: array<f32>;

@compute @workgroup_size(64)
fn surfel_composite(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                    @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var sums = array<array<f32, 9>, 4>();
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        if n == 0u { break; }
        for (var i = 0u; i < n; i++) {
            for (var k = 0u; k < 4u; k++) {
                if !(left[k] > 0.0) { continue; }
                let h = hit(i, centre(first, k));
                if !h.reached { continue; }
                let next = left[k] - left[k] * h.alpha;
                if !(next > 1e-4) {
                    left[k] = -left[k];
                    continue;
                }
                let weight = h.alpha * left[k];
                for (var c = 0u; c < 3u; c++) {
                    sums[k][c] += weight * staged[i][12u + c];
                    sums[k][4u + c] += weight * staged[i][15u + c];
                }
                sums[k][3] += weight * h.depth;
                sums[k][7] += weight / h.depth;
                sums[k][8] += weight / (h.depth * h.depth);
                left[k] = next;
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let at = pixel(first, k);
        if inside(at) {
            let to = (at.y * params.width + at.x) * PLANES;
            for (var c = 0u; c < 9u; c++) { picture[to + c] = sums[k][c]; }
            picture[to + 9u] = abs(left[k]);
        }
    }
}
