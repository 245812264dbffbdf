// What the kernels over tiles share. One workgroup of 64 draws a tile of 16 × 16 pixels, four of them per invocation; its
// splats come front to back, 64 at a time.
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;

const BATCH = 64u;
var<workgroup> staged0: array<vec4<f32>, 64>; // mean x, y, form a, b
var<workgroup> staged1: array<vec4<f32>, 64>; // form c, log₂ of the opacity, red, green
var<workgroup> staged2: array<vec2<f32>, 64>; // blue, depth
var<workgroup> going: u32;

fn stage(slot: u32, id: u32) {
    let at = id * 10u;
    staged0[slot] = vec4(splats[at], splats[at + 1u], splats[at + 2u], splats[at + 3u]);
    staged1[slot] = vec4(splats[at + 4u], splats[at + 5u], splats[at + 6u], splats[at + 7u]);
    staged2[slot] = vec2(splats[at + 8u], splats[at + 9u]);
}

// log₂ of a staged splat's α at the four pixels.
fn powers(i: u32, first: vec2<u32>) -> vec4<f32> {
    let a = staged0[i];
    let b = staged1[i].xy;
    let d = a.xy - (vec2<f32>(first) + 0.5);
    let dx = vec4(d.x, d.x - 1.0, d.x, d.x - 1.0);
    let dy = vec4(d.y, d.y, d.y - 1.0, d.y - 1.0);
    return dx * (a.z * dx + a.w * dy) + b.x * dy * dy + b.y;
}

// Stages the next splats of a tile, from entry `base` on: how many, none where every pixel is finished.
fn next_batch(base: u32, end: u32, lane: u32, left: vec4<f32>) -> u32 {
    let n = min(BATCH, end - base);
    if lane == 0u { going = 0u; }
    workgroupBarrier();
    if any(left > vec4(0.0)) { going = 1u; }
    if lane < n { stage(lane, ids[base + lane]); }
    return select(0u, n, workgroupUniformLoad(&going) == 1u);
}

// What a splat does to the four pixels.
struct Cover {
    // α before it is limited, and after.
    raw: vec4<f32>,
    alpha: vec4<f32>,
    // Transmittance behind it, where it is drawn.
    next: vec4<f32>,
    drawn: vec4<bool>,
}

fn cover(power: vec4<f32>, reached: vec4<bool>, left: vec4<f32>) -> Cover {
    let raw = exp2(power);
    let alpha = min(raw, vec4(0.99));
    let next = left - left * alpha;
    return Cover(raw, alpha, next, reached & (next > vec4(1e-4)));
}

fn reaches(power: vec4<f32>, left: vec4<f32>) -> vec4<bool> {
    return (power >= vec4(params.least)) & (left > vec4(0.0));
}

fn colour(i: u32) -> vec4<f32> {
    return vec4(staged1[i].zw, staged2[i]);
}

// Transmittances behind a splat; pixels that it would finish keep theirs, negative.
fn behind(c: Cover, reached: vec4<bool>, left: vec4<f32>) -> vec4<f32> {
    return select(select(left, -left, reached), c.next, c.drawn);
}
