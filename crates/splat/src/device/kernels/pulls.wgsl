// For each splat of a tile, how hard its pixels pull at its mean: the sum of the lengths of the derivatives of their shares,
// in units of half the picture. Sixteen splats at a time leave a number per invocation, which are then added up.
@group(0) @binding(7) var<storage, read_write> pulls: array<f32>;

const MANY = 16u;
var<workgroup> lengths: array<f32, 1024>; // [splat, invocation]
var<workgroup> quarters: array<f32, 64>; // [splat, part]

@compute @workgroup_size(64)
fn composite_pulls(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                   @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    let half = -0.5 * 0.693147180559945 * vec2(f32(params.width), f32(params.height));
    var left = full(first);
    var b = back(first);
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = next_batch(base, end, lane, left);
        // The tile ends with its last pixel.
        if n == 0u { break; }
        for (var begin = 0u; begin < n; begin += MANY) {
            let many = min(MANY, n - begin);
            for (var i = 0u; i < many; i++) {
                var length = 0.0;
                let power = powers(begin + i, first);
                let reached = reaches(power, left);
                if any(reached) {
                    let c = cover(power, reached, left);
                    let weights = select(vec4(0.0), c.alpha * left, c.drawn);
                    let rgbd = colour(begin + i);
                    let shade = shades(b, rgbd);
                    b.rest -= weights * shade;
                    let s = by_exponent(c, left, shade, b.rest);
                    let form = staged0[begin + i];
                    let d = form.xy - (vec2<f32>(first) + 0.5);
                    let sx = s * vec4(d.x, d.x - 1.0, d.x, d.x - 1.0);
                    let sy = s * vec4(d.y, d.y, d.y - 1.0, d.y - 1.0);
                    let x = half.x * (2.0 * form.z * sx + form.w * sy);
                    let y = half.y * (form.w * sx + 2.0 * staged1[begin + i].x * sy);
                    length = dot(sqrt(x * x + y * y), vec4(1.0));
                    left = behind(c, reached, left);
                }
                lengths[i * 64u + lane] = length;
            }
            workgroupBarrier();
            var part = 0.0;
            for (var k = 0u; k < 16u; k++) { part += lengths[lane * 16u + (k + lane) % 16u]; }
            quarters[lane] = part;
            workgroupBarrier();
            if lane < many {
                let sum = quarters[4u * lane] + quarters[4u * lane + 1u] + quarters[4u * lane + 2u] + quarters[4u * lane + 3u];
                pulls[slots[base + begin + lane]] = sum;
            }
        }
    }
}
