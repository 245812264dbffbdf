// One workgroup draws the change of a tile when its splats change along a direction.
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> tangents: array<f32>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> change: array<f32>;

const BATCH = 64u;
const LN2 = 0.6931472;
var<workgroup> staged: array<array<f32, 20>, 64>;

@compute @workgroup_size(256)
fn composite_tangent(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let x = tile % params.columns * 16u + lane % 16u;
    let y = tile / params.columns * 16u + lane / 16u;
    let inside = x < params.width && y < params.height;
    var left = select(-1.0, 1.0, inside);
    var by_left = 0.0;
    var sum = vec4(0.0);
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = min(BATCH, end - base);
        workgroupBarrier();
        if lane < n {
            let id = ids[base + lane];
            for (var k = 0u; k < 10u; k++) {
                staged[lane][k] = splats[id * 10u + k];
                staged[lane][10u + k] = tangents[id * 10u + k];
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < n && left > 0.0; i++) {
            let dx = staged[i][0] - (f32(x) + 0.5);
            let dy = staged[i][1] - (f32(y) + 0.5);
            let a = staged[i][2];
            let b = staged[i][3];
            let c = staged[i][4];
            let power = dx * (a * dx + b * dy) + c * dy * dy + staged[i][5];
            if power >= params.least {
                let raw = exp2(power);
                let alpha = min(raw, 0.99);
                let next = left - left * alpha;
                if next > 1e-4 {
                    let by_power = staged[i][10] * (2.0 * a * dx + b * dy) + staged[i][11] * (b * dx + 2.0 * c * dy)
                        + staged[i][12] * dx * dx + staged[i][13] * dx * dy + staged[i][14] * dy * dy + staged[i][15];
                    let by_alpha = select(0.0, LN2 * alpha * by_power, raw < 0.99);
                    sum += (by_alpha * left + alpha * by_left)
                        * vec4(staged[i][6], staged[i][7], staged[i][8], staged[i][9]);
                    sum += alpha * left * vec4(staged[i][16], staged[i][17], staged[i][18], staged[i][19]);
                    by_left = by_left * (1.0 - alpha) - left * by_alpha;
                    left = next;
                } else {
                    left = -left;
                }
            }
        }
    }
    if inside {
        let at = (y * params.width + x) * 5u;
        change[at] = sum.x;
        change[at + 1u] = sum.y;
        change[at + 2u] = sum.z;
        change[at + 3u] = sum.w;
        change[at + 4u] = by_left;
    }
}
