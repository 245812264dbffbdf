@group(0) @binding(5) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn march_count(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k > params.rays { return; }
    var n = 0u;
    if k < params.rays {
        let ray = ray_of(k);
        var i = ray.first;
        while n < params.most {
            i = advance(ray, i);
            if i == END { break; }
            i++;
            n++;
        }
    }
    counts[k] = n;
}
