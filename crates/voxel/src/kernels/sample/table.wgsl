#import atomics gradient
@group(0) @binding(3) var<storage, read> cotangents: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<atomic_float>;

@compute @workgroup_size(64)
fn sample_table(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.points { return; }
    let cell = cell_of(k);
    for (var c = 0u; c < params.channels; c++) {
        let g = cotangents[k * params.channels + c];
        if g == 0.0 { continue; }
        for (var bits = 0u; bits < 8u; bits++) {
            let row = row_of(cell, bits);
            if row != NONE { atomic_add_gradient(row * params.channels + c, weight(cell, bits) * g); }
        }
    }
}
