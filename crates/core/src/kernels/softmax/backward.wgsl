// One item takes the derivative of the softmax of one row.
#import dispatch
struct Params { rows: u32, width: u32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> probabilities: array<f32>;
@group(0) @binding(2) var<storage, read> direction: array<f32>;
@group(0) @binding(3) var<storage, read_write> derivative: array<f32>;

@compute @workgroup_size(64)
fn softmax_back(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = item_index(gid, groups, 64u);
    if row >= params.rows { return; }
    let first = row * params.width;
    let last = first + params.width;
    var mean = 0.0;
    for (var i = first; i < last; i++) { mean += probabilities[i] * direction[i]; }
    for (var i = first; i < last; i++) { derivative[i] = probabilities[i] * (direction[i] - mean); }
}
