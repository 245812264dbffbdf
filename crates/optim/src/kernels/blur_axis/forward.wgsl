// One item adds 11 weighted neighbours along an axis; neighbours outside the item's run count as zeros.
#import dispatch
struct Params { length: u32, shift: u32, unused: vec2<u32>, taps: array<vec4<f32>, 2> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn blur_axis(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= arrayLength(&output) { return; }
    let place = item % params.length;
    var sum = params.taps[0].x * input[item];
    for (var k = 1u; k <= 5u; k++) {
        let away = k * params.shift;
        let weight = params.taps[k / 4u][k % 4u];
        if place >= away { sum += weight * input[item - away]; }
        if place + away < params.length { sum += weight * input[item + away]; }
    }
    output[item] = sum;
}
