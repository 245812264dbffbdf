// One more than the number of the splat at which half of a pixel's light is taken; 0 where it never is.
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;

@compute @workgroup_size(64)
fn splat_median(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
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
        for (var i = 0u; i < n && any(left > vec4(0.0)); i++) {
            let power = powers(i, first);
            let reached = reaches(power, left);
            if any(reached) {
                let next = left - left * min(exp2(power), vec4(0.99));
                let half = reached & (next < vec4(0.5));
                found = select(found, vec4(ids[base + i] + 1u), half);
                left = select(select(left, next, reached), vec4(-1.0), half);
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let p = pixel(first, k);
        if inside(p) { chosen[p.y * params.width + p.x] = found[k]; }
    }
}
