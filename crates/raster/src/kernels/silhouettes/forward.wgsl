// Silhouette edge between a pixel and the one to its right (even items) or below (odd items).
// One invocation per pair; the body of `follow` is that of cpu.rs.
#import dispatch
struct Params { width: u32, height: u32, unused_a: u32, unused_b: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> visible: array<u32>;
@group(0) @binding(2) var<storage, read> depth: array<u32>;
@group(0) @binding(3) var<storage, read> clip: array<f32>;
@group(0) @binding(4) var<storage, read> triangles: array<u32>;
@group(0) @binding(5) var<storage, read> neighbours: array<u32>;
@group(0) @binding(6) var<storage, read_write> edges: array<u32>;

const MAX_STEPS: u32 = 256u;
const SLACK: f32 = 0.01;
const NONE: u32 = 0xffffffffu;

// Homogeneous position in pixels: (x w, y w, w).
fn corner(v: u32) -> vec3<f32> {
    let p = vec3<f32>(clip[4u * v], clip[4u * v + 1u], clip[4u * v + 3u]);
    return vec3<f32>((p.x + p.z) * 0.5 * f32(params.width), (p.z - p.y) * 0.5 * f32(params.height), p.z);
}

fn corners(t: u32) -> array<vec3<f32>, 3> {
    return array(corner(triangles[3u * t]), corner(triangles[3u * t + 1u]), corner(triangles[3u * t + 2u]));
}

// Orientation in the picture, also across the camera plane.
fn turns_left(c: array<vec3<f32>, 3>) -> bool {
    return dot(c[0].xyz, cross(c[1], c[2])) < 0.0;
}

fn follow(first: u32, start: vec2<f32>, down: bool, forwards: bool) -> u32 {
    let sign = select(-1.0, 1.0, forwards);
    var triangle = first;
    var entered = 3u;
    for (var step = 0u; step < MAX_STEPS; step++) {
        var own = corners(triangle);
        // Along the way from the start, across it, and w.
        var c: array<vec3<f32>, 3>;
        for (var k = 0u; k < 3u; k++) {
            let d = own[k].xy - start * own[k].z;
            c[k] = select(vec3<f32>(sign * d.x, d.y, own[k].z), vec3<f32>(sign * d.y, d.x, own[k].z), down);
        }
        var exit = 3u;
        var distance = -SLACK;
        for (var k = 0u; k < 3u; k++) {
            let a = c[k];
            let b = c[(k + 1u) % 3u];
            // On the line counts as before it, which agrees with the fill rule: top and left edges belong to a triangle.
            if k == entered || (a.y <= 0.0) == (b.y <= 0.0) { continue; }
            let span = b.y - a.y;
            let s = (a.x * b.y - b.x * a.y) / span;
            let w = (a.z * b.y - b.z * a.y) / span;
            if w > 0.0 && s / w >= distance {
                exit = k;
                distance = s / w;
            }
        }
        // Phrased so that NaN fails.
        if exit == 3u || !(distance <= 1.0) { return NONE; }
        let edge = 3u * triangle + exit;
        let other = neighbours[edge];
        var silhouette = other == NONE;
        if !silhouette { silhouette = turns_left(own) != turns_left(corners(other)); }
        if silhouette {
            let a = own[exit];
            let b = own[(exit + 1u) % 3u];
            let steep = abs(a.z * b.x - b.z * a.x) <= abs(a.z * b.y - b.z * a.y);
            return select(NONE, edge, steep != down);
        }
        entered = 3u;
        for (var k = 0u; k < 3u; k++) {
            if neighbours[3u * other + k] == triangle { entered = k; }
        }
        triangle = other;
    }
    return NONE;
}

@compute @workgroup_size(64)
fn silhouettes(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= 2u * params.width * params.height { return; }
    edges[item] = 0u;
    let down = (item & 1u) == 1u;
    let pixel = item / 2u;
    let at = vec2<u32>(pixel % params.width, pixel / params.width);
    if select(at.x + 1u >= params.width, at.y + 1u >= params.height, down) { return; }
    let other = pixel + select(1u, params.width, down);
    if visible[pixel] == visible[other] { return; }
    // Nothing has the largest depth.
    let near = depth[pixel] <= depth[other];
    let front = select(other, pixel, near);
    let start = vec2<f32>(f32(front % params.width), f32(front / params.width)) + 0.5;
    let edge = follow(visible[front] - 1u, start, down, near);
    if edge != NONE { edges[item] = 2u * (edge + 1u) + u32(near); }
}
