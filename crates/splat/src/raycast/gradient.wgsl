// For each entry of the lists, at its slot, the derivative by its Gaussian; and that by the lengths. Of every interval the rest
// of the light is known from the picture, so that it is passed from front to back. One writer for each sum, in a fixed order.
@group(0) @binding(2) var<storage, read> pixels: array<f32>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(0) @binding(6) var<storage, read> grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> parts: array<f32>;
@group(0) @binding(8) var<storage, read_write> by_lengths: array<f32>;

var<workgroup> found: array<array<f32, 128>, 15>;
var<workgroup> halfway: array<f32, 120>;

// Adds up what all invocations say of an entry.
fn gather(lane: u32, slot: u32, own: array<f32, 15>) {
    var sums = own;
    if lane >= 128u {
        for (var k = 0u; k < 15u; k++) { found[k][lane - 128u] = sums[k]; }
    }
    workgroupBarrier();
    if lane < 128u {
        for (var k = 0u; k < 15u; k++) { found[k][lane] += sums[k]; }
    }
    workgroupBarrier();
    if lane < 120u {
        var sum = 0.0;
        for (var k = 0u; k < 16u; k++) { sum += found[lane / 8u][lane % 8u * 16u + k]; }
        halfway[lane] = sum;
    }
    workgroupBarrier();
    if lane < 15u {
        var sum = 0.0;
        for (var k = 0u; k < 8u; k++) { sum += halfway[lane * 8u + k]; }
        parts[slot * ROW + lane] += sum;
    }
}

@compute @workgroup_size(256)
fn ray_gradient(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let at = pixel(tile, lane);
    let own = at.y * params.width + at.x;
    let shown = inside(at);
    var length = 1.0;
    var rest = 0.0;
    var g = array<f32, 5>();
    if shown {
        length = pixels[own * 2u];
        rest = pixels[own * 2u + 1u];
        for (var k = 0u; k < 5u; k++) { g[k] = grads[own * 5u + k]; }
    }
    let by = vec3(g[0], g[1], g[2]);
    var left = select(0.0, 1.0, shown);
    var by_length = 0.0;
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
        // How much colour counts in each interval, and the derivative by its optical depth.
        var shares = array<f32, 8>();
        var slopes = array<f32, 8>();
        for (var j = 0u; j < SLAB; j++) {
            if !(left >= T_MIN) { break; }
            let f = fade(bins[j].x);
            let next = left * f.x;
            let far = g[3] * 0.5 * (edge(slab + j) + edge(slab + j + 1u));
            let pull = dot(by, bins[j].yzw);
            shares[j] = left * f.y;
            rest -= shares[j] * pull + (left - next) * far;
            slopes[j] = left * f.z * pull + next * far - rest;
            by_length += shares[j] * pull + slopes[j] * bins[j].x;
            left = next;
        }
        for (var base = first; base < others; base += BATCH) {
            let seen = look(base, end, lane, slab);
            var bits = seen.x;
            while bits != 0u {
                let i = lowest(bits);
                bits &= bits - 1u;
                var sums = array<f32, 15>();
                let m = meet(i, vec2<f32>(at) + 0.5, length);
                if m.hit {
                    let shade = dot(by, colour(i));
                    var x = (edge(slab) - m.middle) * m.narrow;
                    var passed = before(x);
                    var share = 0.0;
                    var by_tau = 0.0;
                    var by_middle = 0.0;
                    var by_width = 0.0;
                    for (var j = 0u; j < SLAB; j++) {
                        let counts = shade * shares[j] + slopes[j];
                        let next_x = (edge(slab + j + 1u) - m.middle) * m.narrow;
                        let next = before(next_x);
                        share += (next.x - passed.x) * shares[j];
                        by_tau += (next.x - passed.x) * counts;
                        by_middle += (next.y - passed.y) * counts;
                        by_width += (next.y * clamp(next_x, -REACH, REACH) - passed.y * clamp(x, -REACH, REACH)) * counts;
                        passed = next;
                        x = next_x;
                    }
                    let by_log = m.tau * by_tau;
                    by_middle = -m.tau * m.narrow * by_middle;
                    by_width = -m.tau * by_width;
                    let by_power = LN2 * m.swell * by_tau;
                    let by_per = by_power * m.power + by_middle * m.middle + 0.5 * (by_log + by_width);
                    let by_q = -by_per * m.per;
                    let by_form = by_power * m.per + by_q * m.bend;
                    let by_k = by_middle * m.per * staged[i][9] + 2.0 * by_q * m.k;
                    let by_bend = 2.0 * m.bend * by_q * m.form;
                    let slope = vec2(staged[i][11], staged[i][12]);
                    let f = vec3(staged[i][2], staged[i][3], staged[i][4]);
                    let by_mean = -by_form * vec2(2.0 * f.x * m.d.x + f.y * m.d.y, f.y * m.d.x + 2.0 * f.z * m.d.y)
                        - by_k * slope;
                    let by_colour = m.tau * share * by;
                    sums = array<f32, 15>(
                        by_mean.x, by_mean.y, by_form * m.d.x * m.d.x, by_form * m.d.x * m.d.y,
                        by_form * m.d.y * m.d.y, by_power, by_colour.x, by_colour.y, by_colour.z,
                        by_middle * m.k * m.per - by_bend / staged[i][9], (by_width + by_bend) / staged[i][10],
                        by_k * m.d.x, by_k * m.d.y, 0.0, 0.0);
                }
                gather(lane, slots[base + i], sums);
            }
        }
        slab = following(slab, onward, others, begins);
        first = onward;
    }
    if shown { by_lengths[own] = by_length / length; }
}
