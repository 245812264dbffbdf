@group(0) @binding(2) var<storage, read> kept: array<u32>;
@group(0) @binding(3) var<storage, read> densities: array<f32>;
@group(0) @binding(4) var<storage, read> middles: array<f32>;
@group(0) @binding(5) var<storage, read> lengths: array<f32>;
@group(0) @binding(6) var<storage, read_write> kept_middles: array<f32>;
@group(0) @binding(7) var<storage, read_write> kept_lengths: array<f32>;

@compute @workgroup_size(64)
fn keep(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    var to = kept[ray];
    let end = kept[ray + 1u];
    var depth = 0.0;
    var last = 0.0;
    for (var i = offsets[ray]; i < offsets[ray + 1u] && to < end; i++) {
        if is_dark(depth) { break; }
        let tau = densities[i] * lengths[i];
        last = middles[i];
        if has_weight(depth, tau) {
            kept_middles[to] = last;
            kept_lengths[to] = lengths[i];
            to++;
        }
        depth += tau;
    }
    // Samples that were counted and are not found again (compilers may round differently) have no length.
    for (; to < end; to++) {
        kept_middles[to] = last;
        kept_lengths[to] = 0.0;
    }
}
