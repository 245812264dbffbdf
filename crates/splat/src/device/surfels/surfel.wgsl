// What the kernels over tiles of surfels share. One workgroup of 64 draws a tile of 16 × 16 pixels, four of them per invocation;
// its surfels come front to back, 64 at a time. The ray of a pixel (x, y) meets a surfel's plane at (u, v) = (p.x, p.y) / p.z
// with p = (x w − a) × (y w − b), where a, b, w are the rows that take (u, v, 1) to the picture (Huang et al. 2024, eq. 10).
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, near: f32, unused0: u32, unused1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> surfels: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;

const BATCH = 64u;
const ROW = 18u;
const PLANES = 10u;
const LN2 = 0.693147180559945;
const LOG2E = 1.442695040888963;
var<workgroup> staged: array<array<f32, 18>, 64>;
var<workgroup> going: u32;

// Stages the next surfels of a tile, from entry `base` on: how many, none where every pixel is finished.
fn next_batch(base: u32, end: u32, lane: u32, left: vec4<f32>) -> u32 {
    let n = min(BATCH, end - base);
    if lane == 0u { going = 0u; }
    workgroupBarrier();
    if any(left > vec4(0.0)) { going = 1u; }
    if lane < n {
        let id = ids[base + lane];
        for (var k = 0u; k < ROW; k++) { staged[lane][k] = surfels[id * ROW + k]; }
    }
    return select(0u, n, workgroupUniformLoad(&going) == 1u);
}

fn row(i: u32, first: u32) -> vec3<f32> {
    return vec3(staged[i][first], staged[i][first + 1u], staged[i][first + 2u]);
}

// Where a ray meets a surfel.
struct Hit {
    // α before it is limited, and after.
    raw: f32,
    alpha: f32,
    depth: f32,
    // On the surfel, in units of its scales.
    u: f32,
    v: f32,
    // From the pixel to the centre.
    d: vec2<f32>,
    // The planes through the pixel's column and row, and their intersection.
    k: vec3<f32>,
    l: vec3<f32>,
    p: vec3<f32>,
    // By the distance on the surfel, not by that in the picture.
    met: bool,
    reached: bool,
}

fn hit(i: u32, at: vec2<f32>) -> Hit {
    let w = row(i, 6u);
    let k = at.x * w - row(i, 0u);
    let l = at.y * w - row(i, 3u);
    let p = cross(k, l);
    let per = select(0.0, 1.0 / p.z, p.z != 0.0);
    let u = p.x * per;
    let v = p.y * per;
    let on = select(1e30, u * u + v * v, p.z != 0.0);
    let d = vec2(staged[i][9], staged[i][10]) - at;
    let off = 2.0 * dot(d, d);
    let met = on <= off;
    let depth = select(w.z, u * w.x + v * w.y + w.z, met);
    let power = staged[i][11] - 0.5 * LOG2E * min(on, off);
    let raw = exp2(power);
    return Hit(raw, min(raw, 0.99), depth, u, v, d, k, l, p, met, power >= params.least && depth >= params.near);
}

fn centre(first: vec2<u32>, k: u32) -> vec2<f32> {
    return vec2<f32>(pixel(first, k)) + 0.5;
}
