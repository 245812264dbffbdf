// One item makes the softmax of one row.
#import dispatch
struct Params { rows: u32, width: u32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn softmax(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = item_index(gid, groups, 64u);
    if row >= params.rows { return; }
    let first = row * params.width;
    let last = first + params.width;
    var most = input[first];
    for (var i = first; i < last; i++) { most = max(most, input[i]); }
    var sum = 0.0;
    for (var i = first; i < last; i++) {
        let y = exp(input[i] - most);
        output[i] = y;
        sum += y;
    }
    for (var i = first; i < last; i++) { output[i] = output[i] / sum; }
}
