// One workgroup takes the gradients of one group of channels of one picture: its channels one after the other, then its
// pixels.
#import dispatch
struct Params { n: u32, positions: u32, channels: u32, groups: u32, epsilon: f32, fixed: u32, one_row: u32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> moments: array<f32>;
@group(0) @binding(4) var<storage, read> cotangent: array<f32>;
@group(0) @binding(5) var<storage, read_write> by_input: array<f32>;
@group(0) @binding(6) var<storage, read_write> by_scale: array<f32>;
@group(0) @binding(7) var<storage, read_write> by_shift: array<f32>;

#import workgroup_sum

@compute @workgroup_size(64)
fn normalize_back(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                  @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    if group >= params.n * params.groups { return; }
    let picture = group / params.groups;
    let width = params.channels / params.groups;
    let first = group % params.groups * width;
    let mean = moments[2u * group];
    let inverse = moments[2u * group + 1u];
    let row = select(picture * params.channels, 0u, params.one_row == 1u);
    // What moving the mean and the deviation takes back.
    var level = 0.0;
    var spread = 0.0;
    for (var c = first; c < first + width; c++) {
        var sum_shift = 0.0;
        var sum_scale = 0.0;
        for (var e = lane; e < params.positions; e += 64u) {
            let at = (picture * params.positions + e) * params.channels + c;
            sum_shift += cotangent[at];
            sum_scale += cotangent[at] * ((input[at] - mean) * inverse);
        }
        let shifted = workgroup_sum(sum_shift, lane);
        let scaled = workgroup_sum(sum_scale, lane);
        let channel = picture * params.channels + c;
        if lane == 0u {
            by_shift[channel] = shifted;
            by_scale[channel] = scaled;
        }
        level += scale[row + c] * shifted;
        spread += scale[row + c] * scaled;
    }
    let count = params.positions * width;
    let share = select(1.0 / f32(count), 0.0, params.fixed == 1u);
    level *= share;
    spread *= share;
    for (var e = lane; e < count; e += 64u) {
        let channel = first + e % width;
        let at = (picture * params.positions + e / width) * params.channels + channel;
        let unit = (input[at] - mean) * inverse;
        by_input[at] = inverse * (cotangent[at] * scale[row + channel] - level - unit * spread);
    }
}
