@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> directions: array<f32>;
@group(0) @binding(5) var<storage, read_write> changes: array<f32>;

@compute @workgroup_size(64)
fn sample_along(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.points { return; }
    let cell = cell_of(k);
    let direction = vec3(directions[3u * k], directions[3u * k + 1u], directions[3u * k + 2u]);
    for (var c = 0u; c < params.channels; c++) {
        var sum = 0.0;
        for (var bits = 0u; bits < 8u; bits++) {
            let row = row_of(cell, bits);
            if row != NONE { sum += dot(weight_slope(cell, bits), direction) * table[row * params.channels + c]; }
        }
        changes[k * params.channels + c] = sum;
    }
}
