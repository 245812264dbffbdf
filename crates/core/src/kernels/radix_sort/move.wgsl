// One workgroup moves a block of keys and payloads to their places by one digit; equal digits keep their order. Every
// invocation owns a run of neighbouring keys, so that a digit's keys are ordered by invocation, then within the run.
#import radix
@group(0) @binding(2) var<storage, read> payload: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys_out: array<u32>;
@group(0) @binding(5) var<storage, read_write> payload_out: array<u32>;

const RUN = 8u;
var<workgroup> staged: array<u32, 1056>; // keys of the block
var<workgroup> ranks: array<u32, 2112>; // [digit, invocation]: counts, then exclusive prefix sums of them
var<workgroup> sums: array<u32, 256>; // [2, invocation]
var<workgroup> starts: array<u32, 16>; // of digits

// Where element k lies: a gap after every 32, so that neighbouring invocations use different memory banks.
fn spread(k: u32) -> u32 {
    return k + k / 32u;
}

@compute @workgroup_size(128)
fn radix_move(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups);
    let first = block * params.block;
    let n = min(params.block, params.items - min(first, params.items));
    for (var k = lane; k < n; k += GROUP) { staged[spread(k)] = keys[first + k]; }
    for (var d = 0u; d < 16u; d++) { ranks[spread(d * GROUP + lane)] = 0u; }
    workgroupBarrier();
    let own = lane * RUN;
    let end = min(own + RUN, n);
    for (var k = own; k < end; k++) { ranks[spread(digit_of(staged[spread(k)]) * GROUP + lane)] += 1u; }
    workgroupBarrier();
    // Exclusive prefix sums of `ranks`, 16 entries per invocation.
    var total = 0u;
    for (var e = lane * 16u; e < lane * 16u + 16u; e++) { total += ranks[spread(e)]; }
    sums[lane] = total;
    workgroupBarrier();
    var side = 0u;
    for (var s = 1u; s < GROUP; s *= 2u) {
        var sum = sums[side + lane];
        if lane >= s { sum += sums[side + lane - s]; }
        side = GROUP - side;
        sums[side + lane] = sum;
        workgroupBarrier();
    }
    var before = sums[side + lane] - total;
    for (var e = lane * 16u; e < lane * 16u + 16u; e++) {
        let count = ranks[spread(e)];
        ranks[spread(e)] = before;
        before += count;
    }
    workgroupBarrier();
    if lane < params.digits { starts[lane] = offsets[lane * params.blocks + block] - ranks[spread(lane * GROUP)]; }
    workgroupBarrier();
    for (var k = own; k < end; k++) {
        let key = staged[spread(k)];
        let d = digit_of(key);
        let at = spread(d * GROUP + lane);
        let place = starts[d] + ranks[at];
        ranks[at] += 1u;
        keys_out[place] = key;
        var value = first + k;
        if params.numbered == 0u { value = payload[first + k]; }
        payload_out[place] = value;
    }
}
