// One item adds up what a splat's tiles have found, by the splat's rank, and turns moments into its gradient.
#import dispatch
struct Params { ranks: u32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read> moments: array<f32>;
@group(0) @binding(5) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn splat_gradient(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let rank = item_index(gid, groups, 64u);
    if rank >= params.ranks { return; }
    var sums = array<f32, 10>();
    let end = offsets[rank + 1u];
    for (var slot = offsets[rank]; slot < end; slot++) {
        for (var k = 0u; k < 10u; k++) { sums[k] += moments[slot * 10u + k]; }
    }
    let at = order[rank] * 10u;
    let a = splats[at + 2u];
    let b = splats[at + 3u];
    let c = splats[at + 4u];
    let scale = -0.693147180559945;
    gradient[at] = scale * (2.0 * a * sums[1] + b * sums[2]);
    gradient[at + 1u] = scale * (b * sums[1] + 2.0 * c * sums[2]);
    gradient[at + 2u] = scale * sums[3];
    gradient[at + 3u] = scale * sums[4];
    gradient[at + 4u] = scale * sums[5];
    gradient[at + 5u] = scale * sums[0];
    for (var k = 6u; k < 10u; k++) { gradient[at + k] = sums[k]; }
}
