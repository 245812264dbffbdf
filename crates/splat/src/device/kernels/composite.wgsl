@group(0) @binding(4) var<storage, read_write> picture: array<f32>;

@compute @workgroup_size(64)
fn composite(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        // The tile ends with its last pixel.
        if n == 0u { break; }
        for (var i = 0u; i < n && any(left > vec4(0.0)); i++) {
            let power = powers(i, first);
            let reached = reaches(power, left);
            if any(reached) {
                let c = cover(power, reached, left);
                let weights = select(vec4(0.0), c.alpha * left, c.drawn);
                let rgbd = colour(i);
                sum0 += weights.x * rgbd;
                sum1 += weights.y * rgbd;
                sum2 += weights.z * rgbd;
                sum3 += weights.w * rgbd;
                left = behind(c, reached, left);
            }
        }
    }
    let sums = array(sum0, sum1, sum2, sum3);
    for (var k = 0u; k < 4u; k++) {
        let p = pixel(first, k);
        if inside(p) {
            let at = (p.y * params.width + p.x) * 5u;
            for (var c = 0u; c < 4u; c++) { picture[at + c] = sums[k][c]; }
            picture[at + 4u] = abs(left[k]);
        }
    }
}
