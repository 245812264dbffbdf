@group(0) @binding(4) var<storage, read> tangents: array<f32>;
@group(0) @binding(5) var<storage, read_write> moved: array<f32>;

@compute @workgroup_size(64)
fn weights_jvp(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    var depth = 0.0;
    var depth_moved = 0.0;
    for (var i = offsets[ray]; i < offsets[ray + 1u]; i++) {
        let tau = densities[i] * lengths[i];
        let tau_moved = tangents[i] * lengths[i];
        moved[i] = exp(-depth) * (exp(-tau) * tau_moved - depth_moved * opacity(tau));
        depth += tau;
        depth_moved += tau_moved;
    }
}
