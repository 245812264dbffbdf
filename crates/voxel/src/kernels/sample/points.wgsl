@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> cotangents: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn sample_points(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.points { return; }
    let cell = cell_of(k);
    var sum = vec3(0.0);
    for (var bits = 0u; bits < 8u; bits++) {
        if row_of(cell, bits) == NONE { continue; }
        let row = row_of(cell, bits) * params.channels;
        var pull = 0.0;
        for (var c = 0u; c < params.channels; c++) { pull += table[row + c] * cotangents[k * params.channels + c]; }
        sum += weight_slope(cell, bits) * pull;
    }
    for (var a = 0u; a < 3u; a++) { gradient[3u * k + a] = sum[a]; }
}
