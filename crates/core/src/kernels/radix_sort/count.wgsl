// One workgroup counts the digits of a block of keys: counts[digit, block]. There are at most 16 digits.
#import radix
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;

var<workgroup> own: array<atomic<u32>, 16>;

@compute @workgroup_size(128)
fn radix_count(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups);
    if lane < 16u { atomicStore(&own[lane], 0u); }
    workgroupBarrier();
    let first = block * params.block;
    for (var l = first + lane; l < min(first + params.block, params.items); l += GROUP) {
        atomicAdd(&own[digit_of(keys[l])], 1u);
    }
    workgroupBarrier();
    if lane < params.digits && block < params.blocks { counts[lane * params.blocks + block] = atomicLoad(&own[lane]); }
}
