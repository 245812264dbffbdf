// One item makes one element of the correlation along the middle axis of [outer, n, inner].
#import dispatch
struct Params {
    n: u32, n_out: u32, inner: u32, middle: u32,
    taps: u32, items: u32, unused0: u32, unused1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn correlate(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= params.items { return; }
    let outer = item / (params.n_out * params.inner);
    let i = item / params.inner % params.n_out;
    let base = outer * params.n * params.inner + item % params.inner;
    // Taps from the first to before the last whose element lies inside.
    let first = params.middle - min(params.middle, i);
    let last = min(params.taps, params.n + params.middle - min(i, params.n + params.middle));
    var sum = 0.0;
    for (var t = first; t < last; t++) {
        sum += weights[t] * input[base + (i + t - params.middle) * params.inner];
    }
    output[item] = sum;
}
