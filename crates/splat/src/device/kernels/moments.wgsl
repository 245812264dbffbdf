// The splats of a tile again, four at a time: every invocation leaves what its four pixels say about each; then 16
// invocations per splat add these up, and one per moment what they have found. One writer for each sum, in a fixed order.
@group(0) @binding(7) var<storage, read_write> moments: array<f32>;

const FEW = 4u;
const NEVER = 0xffffffffu;
var<workgroup> by_power: array<vec4<f32>, 256>; // [splat, invocation]: of four pixels
var<workgroup> by_colour: array<vec4<f32>, 256>; // [splat, invocation]: their sum
var<workgroup> parts: array<f32, 640>; // [splat, moment, part]
// The first entry of the four in which a splat was last drawn.
var<workgroup> drawn: array<u32, 4>;

@compute @workgroup_size(64)
fn composite_moments(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    let corner = vec2<f32>(square(tile, 0u));
    var left = full(first);
    var b = back(first);
    if lane < FEW { drawn[lane] = NEVER; }
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        // The tile ends with its last pixel.
        if n == 0u { break; }
        for (var four = 0u; four < n; four += FEW) {
            let few = min(FEW, n - four);
            for (var i = 0u; i < few; i++) {
                var s = vec4(0.0);
                var by_rgbd = vec4(0.0);
                let power = powers(four + i, first);
                let reached = reaches(power, left);
                if any(reached) {
                    let c = cover(power, reached, left);
                    let weights = select(vec4(0.0), c.alpha * left, c.drawn);
                    let rgbd = colour(four + i);
                    let shade = shades(b, rgbd);
                    b.rest -= weights * shade;
                    s = by_exponent(c, left, shade, b.rest);
                    by_rgbd = weights.x * b.g0 + weights.y * b.g1 + weights.z * b.g2 + weights.w * b.g3;
                    left = behind(c, reached, left);
                    if any(c.drawn) { drawn[i] = base + four; }
                }
                by_power[i * 64u + lane] = s;
                by_colour[i * 64u + lane] = by_rgbd;
            }
            workgroupBarrier();
            let i = lane / 16u;
            let part = lane % 16u;
            // Asked now, as the next four may begin before the last sum ends.
            let sums_up = lane < 10u * few && drawn[min(lane / 10u, FEW - 1u)] == base + four;
            if i < few && drawn[i] == base + four {
                var sum = vec4(0.0); // of s, s dx, s dy, s dx dy
                var squares = vec2(0.0); // of s dx², s dy²
                var rgbd = vec4(0.0);
                let mean = staged0[four + i].xy - corner;
                let x0 = mean.x - (f32(part % 8u * 2u) + 0.5);
                let x1 = x0 - 1.0;
                for (var k = 0u; k < 4u; k++) {
                    let s = by_power[i * 64u + k * 16u + part];
                    let y0 = mean.y - (f32(k * 4u + part / 8u * 2u) + 0.5);
                    let y1 = y0 - 1.0;
                    let across = s.xz * x0 + s.yw * x1;
                    let along = s.xz + s.yw;
                    sum += vec4(along.x + along.y, across.x + across.y, along.x * y0 + along.y * y1,
                                across.x * y0 + across.y * y1);
                    squares += vec2((s.x + s.z) * x0 * x0 + (s.y + s.w) * x1 * x1, along.x * y0 * y0 + along.y * y1 * y1);
                    rgbd += by_colour[i * 64u + k * 16u + part];
                }
                let to = i * 160u + part;
                parts[to] = sum.x;
                parts[to + 16u] = sum.y;
                parts[to + 32u] = sum.z;
                parts[to + 48u] = squares.x;
                parts[to + 64u] = sum.w;
                parts[to + 80u] = squares.y;
                for (var c = 0u; c < 4u; c++) { parts[to + 96u + c * 16u] = rgbd[c]; }
            }
            workgroupBarrier();
            if sums_up {
                var all = 0.0;
                // Neighbours begin at different parts, so that they do not wait for a memory bank.
                for (var k = 0u; k < 16u; k++) { all += parts[lane * 16u + (k + lane) % 16u]; }
                moments[slots[base + four + lane / 10u] * 10u + lane % 10u] = all;
            }
        }
    }
}
