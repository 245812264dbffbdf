// Nearest depth of each pixel (`depth_pass`), then the first triangle with that depth (`triangle_pass`).
// One invocation per (triangle, strip): it fills every 16th row of the triangle's bounding box.
// Edge functions are integers on a grid of 1/4096 pixel, as on the CPU; products that leave 32 bits are done in two words.
#import dispatch
struct Params { width: u32, height: u32, triangles: u32, peel: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> clip: array<f32>;
@group(0) @binding(2) var<storage, read> triangles: array<u32>;
@group(0) @binding(3) var<storage, read> flags: array<u32>;
@group(0) @binding(4) var<storage, read> previous_depth: array<u32>;
@group(0) @binding(5) var<storage, read> previous_triangle: array<u32>;
@group(0) @binding(6) var<storage, read_write> depth: array<atomic<u32>>;
@group(0) @binding(7) var<storage, read_write> triangle: array<atomic<u32>>;

const SUB: f32 = 4096.0;
const UNIT: i32 = 4096;
const HALF: i32 = 2048;
const GUARD: f32 = 16.0;
const STRIPS: u32 = 16u;

fn wide_product(a: i32, b: i32) -> vec2<u32> {
    let negative = (a < 0) != (b < 0);
    let x = u32(abs(a));
    let y = u32(abs(b));
    let low = (x & 0xffffu) * (y & 0xffffu);
    let mid1 = (x >> 16u) * (y & 0xffffu) + (low >> 16u);
    let mid2 = (x & 0xffffu) * (y >> 16u) + (mid1 & 0xffffu);
    var lo = (mid2 << 16u) | (low & 0xffffu);
    var hi = (x >> 16u) * (y >> 16u) + (mid1 >> 16u) + (mid2 >> 16u);
    if negative {
        lo = ~lo + 1u;
        hi = ~hi + select(0u, 1u, lo == 0u);
    }
    return vec2<u32>(lo, hi);
}

// Is dx (qy - ay) - dy (qx - ax) inside (positive, or zero on an inclusive edge)?
fn edge_inside(d: vec2<i32>, r: vec2<i32>, small: bool) -> bool {
    let inclusive = d.y < 0 || (d.y == 0 && d.x > 0);
    if small {
        let e = d.x * r.y - d.y * r.x;
        return e > 0 || (e == 0 && inclusive);
    }
    let p = wide_product(d.x, r.y);
    let q = wide_product(d.y, r.x);
    let lo = p.x - q.x;
    let hi = p.y - q.y - select(0u, 1u, p.x < q.x);
    let zero = lo == 0u && hi == 0u;
    return (i32(hi) >= 0 && !zero) || (zero && inclusive);
}

fn store(pixel: u32, id: u32, z: f32, ids: bool) {
    // Phrased so that NaN fails.
    if !(z <= 1.0) { return; }
    let bits = bitcast<u32>(max(z, 0.0));
    if params.peel == 1u {
        let other = previous_depth[pixel];
        let other_id = previous_triangle[pixel];
        if other_id == 0u || !(bits > other || (bits == other && id + 1u > other_id)) { return; }
    }
    if !ids {
        atomicMin(&depth[pixel], bits);
    } else if bits <= atomicLoad(&depth[pixel]) + 1u {
        // One unit of slack: the two passes may round differently, and a pixel must not lose its triangle.
        atomicMin(&triangle[pixel], id);
    }
}

fn fill(id: u32, strip: u32, ids: bool) {
    var p: array<vec4<f32>, 3>;
    for (var k = 0u; k < 3u; k++) {
        let v = triangles[3u * id + k] * 4u;
        p[k] = vec4<f32>(clip[v], clip[v + 1u], clip[v + 2u], clip[v + 3u]);
    }
    let size = vec2<f32>(f32(params.width), f32(params.height));
    let two_sided = (flags[id] & 1u) != 0u;
    let flipped = (flags[id] & 2u) != 0u;
    var regular = true;
    for (var k = 0u; k < 3u; k++) {
        let limit = GUARD * p[k].w;
        regular = regular && p[k].z >= 0.0 && p[k].w > 0.0 && abs(p[k].x) <= limit && abs(p[k].y) <= limit;
    }
    if !regular {
        fill_homogeneous(id, strip, ids, p[0], p[1], p[2], two_sided, flipped);
        return;
    }
    var s: array<vec2<i32>, 3>;
    var z: array<f32, 3>;
    for (var k = 0u; k < 3u; k++) {
        let x = (p[k].x / p[k].w * 0.5 + 0.5) * size.x;
        let y = (0.5 - p[k].y / p[k].w * 0.5) * size.y;
        s[k] = vec2<i32>(i32(floor(x * SUB + 0.5)), i32(floor(y * SUB + 0.5)));
        z[k] = p[k].z / p[k].w;
    }
    let lo = min(s[0], min(s[1], s[2]));
    let hi = max(s[0], max(s[1], s[2]));
    let extent = hi - lo;
    let small = max(extent.x, extent.y) < 30000;
    let u = s[1] - s[0];
    let v = s[2] - s[0];
    // Sign of the area, exact.
    let a = wide_product(u.x, v.y);
    let b = wide_product(v.x, u.y);
    if a.x == b.x && a.y == b.y { return; }
    let borrow = select(0u, 1u, a.x < b.x);
    let negative = i32(a.y - b.y - borrow) < 0;
    let front = negative != flipped;
    if !front && !two_sided { return; }
    if negative {
        let t = s[1]; s[1] = s[2]; s[2] = t;
        let zt = z[1]; z[1] = z[2]; z[2] = zt;
    }
    let fu = vec2<f32>(s[1] - s[0]) / SUB;
    let fv = vec2<f32>(s[2] - s[0]) / SUB;
    let area = fu.x * fv.y - fv.x * fu.y;
    let dz = vec2<f32>(z[1] - z[0], z[2] - z[0]);
    let zx = (dz.x * fv.y - dz.y * fu.y) / area;
    let zy = (dz.y * fu.x - dz.x * fv.x) / area;
    let first = max((lo - HALF + UNIT - 1) >> vec2<u32>(12u), vec2<i32>(0));
    let last = min(((hi - HALF) >> vec2<u32>(12u)) + 1, vec2<i32>(i32(params.width), i32(params.height)));
    for (var y = first.y + i32(strip); y < last.y; y += i32(STRIPS)) {
        for (var x = first.x; x < last.x; x++) {
            let c = vec2<i32>(x * UNIT + HALF, y * UNIT + HALF);
            if edge_inside(s[1] - s[0], c - s[0], small) && edge_inside(s[2] - s[1], c - s[1], small)
                && edge_inside(s[0] - s[2], c - s[2], small) {
                let r = vec2<f32>(c - s[0]) / SUB;
                store(u32(y) * params.width + u32(x), id, fma(zx, r.x, fma(zy, r.y, z[0])), ids);
            }
        }
    }
}

// Triangles that cross the camera plane or leave the guard band: edge functions in homogeneous coordinates
// (Olano & Greer 1997), with the near plane tested per pixel.
fn fill_homogeneous(id: u32, strip: u32, ids: bool, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, two_sided: bool, flipped: bool) {
    if a.z < 0.0 && b.z < 0.0 && c.z < 0.0 { return; }
    let det = a.w * (b.x * c.y - c.x * b.y) + b.w * (c.x * a.y - a.x * c.y) + c.w * (a.x * b.y - b.x * a.y);
    // In clip space y points up: positive is counter-clockwise.
    if !(abs(det) > 0.0) { return; }
    let front = (det > 0.0) != flipped;
    if !front && !two_sided { return; }
    for (var y = strip; y < params.height; y += STRIPS) {
        let py = 1.0 - (f32(y) + 0.5) * 2.0 / f32(params.height);
        for (var x = 0u; x < params.width; x++) {
            let px = (f32(x) + 0.5) * 2.0 / f32(params.width) - 1.0;
            let da = vec2<f32>(a.x - px * a.w, a.y - py * a.w);
            let db = vec2<f32>(b.x - px * b.w, b.y - py * b.w);
            let dc = vec2<f32>(c.x - px * c.w, c.y - py * c.w);
            let e = vec3<f32>(db.x * dc.y - dc.x * db.y, dc.x * da.y - da.x * dc.y, da.x * db.y - db.x * da.y) * sign(det);
            if e.x >= 0.0 && e.y >= 0.0 && e.z >= 0.0 {
                let sum = e.x + e.y + e.z;
                let z = (e.x * a.z + e.y * b.z + e.z * c.z) / sum;
                let w = (e.x * a.w + e.y * b.w + e.z * c.w) / sum;
                if w > 0.0 && z >= 0.0 { store(y * params.width + x, id, z / w, ids); }
            }
        }
    }
}

@compute @workgroup_size(64)
fn depth_pass(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item < params.triangles * STRIPS { fill(item / STRIPS, item % STRIPS, false); }
}

@compute @workgroup_size(64)
fn triangle_pass(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item < params.triangles * STRIPS { fill(item / STRIPS, item % STRIPS, true); }
}
