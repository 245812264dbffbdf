// One point on one level per invocation: its features in every stream.
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<f32>;
@group(0) @binding(3) var<storage, read> levels: array<u32>;
@group(0) @binding(4) var<storage, read> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> encoded: array<f32>;

@compute @workgroup_size(64)
fn grid_encode(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(id, groups, 64u);
    if item >= params.points * params.levels { return; }
    let point = item / params.levels;
    let level = item % params.levels;
    let cell = cell_of(point, level);
    for (var s = 0u; s < params.streams; s++) {
        let code = codes[s];
        let out = ((s * params.points + point) * params.levels + level) * params.features;
        for (var f = 0u; f < params.features; f++) { encoded[out + f] = 0.0; }
        for (var bits = 0u; bits < (1u << cell.n_axes); bits++) {
            let w = weight(cell, bits, code);
            let row = row_of(cell, bits) * params.features;
            for (var f = 0u; f < params.features; f++) { encoded[out + f] += w * table[row + f]; }
        }
    }
}
