// One item finds the first row that does not come before its segment.
#import dispatch
struct Params { rows: u32, segments: u32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>;

@compute @workgroup_size(64)
fn segment_offsets(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let segment = item_index(gid, groups, 64u);
    if segment > params.segments { return; }
    // Rows before `low` belong to segments before, those from `high` on do not.
    var low = 0u;
    var high = params.rows;
    while low < high {
        let middle = (low + high) / 2u;
        if ids[middle] < segment { low = middle + 1u; } else { high = middle; }
    }
    offsets[segment] = low;
}
