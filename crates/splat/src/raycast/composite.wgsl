// The picture: red, green, blue and depth, each summed with its weights, and the transmittance behind all.
@group(0) @binding(2) var<storage, read> lengths: array<f32>;
@group(0) @binding(5) var<storage, read_write> picture: array<f32>;

@compute @workgroup_size(256)
fn ray_composite(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                 @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let at = pixel(tile, lane);
    let own = at.y * params.width + at.x;
    let shown = inside(at);
    var length = 1.0;
    if shown { length = lengths[own]; }
    var left = select(0.0, 1.0, shown);
    var sum = vec4(0.0);
    let end = starts[tile + 1u];
    var first = starts[tile];
    var slab = 0u;
    if first < end { slab = interval(rays[ids[first] * ROW + 13u]); }
    while first < end {
        if !goes_on(lane, left) { break; }
        var bins = array<vec4<f32>, 8>();
        var onward = end;
        var others = end;
        var begins = NONE;
        for (var base = first; base < end; base += BATCH) {
            let seen = look(base, end, lane, slab);
            var bits = seen.x;
            while bits != 0u {
                let i = lowest(bits);
                bits &= bits - 1u;
                let m = meet(i, vec2<f32>(at) + 0.5, length);
                if !m.hit { continue; }
                let shade = colour(i);
                var passed = before((edge(slab) - m.middle) * m.narrow).x;
                for (var j = 0u; j < SLAB; j++) {
                    let next = before((edge(slab + j + 1u) - m.middle) * m.narrow).x;
                    bins[j] += m.tau * (next - passed) * vec4(1.0, shade);
                    passed = next;
                }
            }
            onward = min(onward, seen.y);
            if seen.w != NONE {
                others = base + seen.z;
                begins = seen.w;
                break;
            }
        }
        for (var j = 0u; j < SLAB; j++) {
            if !(left >= T_MIN) { break; }
            let f = fade(bins[j].x);
            let next = left * f.x;
            let depth = 0.5 * (edge(slab + j) + edge(slab + j + 1u));
            sum += vec4(left * f.y * bins[j].yzw, (left - next) * depth);
            left = next;
        }
        slab = following(slab, onward, others, begins);
        first = onward;
    }
    if shown {
        for (var k = 0u; k < 4u; k++) { picture[own * 5u + k] = sum[k]; }
        picture[own * 5u + 4u] = left;
    }
}
