// One item adds 11 weighted neighbours along an axis; neighbours outside the item's run count as zeros.
#import dispatch
struct Params { length: u32, shift: u32, unused: vec2<u32>, taps: array<vec4<f32>, 2> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

// The two neighbours at a distance.
fn neighbours(item: u32, place: u32, away: u32) -> f32 {
    var sum = 0.0;
    if place >= away { sum += input[item - away]; }
    if place + away < params.length { sum += input[item + away]; }
    return sum;
}

@compute @workgroup_size(64)
fn blur_axis(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= arrayLength(&output) { return; }
    let place = item % params.length;
    let shift = params.shift;
    output[item] = params.taps[0].x * input[item]
        + params.taps[0].y * neighbours(item, place, shift)
        + params.taps[0].z * neighbours(item, place, 2u * shift)
        + params.taps[0].w * neighbours(item, place, 3u * shift)
        + params.taps[1].x * neighbours(item, place, 4u * shift)
        + params.taps[1].y * neighbours(item, place, 5u * shift);
}
