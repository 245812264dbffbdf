// One workgroup draws a tile of 16 × 16 pixels, its splats front to back, 64 at a time.
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> picture: array<f32>;

const BATCH = 64u;
var<workgroup> staged: array<array<f32, 10>, 64>;
var<workgroup> going: u32;

@compute @workgroup_size(256)
fn composite(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
             @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let x = tile % params.columns * 16u + lane % 16u;
    let y = tile / params.columns * 16u + lane / 16u;
    let inside = x < params.width && y < params.height;
    // Transmittance; negative where finished.
    var left = select(-1.0, 1.0, inside);
    var sum = vec4(0.0);
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = min(BATCH, end - base);
        if lane == 0u { going = 0u; }
        workgroupBarrier();
        if left > 0.0 { going = 1u; }
        if lane < n {
            let id = ids[base + lane];
            for (var k = 0u; k < 10u; k++) { staged[lane][k] = splats[id * 10u + k]; }
        }
        // The tile ends with its last pixel.
        if workgroupUniformLoad(&going) == 0u { break; }
        for (var i = 0u; i < n && left > 0.0; i++) {
            let dx = staged[i][0] - (f32(x) + 0.5);
            let dy = staged[i][1] - (f32(y) + 0.5);
            let power = dx * (staged[i][2] * dx + staged[i][3] * dy) + staged[i][4] * dy * dy + staged[i][5];
            if power >= params.least {
                let alpha = min(exp2(power), 0.99);
                let next = left - left * alpha;
                if next > 1e-4 {
                    sum += alpha * left * vec4(staged[i][6], staged[i][7], staged[i][8], staged[i][9]);
                    left = next;
                } else {
                    left = -left;
                }
            }
        }
    }
    if inside {
        let at = (y * params.width + x) * 5u;
        picture[at] = sum.x;
        picture[at + 1u] = sum.y;
        picture[at + 2u] = sum.z;
        picture[at + 3u] = sum.w;
        picture[at + 4u] = abs(left);
    }
}
