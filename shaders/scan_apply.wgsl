// One workgroup writes the prefix sums of a block, which go on from the scanned totals of the blocks before.
#import scan $
@group(0) @binding(3) var<storage, read> carries: array<$>;
@group(0) @binding(4) var<storage, read_write> output: array<$>;

@compute @workgroup_size(256)
fn scan_apply(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups);
    let first = block * params.block + lane * (params.block / GROUP);
    scan_lanes(lane, stretch(first));
    var sum = $(0);
    if block > 0u { sum = carries[block - 1u]; }
    if lane > 0u { sum = select(sum, $(0), starts[lane - 1u] == 1u) + sums[lane - 1u]; }
    for (var l = first; l < min(first + params.block / GROUP, params.items); l++) {
        if is_head(l) { sum = $(0); }
        let before = sum;
        sum += input[place(l)];
        output[place(l)] = select(sum, before, params.exclusive == 1u);
    }
}
