#import dispatch
struct Params { rays: u32, per_leaf: u32, most: u32, unused: u32, near: f32, far: f32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> origins: array<f32>;
@group(0) @binding(2) var<storage, read> directions: array<f32>;
@group(0) @binding(3) var<storage, read> nodes: array<u32>;
@group(0) @binding(4) var<storage, read> offsets: array<u32>;
@group(0) @binding(5) var<storage, read_write> middles: array<f32>;
@group(0) @binding(6) var<storage, read_write> lengths: array<f32>;

@compute @workgroup_size(64)
fn walk_emit(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.rays { return; }
    var ray = ray_of(k);
    var slot = offsets[k];
    let end = offsets[k + 1u];
    var last = 0.0;
    while slot < end && ray.t < ray.far {
        let step = cross_next(&ray);
        if !step.full { continue; }
        let length = (step.end - step.start) / f32(params.per_leaf);
        for (var i = 0u; i < params.per_leaf && slot < end; i++) {
            last = step.start + length * (f32(i) + 0.5);
            middles[slot] = last;
            lengths[slot] = length;
            slot++;
        }
    }
    for (; slot < end; slot++) {
        middles[slot] = last;
        lengths[slot] = 0.0;
    }
}
