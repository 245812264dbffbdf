// One more than the number of the surfel at which half of a pixel's light is taken; 0 where it never is.
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;

@compute @workgroup_size(64)
fn surfel_median(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var found = vec4(0u);
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        if n == 0u { break; }
        for (var i = 0u; i < n; i++) {
            for (var k = 0u; k < 4u; k++) {
                if !(left[k] > 0.0) { continue; }
                let h = hit(i, centre(first, k));
                if !h.reached { continue; }
                left[k] -= left[k] * h.alpha;
                if left[k] < 0.5 {
                    found[k] = ids[base + i] + 1u;
                    left[k] = -1.0;
                }
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let at = pixel(first, k);
        if inside(at) { chosen[at.y * params.width + at.x] = found[k]; }
    }
}
