#import dispatch
struct Params { rays: u32, threshold: f32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> densities: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(64)
fn visible(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray > params.rays { return; }
    var n = 0u;
    if ray < params.rays {
        let deepest = -log(params.threshold);
        var depth = 0.0;
        for (var i = offsets[ray]; i < offsets[ray + 1u]; i++) {
            if depth > deepest { break; }
            depth += densities[i] * lengths[i];
            n++;
        }
    }
    counts[ray] = n;
}
