// One item computes one row of a product with a sparse matrix; rows have three components.
#import dispatch
struct Params { rows: u32, unused_a: u32, unused_b: u32, unused_c: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read> columns: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> input: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn sparse_rows(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = item_index(gid, groups, 64u);
    if row >= params.rows { return; }
    var sum = vec3<f32>(0.0);
    for (var k = starts[row]; k < starts[row + 1u]; k++) {
        let at = 3u * columns[k];
        sum += weights[k] * vec3<f32>(input[at], input[at + 1u], input[at + 2u]);
    }
    output[3u * row] = sum.x;
    output[3u * row + 1u] = sum.y;
    output[3u * row + 2u] = sum.z;
}
