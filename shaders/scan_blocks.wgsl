// One workgroup adds up a block: its sum since its last head, and whether it has one.
#import scan $
@group(0) @binding(3) var<storage, read_write> totals: array<$>;
@group(0) @binding(4) var<storage, read_write> starts_of_blocks: array<u32>;

@compute @workgroup_size(256)
fn scan_blocks(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups);
    scan_lanes(lane, stretch(block * params.block + lane * (params.block / GROUP)));
    if lane == GROUP - 1u && block < params.blocks {
        totals[block] = sums[lane];
        starts_of_blocks[block] = starts[lane];
    }
}
