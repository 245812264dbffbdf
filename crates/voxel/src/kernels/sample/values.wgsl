@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn sample(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.points { return; }
    let cell = cell_of(k);
    for (var c = 0u; c < params.channels; c++) {
        var sum = 0.0;
        for (var bits = 0u; bits < 8u; bits++) {
            let row = row_of(cell, bits);
            if row != NONE { sum += weight(cell, bits) * table[row * params.channels + c]; }
        }
        values[k * params.channels + c] = sum;
    }
}
