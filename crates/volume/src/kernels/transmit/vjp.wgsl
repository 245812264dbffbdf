@group(0) @binding(4) var<storage, read> cotangents: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn weights_vjp(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    let first = offsets[ray];
    let end = offsets[ray + 1u];
    // The gradient's place keeps how deep each sample lies until the way back.
    var depth = 0.0;
    for (var i = first; i < end; i++) {
        gradient[i] = depth;
        depth += densities[i] * lengths[i];
    }
    var behind = 0.0;
    for (var i = end; i > first; i--) {
        let k = i - 1u;
        let tau = densities[k] * lengths[k];
        let before = exp(-gradient[k]);
        let g = cotangents[k];
        gradient[k] = lengths[k] * (g * before * exp(-tau) - behind);
        behind += g * before * opacity(tau);
    }
}
