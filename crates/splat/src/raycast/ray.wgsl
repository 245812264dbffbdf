// What the kernels over rays share. One workgroup of 256 has a tile of 16 × 16 pixels, one per invocation. Light fades through
// eight intervals of depth at a time: all Gaussians that reach into them add to them, in any order, then they are passed. The
// tile's Gaussians come by their nearest depths, 32 at a time. Numbers of a Gaussian are those of blob.rs.
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, near: f32, bits: u32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rays: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;

const ROW = 15u;
const BATCH = 32u;
const SLAB = 8u;
const REACH = 3.25;
const T_MIN = 1e-4;
const LN2 = 0.693147180559945;
const NONE = 0xffffffffu;
var<workgroup> staged: array<array<f32, 15>, 32>;
var<workgroup> head: vec4<u32>;
var<workgroup> going: u32;

fn pixel(tile: u32, lane: u32) -> vec2<u32> {
    return vec2(tile % params.columns, tile / params.columns) * 16u + vec2(lane % 16u, lane / 16u);
}

fn inside(at: vec2<u32>) -> bool {
    return at.x < params.width && at.y < params.height;
}

// The interval of a positive depth, and where one begins: its first bits.
fn interval(depth: f32) -> u32 {
    return bitcast<u32>(clamp(depth, params.near, 1e30)) >> (23u - params.bits);
}

fn edge(i: u32) -> f32 {
    return bitcast<f32>(i << (23u - params.bits));
}

// Whether light goes on anywhere in the tile.
fn goes_on(lane: u32, left: f32) -> bool {
    if lane == 0u { going = 0u; }
    workgroupBarrier();
    if left >= T_MIN { going = 1u; }
    return workgroupUniformLoad(&going) == 1u;
}

// Stages Gaussians from entry `base` on. Those that reach into the intervals from `slab`, as bits; the first that goes on
// behind them or begins there; how many begin before their end; the interval in which the first of the others begins.
fn look(base: u32, end: u32, lane: u32, slab: u32) -> vec4<u32> {
    let n = min(BATCH, end - base);
    workgroupBarrier();
    if lane < n {
        let id = ids[base + lane];
        for (var k = 0u; k < ROW; k++) { staged[lane][k] = rays[id * ROW + k]; }
    }
    workgroupBarrier();
    if lane == 0u {
        var found = vec4(0u, NONE, 0u, NONE);
        let before = edge(slab);
        let behind = edge(slab + SLAB);
        for (var i = 0u; i < n; i++) {
            let begins = interval(staged[i][13]);
            if begins >= slab + SLAB {
                found.y = min(found.y, base + i);
                found.w = begins;
                break;
            }
            found.z += 1u;
            let far = staged[i][14];
            if far >= before { found.x |= 1u << i; }
            if far >= behind { found.y = min(found.y, base + i); }
        }
        head = found;
    }
    return workgroupUniformLoad(&head);
}

// The part of a Gaussian before x, and its density there; coefficients as in profile.rs.
fn before(x0: f32) -> vec2<f32> {
    let x = clamp(x0, -REACH, REACH);
    let xx = x * x;
    let sum = 0.399437198 + xx * (-0.0668180863 + xx * (0.0101006581 + xx * (-0.00117045199 + xx * (9.58129916e-05 + xx * (-4.73634695e-06 + xx * (1.0273991e-07))))));
    let density = 0.399437198 + xx * (-0.200454259 + xx * (0.0505032906 + xx * (-0.00819316396 + xx * (0.000862316924 + xx * (-5.20998164e-05 + xx * (1.33561883e-06))))));
    return vec2(sum * x + 0.5, density);
}

// e^−τ, the mean of e^−s over s to τ, the derivative of that mean.
fn fade(tau: f32) -> vec3<f32> {
    let left = exp(-tau);
    if tau < 0.1 {
        let mean = 1.0 - tau * (0.5 - tau * (1.0 / 6.0 - tau * (1.0 / 24.0 - tau * (1.0 / 120.0 - tau / 720.0))));
        let slope = -0.5 + tau * (1.0 / 3.0 - tau * (0.125 - tau * (1.0 / 30.0 - tau / 144.0)));
        return vec3(left, mean, slope);
    }
    let mean = (1.0 - left) / tau;
    return vec3(left, mean, (left - mean) / tau);
}

// A ray at a Gaussian, as in blob.rs.
struct Meeting {
    d: vec2<f32>,
    form: f32,
    k: f32,
    per: f32,
    power: f32,
    tau: f32,
    swell: f32,
    middle: f32,
    narrow: f32,
    bend: f32,
    hit: bool,
}

fn meet(i: u32, at: vec2<f32>, length: f32) -> Meeting {
    let d = at - vec2(staged[i][0], staged[i][1]);
    let form = d.x * (staged[i][2] * d.x + staged[i][3] * d.y) + staged[i][4] * d.y * d.y;
    let k = 1.0 + staged[i][11] * d.x + staged[i][12] * d.y;
    let wide = staged[i][10];
    let share = wide / staged[i][9];
    let bend = -2.0 * LN2 * share * share;
    let q = max(form * bend + k * k, 1e-12);
    let per = 1.0 / q;
    let power = form * per;
    let level = staged[i][5];
    let hit = power >= params.least - level && k > 0.0;
    let root = sqrt(q);
    let full = exp2(clamp(power + level, -126.0, 126.0));
    let rest = exp2(2.0 * params.least) / full;
    let across = select(0.0, length / root, hit);
    return Meeting(d, form, k, per, power, (full - rest) * across, (full + rest) * across, staged[i][9] * k * per, root / wide, bend, hit);
}

fn colour(i: u32) -> vec3<f32> {
    return vec3(staged[i][6], staged[i][7], staged[i][8]);
}

// The first of the bits.
fn lowest(bits: u32) -> u32 {
    return countTrailingZeros(bits);
}

// The slab after this one: the next one where something goes on, else where something begins.
fn following(slab: u32, first: u32, others: u32, begins: u32) -> u32 {
    if first < others || begins == NONE { return slab + SLAB; }
    return max(slab + SLAB, begins);
}
