// One item compares up to `chunk` elements along the axis of [outer, n, inner]; the first extreme wins.
#import dispatch
struct Params {
    n: u32, inner: u32, chunk: u32, chunks: u32,
    items: u32, smallest: u32, first_pass: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<f32>;
@group(0) @binding(4) var<storage, read_write> best_place: array<u32>;

@compute @workgroup_size(64)
fn extreme(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= params.items { return; }
    let outer = item / (params.chunks * params.inner);
    let first = (item / params.inner % params.chunks) * params.chunk;
    let base = outer * params.n * params.inner + item % params.inner;
    let sign = select(1.0, -1.0, params.smallest == 1u);
    var found = first;
    var largest = sign * values[base + first * params.inner];
    for (var i = first + 1u; i < min(first + params.chunk, params.n); i++) {
        let x = sign * values[base + i * params.inner];
        if x > largest {
            largest = x;
            found = i;
        }
    }
    best[item] = sign * largest;
    if params.first_pass == 1u {
        best_place[item] = found;
    } else {
        best_place[item] = places[base + found * params.inner];
    }
}
