#import dispatch
struct Params { rays: u32, per_leaf: u32, most: u32, unused: u32, near: f32, far: f32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> origins: array<f32>;
@group(0) @binding(2) var<storage, read> directions: array<f32>;
@group(0) @binding(3) var<storage, read> nodes: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn walk_count(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k > params.rays { return; }
    var n = 0u;
    if k < params.rays {
        var ray = ray_of(k);
        while ray.t < ray.far {
            if cross_next(&ray).full {
                n += params.per_leaf;
                if n + params.per_leaf > params.most { break; }
            }
        }
    }
    counts[k] = n;
}
