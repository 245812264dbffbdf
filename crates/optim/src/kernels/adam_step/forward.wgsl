// One item updates one value and its two moments.
#import dispatch
struct Params {
    beta1: f32, rest1: f32, beta2: f32, rest2: f32,
    rate: f32, unbias2: f32, epsilon: f32, shrink: f32,
    lo: f32, hi: f32, scale: f32, limit: f32,
    masked: u32, unused0: u32, unused1: u32, unused2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> first: array<f32>;
@group(0) @binding(4) var<storage, read_write> second: array<f32>;

@compute @workgroup_size(256)
fn adam_step(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = item_index(gid, groups, 256u);
    if i >= arrayLength(&gradient) { return; }
    if params.masked == 1u && gradient[i] == 0.0 { return; }
    let g = clamp(params.scale * gradient[i], -params.limit, params.limit);
    let moment = params.beta1 * first[i] + params.rest1 * g;
    let m = select(moment, 0.0, abs(moment) < 1e-30);
    let square = params.beta2 * second[i] + params.rest2 * g * g;
    let v = select(square, 0.0, square < 1e-36);
    first[i] = m;
    second[i] = v;
    let next = params.shrink * values[i] - params.rate * m / (sqrt(params.unbias2 * v) + params.epsilon);
    values[i] = clamp(next, params.lo, params.hi);
}
