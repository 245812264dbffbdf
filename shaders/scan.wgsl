// Segmented prefix sums of `$`: what the passes scan_blocks and scan_apply share. Element l of the scan, in its order,
// is input[place(l)]; sums start anew at heads.
#import dispatch
struct Params {
    items: u32, n: u32, inner: u32, heads: u32,
    exclusive: u32, reverse: u32, block: u32, blocks: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<$>;
@group(0) @binding(2) var<storage, read> marks: array<u32>;

const GROUP = 256u;
var<workgroup> sums: array<$, 256>;
var<workgroup> starts: array<u32, 256>;

// A stretch of elements: the sum since its last head, and whether it has one.
struct Stretch { sum: $, start: u32 }

fn place(l: u32) -> u32 {
    let i = l % params.n;
    let line = l / params.n;
    let k = select(i, params.n - 1u - i, params.reverse == 1u);
    return (line / params.inner * params.n + k) * params.inner + line % params.inner;
}

fn is_head(l: u32) -> bool {
    let i = l % params.n;
    if i == 0u { return true; }
    if params.heads == 1u { return marks[i] != marks[i - 1u]; }
    return params.heads == 2u && marks[l] == 1u;
}

fn stretch(first: u32) -> Stretch {
    var own = Stretch($(0), 0u);
    for (var l = first; l < min(first + params.block / GROUP, params.items); l++) {
        if is_head(l) { own = Stretch($(0), 1u); }
        own.sum += input[place(l)];
    }
    return own;
}

// Leaves in `sums` and `starts` the stretches from the workgroup's first element to the end of each invocation's own.
fn scan_lanes(lane: u32, own: Stretch) {
    sums[lane] = own.sum;
    starts[lane] = own.start;
    workgroupBarrier();
    for (var s = 1u; s < GROUP; s *= 2u) {
        var joined = Stretch(sums[lane], starts[lane]);
        if lane >= s {
            if joined.start == 0u { joined.sum += sums[lane - s]; }
            joined.start |= starts[lane - s];
        }
        workgroupBarrier();
        sums[lane] = joined.sum;
        starts[lane] = joined.start;
        workgroupBarrier();
    }
}
