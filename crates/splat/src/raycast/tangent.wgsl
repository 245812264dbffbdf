// The change of the picture for a change of Gaussians and lengths.
@group(0) @binding(2) var<storage, read> lengths: array<f32>;
@group(0) @binding(5) var<storage, read> tangents: array<f32>;
@group(0) @binding(6) var<storage, read> length_tangents: array<f32>;
@group(0) @binding(7) var<storage, read_write> change: array<f32>;

@compute @workgroup_size(256)
fn ray_tangent(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
               @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let at = pixel(tile, lane);
    let own = at.y * params.width + at.x;
    let shown = inside(at);
    var length = 1.0;
    var longer = 0.0;
    if shown {
        length = lengths[own];
        longer = length_tangents[own] / length;
    }
    var left = select(0.0, 1.0, shown);
    var by_left = 0.0;
    var sum = vec4(0.0);
    let end = starts[tile + 1u];
    var first = starts[tile];
    var slab = 0u;
    if first < end { slab = interval(rays[ids[first] * ROW + 13u]); }
    while first < end {
        if !goes_on(lane, left) { break; }
        var bins = array<vec4<f32>, 8>();
        var moves = array<vec4<f32>, 8>();
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
                let t = ids[base + i] * ROW;
                let shade = colour(i);
                let by_shade = vec3(tangents[t + 6u], tangents[t + 7u], tangents[t + 8u]);
                let f = vec3(staged[i][2], staged[i][3], staged[i][4]);
                let mean = vec2(tangents[t], tangents[t + 1u]);
                let by_form = m.d.x * m.d.x * tangents[t + 2u] + m.d.x * m.d.y * tangents[t + 3u]
                    + m.d.y * m.d.y * tangents[t + 4u]
                    - dot(mean, vec2(2.0 * f.x * m.d.x + f.y * m.d.y, f.y * m.d.x + 2.0 * f.z * m.d.y));
                let by_k = dot(m.d, vec2(tangents[t + 11u], tangents[t + 12u]))
                    - dot(mean, vec2(staged[i][11], staged[i][12]));
                let deeper = tangents[t + 9u] / staged[i][9];
                let wider = tangents[t + 10u] / staged[i][10];
                let by_q = m.bend * by_form + m.form * 2.0 * m.bend * (wider - deeper) + 2.0 * m.k * by_k;
                let by_per = -m.per * by_q;
                let by_power = by_form * m.per + m.power * by_per;
                let by_tau = m.swell * LN2 * (by_power + tangents[t + 5u]) + m.tau * (0.5 * by_per + longer);
                let by_middle = m.middle * (deeper + by_per) + staged[i][9] * m.per * by_k;
                let narrower = -0.5 * by_per - wider;
                var x = clamp((edge(slab) - m.middle) * m.narrow, -REACH, REACH);
                var passed = before(x);
                var by_passed = passed.y * (x * narrower - by_middle * m.narrow);
                for (var j = 0u; j < SLAB; j++) {
                    x = clamp((edge(slab + j + 1u) - m.middle) * m.narrow, -REACH, REACH);
                    let next = before(x);
                    let by_next = next.y * (x * narrower - by_middle * m.narrow);
                    let part = m.tau * (next.x - passed.x);
                    let by_part = by_tau * (next.x - passed.x) + m.tau * (by_next - by_passed);
                    bins[j] += part * vec4(1.0, shade);
                    moves[j] += by_part * vec4(1.0, shade) + part * vec4(0.0, by_shade);
                    passed = next;
                    by_passed = by_next;
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
            let by_next = by_left * f.x - next * moves[j].x;
            let depth = 0.5 * (edge(slab + j) + edge(slab + j + 1u));
            let by_share = by_left * f.y + left * f.z * moves[j].x;
            sum += vec4(by_share * bins[j].yzw + left * f.y * moves[j].yzw, (by_left - by_next) * depth);
            left = next;
            by_left = by_next;
        }
        slab = following(slab, onward, others, begins);
        first = onward;
    }
    if shown {
        for (var k = 0u; k < 4u; k++) { change[own * 5u + k] = sum[k]; }
        change[own * 5u + 4u] = by_left;
    }
}
