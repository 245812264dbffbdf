#import dispatch
struct Params { rays: u32, resolution: u32, most: u32, unbounded: u32, step: f32, ratio: f32, near: f32, far: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> origins: array<f32>;
@group(0) @binding(2) var<storage, read> directions: array<f32>;
@group(0) @binding(3) var<storage, read> shifts: array<f32>;
@group(0) @binding(4) var<storage, read> words: array<u32>;

const END = 0xffffffffu;
const LEVELS = 3u;

struct Ray { origin: vec3<f32>, direction: vec3<f32>, shift: f32, first: u32, far: f32 }

// Distance of place number x of the lattice, and back.
fn distance_of(x: f32) -> f32 {
    if params.ratio == 0.0 { return params.step * x; }
    let straight = params.step * x;
    let grown = params.step / params.ratio * exp(params.ratio * x - 1.0);
    return select(straight, grown, x * params.ratio > 1.0);
}

fn number_of(t: f32) -> f32 {
    if params.ratio == 0.0 || t * params.ratio <= params.step { return t / params.step; }
    return (1.0 + log(t * params.ratio / params.step)) / params.ratio;
}

fn ray_of(k: u32) -> Ray {
    var ray: Ray;
    ray.origin = vec3(origins[3u * k], origins[3u * k + 1u], origins[3u * k + 2u]);
    ray.direction = vec3(directions[3u * k], directions[3u * k + 1u], directions[3u * k + 2u]);
    ray.shift = shifts[k];
    let span = span_of(ray.origin, ray.direction, vec2(params.near, params.far), params.unbounded == 1u);
    ray.far = span.y;
    ray.first = u32(max(ceil(number_of(span.x) - ray.shift - 0.5), 0.0));
    return ray;
}

fn is_full(level: u32, offset: u32, cell: vec3<u32>) -> bool {
    let side = params.resolution >> (2u * level);
    let bit = (cell.z * side + cell.y) * side + cell.x;
    return ((words[offset + bit / 32u] >> (bit % 32u)) & 1u) == 1u;
}

// The coarsest empty level at a point of the cube; LEVELS where it is full.
fn empty_level(q: vec3<f32>) -> u32 {
    let n = params.resolution;
    let cell = vec3<u32>(clamp((q + 1.0) * 0.5 * f32(n), vec3(0.0), vec3(f32(n - 1u))));
    let size0 = (n * n * n + 31u) / 32u;
    let n1 = n >> 2u;
    let size1 = (n1 * n1 * n1 + 31u) / 32u;
    if !is_full(2u, size0 + size1, cell >> vec3(4u)) { return 2u; }
    if !is_full(1u, size0, cell >> vec3(2u)) { return 1u; }
    if !is_full(0u, 0u, cell) { return 0u; }
    return LEVELS;
}

// The next sample from place number `from` on, or END.
fn advance(ray: Ray, start: u32) -> u32 {
    var i = start;
    loop {
        let t = distance_of(f32(i) + ray.shift + 0.5);
        if !(t < ray.far) { return END; }
        let p = ray.origin + t * ray.direction;
        let norm = max(max(abs(p.x), abs(p.y)), abs(p.z));
        let inner = select(1.0, 0.5, params.unbounded == 1u);
        let contracted = params.unbounded == 1u && norm > 1.0;
        let q = p * select(inner, 0.5 * (2.0 - 1.0 / norm) / norm, contracted);
        let level = empty_level(q);
        if level == LEVELS { return i; }
        var next = i + 1u;
        if !contracted {
            // Leave the cell: its faces are planes here.
            let size = 2.0 * f32(1u << (2u * level)) / f32(params.resolution);
            let low = floor((q + 1.0) / size);
            var leave = ray.far;
            for (var a = 0u; a < 3u; a++) {
                let d = ray.direction[a];
                if abs(d) < STILL { continue; }
                let face = ((low[a] + select(0.0, 1.0, d > 0.0)) * size - 1.0) / inner;
                leave = min(leave, (face - ray.origin[a]) / d);
            }
            next = max(next, u32(max(ceil(number_of(leave) - ray.shift - 0.5), 0.0)));
        }
        i = next;
    }
    return END;
}
