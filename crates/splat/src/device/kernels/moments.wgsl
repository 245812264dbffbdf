// One workgroup goes through the splats of a tile again; for each of them the pixels' shares are added up in a fixed order.
#import dispatch
struct Params { width: u32, height: u32, columns: u32, tiles: u32, least: f32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> picture: array<f32>;
@group(0) @binding(6) var<storage, read> grads: array<f32>;
@group(0) @binding(7) var<storage, read_write> moments: array<f32>;

const BATCH = 64u;
var<workgroup> staged: array<array<f32, 10>, 64>;
var<workgroup> shares: array<f32, 2560>; // [10, 256]
var<workgroup> parts: array<f32, 160>;   // [10, 16]

@compute @workgroup_size(256)
fn composite_moments(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let x = tile % params.columns * 16u + lane % 16u;
    let y = tile / params.columns * 16u + lane / 16u;
    let inside = x < params.width && y < params.height;
    var left = select(-1.0, 1.0, inside);
    var g = vec4(0.0);
    // Product of the gradient with what is still to come, the transmittance behind all included.
    var rest = 0.0;
    if inside {
        let at = (y * params.width + x) * 5u;
        g = vec4(grads[at], grads[at + 1u], grads[at + 2u], grads[at + 3u]);
        rest = dot(g, vec4(picture[at], picture[at + 1u], picture[at + 2u], picture[at + 3u]))
            + grads[at + 4u] * picture[at + 4u];
    }
    let end = starts[tile + 1u];
    for (var base = starts[tile]; base < end; base += BATCH) {
        let n = min(BATCH, end - base);
        workgroupBarrier();
        if lane < n {
            let id = ids[base + lane];
            for (var k = 0u; k < 10u; k++) { staged[lane][k] = splats[id * 10u + k]; }
        }
        workgroupBarrier();
        for (var i = 0u; i < n; i++) {
            var s = 0.0;
            var weight = 0.0;
            let dx = staged[i][0] - (f32(x) + 0.5);
            let dy = staged[i][1] - (f32(y) + 0.5);
            if left > 0.0 {
                let power = dx * (staged[i][2] * dx + staged[i][3] * dy) + staged[i][4] * dy * dy + staged[i][5];
                if power >= params.least {
                    let raw = exp2(power);
                    let alpha = min(raw, 0.99);
                    let next = left - left * alpha;
                    if next > 1e-4 {
                        weight = alpha * left;
                        let colour = dot(g, vec4(staged[i][6], staged[i][7], staged[i][8], staged[i][9]));
                        rest -= weight * colour;
                        let by_alpha = left * colour - rest / (1.0 - alpha);
                        s = select(0.0, -alpha * by_alpha, raw < 0.99);
                        left = next;
                    } else {
                        left = -left;
                    }
                }
            }
            shares[lane] = s;
            shares[256u + lane] = s * dx;
            shares[512u + lane] = s * dy;
            shares[768u + lane] = s * dx * dx;
            shares[1024u + lane] = s * dx * dy;
            shares[1280u + lane] = s * dy * dy;
            shares[1536u + lane] = weight * g.x;
            shares[1792u + lane] = weight * g.y;
            shares[2048u + lane] = weight * g.z;
            shares[2304u + lane] = weight * g.w;
            workgroupBarrier();
            if lane < 160u {
                var part = 0.0;
                for (var k = 0u; k < 16u; k++) { part += shares[lane * 16u + k]; }
                parts[lane] = part;
            }
            workgroupBarrier();
            if lane < 10u {
                var all = 0.0;
                for (var k = 0u; k < 16u; k++) { all += parts[lane * 16u + k]; }
                moments[slots[base + i] * 10u + lane] = all;
            }
        }
    }
}
