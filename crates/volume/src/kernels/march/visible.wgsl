@group(0) @binding(2) var<storage, read> densities: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn visible(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray > params.rays { return; }
    var n = 0u;
    if ray < params.rays {
        var depth = 0.0;
        for (var i = offsets[ray]; i < offsets[ray + 1u]; i++) {
            if is_dark(depth) { break; }
            let tau = densities[i] * lengths[i];
            if has_weight(depth, tau) { n++; }
            depth += tau;
        }
    }
    counts[ray] = n;
}
