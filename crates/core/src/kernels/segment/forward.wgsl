// One item finds the segment of a row: the last one that starts at or before it.
#import dispatch
struct Params { rows: u32, segments: u32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;

@compute @workgroup_size(64)
fn segment_ids(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = item_index(gid, groups, 64u);
    if row >= params.rows { return; }
    // Offsets up to `low` start at or before the row, those from `high` on start after it.
    var low = 0u;
    var high = params.segments + 1u;
    while low < high {
        let middle = (low + high) / 2u;
        if offsets[middle] <= row { low = middle + 1u; } else { high = middle; }
    }
    ids[row] = select(low - 1u, params.segments, low == 0u);
}
