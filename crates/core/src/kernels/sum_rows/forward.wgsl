// One item adds up to `rows_per_item` rows of one column.
#import dispatch
struct Params { rows: u32, columns: u32, rows_per_item: u32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn sum_rows(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    let first = (item / params.columns) * params.rows_per_item;
    let column = item % params.columns;
    if first >= params.rows { return; }
    let last = min(first + params.rows_per_item, params.rows);
    var sum = 0.0;
    for (var row = first; row < last; row++) {
        sum += input[row * params.columns + column];
    }
    output[item] = sum;
}
