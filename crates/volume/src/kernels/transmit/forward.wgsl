@group(0) @binding(4) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(64)
fn weights_of(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    var depth = 0.0;
    for (var i = offsets[ray]; i < offsets[ray + 1u]; i++) {
        let tau = densities[i] * lengths[i];
        weights[i] = exp(-depth) * opacity(tau);
        depth += tau;
    }
}
