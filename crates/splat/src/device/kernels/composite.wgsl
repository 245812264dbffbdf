@group(0) @binding(4) var<storage, read_write> picture: array<f32>;

@compute @workgroup_size(64)
fn composite(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var sums = array<vec4<f32>, 4>();
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = min(BATCH, end - base);
        if lane == 0u { going = 0u; }
        workgroupBarrier();
        if any(left > vec4(0.0)) { going = 1u; }
        if lane < n { stage(lane, ids[base + lane]); }
        // The tile ends with its last pixel.
        if workgroupUniformLoad(&going) == 0u { break; }
        for (var i = 0u; i < n && any(left > vec4(0.0)); i++) {
            let c = cover(i, first, left);
            if any(c.reached) {
                let weights = select(vec4(0.0), c.alpha * left, c.drawn);
                let rgbd = colour(i);
                for (var k = 0u; k < 4u; k++) { sums[k] += weights[k] * rgbd; }
                left = behind(c, left);
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let p = pixel(first, k);
        if inside(p) {
            let at = (p.y * params.width + p.x) * 5u;
            for (var c = 0u; c < 4u; c++) { picture[at + c] = sums[k][c]; }
            picture[at + 4u] = abs(left[k]);
        }
    }
}
