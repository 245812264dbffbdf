@group(0) @binding(5) var<storage, read> offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> middles: array<f32>;
@group(0) @binding(7) var<storage, read_write> lengths: array<f32>;

@compute @workgroup_size(64)
fn march_emit(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.rays { return; }
    let ray = ray_of(k);
    var i = ray.first;
    var middle = 0.0;
    for (var slot = offsets[k]; slot < offsets[k + 1u]; slot++) {
        var length = 0.0;
        if i != END { i = advance(ray, i); }
        if i != END {
            let x = f32(i) + ray.shift;
            middle = distance_of(x + 0.5);
            length = distance_of(x + 1.0) - distance_of(x);
            i++;
        }
        middles[slot] = middle;
        lengths[slot] = length;
    }
}
