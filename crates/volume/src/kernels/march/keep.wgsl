#import dispatch
struct Params { rays: u32, threshold: f32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> kept: array<u32>;
@group(0) @binding(3) var<storage, read> middles: array<f32>;
@group(0) @binding(4) var<storage, read> lengths: array<f32>;
@group(0) @binding(5) var<storage, read_write> kept_middles: array<f32>;
@group(0) @binding(6) var<storage, read_write> kept_lengths: array<f32>;

@compute @workgroup_size(64)
fn keep(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    let first = offsets[ray];
    let to = kept[ray];
    for (var i = 0u; i < kept[ray + 1u] - to; i++) {
        kept_middles[to + i] = middles[first + i];
        kept_lengths[to + i] = lengths[first + i];
    }
}
