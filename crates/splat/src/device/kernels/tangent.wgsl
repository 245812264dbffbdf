@group(0) @binding(4) var<storage, read> tangents: array<f32>;
@group(0) @binding(5) var<storage, read_write> change: array<f32>;

const LN2 = 0.693147180559945;
var<workgroup> moved: array<array<f32, 10>, 64>;

@compute @workgroup_size(64)
fn composite_tangent(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let first = square(tile, lane);
    var left = full(first);
    var by_left = vec4(0.0);
    var sums = array<vec4<f32>, 4>();
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = min(BATCH, end - base);
        if lane == 0u { going = 0u; }
        workgroupBarrier();
        if any(left > vec4(0.0)) { going = 1u; }
        if lane < n {
            let id = ids[base + lane];
            stage(lane, id);
            for (var k = 0u; k < 10u; k++) { moved[lane][k] = tangents[id * 10u + k]; }
        }
        if workgroupUniformLoad(&going) == 0u { break; }
        for (var i = 0u; i < n && any(left > vec4(0.0)); i++) {
            let power = powers(i, first);
            let reached = reaches(power, left);
            if any(reached) {
                let c = cover(power, reached, left);
                let d = staged0[i].xy - (vec2<f32>(first) + 0.5);
                let dx = vec4(d.x, d.x - 1.0, d.x, d.x - 1.0);
                let dy = vec4(d.y, d.y, d.y - 1.0, d.y - 1.0);
                let a = staged0[i].z;
                let b = staged0[i].w;
                let by_power = moved[i][0] * (2.0 * a * dx + b * dy)
                    + moved[i][1] * (b * dx + 2.0 * staged1[i].x * dy)
                    + moved[i][2] * dx * dx + moved[i][3] * dx * dy + moved[i][4] * dy * dy + moved[i][5];
                let by_alpha = select(vec4(0.0), LN2 * c.alpha * by_power, c.raw < vec4(0.99));
                let own = select(vec4(0.0), by_alpha * left + c.alpha * by_left, c.drawn);
                let weights = select(vec4(0.0), c.alpha * left, c.drawn);
                let rgbd = colour(i);
                let by_colour = vec4(moved[i][6], moved[i][7], moved[i][8], moved[i][9]);
                for (var k = 0u; k < 4u; k++) { sums[k] += own[k] * rgbd + weights[k] * by_colour; }
                by_left = select(by_left, by_left * (1.0 - c.alpha) - left * by_alpha, c.drawn);
                left = behind(c, reached, left);
            }
        }
    }
    for (var k = 0u; k < 4u; k++) {
        let p = pixel(first, k);
        if inside(p) {
            let at = (p.y * params.width + p.x) * 5u;
            for (var c = 0u; c < 4u; c++) { change[at + c] = sums[k][c]; }
            change[at + 4u] = by_left[k];
        }
    }
}
