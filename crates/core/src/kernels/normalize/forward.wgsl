// One workgroup normalises one group of channels of one picture.
#import dispatch
struct Params { n: u32, positions: u32, channels: u32, groups: u32, epsilon: f32, fixed: u32, one_row: u32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read_write> moments: array<f32>;

#import workgroup_sum

@compute @workgroup_size(64)
fn normalize(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    if group >= params.n * params.groups { return; }
    let picture = group / params.groups;
    let width = params.channels / params.groups;
    let first = group % params.groups * width;
    let count = params.positions * width;
    let row = select(picture * params.channels, 0u, params.one_row == 1u);
    var mean = 0.0;
    var inverse = 1.0;
    if params.fixed == 0u {
        var sum = 0.0;
        for (var e = lane; e < count; e += 64u) {
            sum += input[(picture * params.positions + e / width) * params.channels + first + e % width];
        }
        mean = workgroup_sum(sum, lane) / f32(count);
        sum = 0.0;
        for (var e = lane; e < count; e += 64u) {
            let x = input[(picture * params.positions + e / width) * params.channels + first + e % width] - mean;
            sum += x * x;
        }
        inverse = 1.0 / sqrt(workgroup_sum(sum, lane) / f32(count) + params.epsilon);
    }
    if lane == 0u {
        moments[2u * group] = mean;
        moments[2u * group + 1u] = inverse;
    }
    for (var e = lane; e < count; e += 64u) {
        let channel = first + e % width;
        let at = (picture * params.positions + e / width) * params.channels + channel;
        output[at] = (input[at] - mean) * (inverse * scale[row + channel]) + shift[row + channel];
    }
}
