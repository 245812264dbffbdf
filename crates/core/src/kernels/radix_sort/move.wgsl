// One workgroup moves a block of keys and payloads to their places by one digit; equal digits keep their order. Every
// invocation owns a run of neighbouring keys, so that a digit's keys are ordered by invocation, then within the run.
#import radix
@group(0) @binding(2) var<storage, read> payload: array<u32>;
@group(0) @binding(3) var<storage, read> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> keys_out: array<u32>;
@group(0) @binding(5) var<storage, read_write> payload_out: array<u32>;

var<workgroup> ranks: array<u32, 2048>; // [digit, invocation]: counts, then exclusive prefix sums of them
var<workgroup> sums: array<u32, 128>;
var<workgroup> digit_starts: array<u32, 16>;

@compute @workgroup_size(128)
fn radix_move(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
              @builtin(local_invocation_index) lane: u32) {
    let block = group_index(wid, groups);
    let first = block * params.block + lane * (params.block / GROUP);
    let last = min(first + params.block / GROUP, params.items);
    for (var d = 0u; d < 16u; d++) { ranks[d * GROUP + lane] = 0u; }
    for (var l = first; l < last; l++) { ranks[digit_of(keys[l]) * GROUP + lane] += 1u; }
    workgroupBarrier();
    // Exclusive prefix sums of `ranks`, 16 entries per invocation.
    var total = 0u;
    for (var e = lane * 16u; e < lane * 16u + 16u; e++) { total += ranks[e]; }
    sums[lane] = total;
    workgroupBarrier();
    for (var s = 1u; s < GROUP; s *= 2u) {
        var sum = sums[lane];
        if lane >= s { sum += sums[lane - s]; }
        workgroupBarrier();
        sums[lane] = sum;
        workgroupBarrier();
    }
    var before = sums[lane] - total;
    for (var e = lane * 16u; e < lane * 16u + 16u; e++) {
        let count = ranks[e];
        ranks[e] = before;
        before += count;
    }
    workgroupBarrier();
    if lane < 16u { digit_starts[lane] = ranks[lane * GROUP]; }
    workgroupBarrier();
    for (var l = first; l < last; l++) {
        let key = keys[l];
        let d = digit_of(key);
        let place = offsets[d * params.blocks + block] + ranks[d * GROUP + lane] - digit_starts[d];
        ranks[d * GROUP + lane] += 1u;
        keys_out[place] = key;
        var value = l;
        if params.numbered == 0u { value = payload[l]; }
        payload_out[place] = value;
    }
}
