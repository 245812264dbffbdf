// One workgroup goes through the splats of a tile again, front to back. Four splats at a time, every pixel leaves two
// numbers per splat; then every row of 16 pixels is added up by one invocation per splat, and the rows by one per moment:
// one writer for each sum, in a fixed order.
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

const BATCH = 32u;
const FEW = 4u;
var<workgroup> staged: array<array<f32, 10>, 32>;
var<workgroup> by_pixel: array<vec4<f32>, 256>;    // gradients of the picture
var<workgroup> by_power: array<f32, 1024>;         // [splat, pixel]
var<workgroup> weights: array<f32, 1024>;          // [splat, pixel]
var<workgroup> rows: array<f32, 640>;              // [splat, moment, row]
var<workgroup> going: u32;

@compute @workgroup_size(256)
fn composite_moments(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
                     @builtin(local_invocation_index) lane: u32) {
    let tile = group_index(wid, groups);
    if tile >= params.tiles { return; }
    let corner = vec2(tile % params.columns, tile / params.columns) * 16u;
    let pixel = corner + vec2(lane % 16u, lane / 16u);
    let inside = pixel.x < params.width && pixel.y < params.height;
    // Transmittance; negative where finished.
    var left = select(-1.0, 1.0, inside);
    var g = vec4(0.0);
    // Product of the gradient with what is still to come, the transmittance behind all included.
    var rest = 0.0;
    if inside {
        let at = (pixel.y * params.width + pixel.x) * 5u;
        g = vec4(grads[at], grads[at + 1u], grads[at + 2u], grads[at + 3u]);
        rest = dot(g, vec4(picture[at], picture[at + 1u], picture[at + 2u], picture[at + 3u]))
            + grads[at + 4u] * picture[at + 4u];
    }
    by_pixel[lane] = g;
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
        if workgroupUniformLoad(&going) == 0u { break; }
        for (var first = 0u; first < n; first += FEW) {
            let few = min(FEW, n - first);
            for (var i = 0u; i < few; i++) {
                var s = 0.0;
                var weight = 0.0;
                if left > 0.0 {
                    let k = first + i;
                    let dx = staged[k][0] - (f32(pixel.x) + 0.5);
                    let dy = staged[k][1] - (f32(pixel.y) + 0.5);
                    let power = dx * (staged[k][2] * dx + staged[k][3] * dy) + staged[k][4] * dy * dy + staged[k][5];
                    if power >= params.least {
                        let raw = exp2(power);
                        let alpha = min(raw, 0.99);
                        let next = left - left * alpha;
                        if next > 1e-4 {
                            weight = alpha * left;
                            let colour = dot(g, vec4(staged[k][6], staged[k][7], staged[k][8], staged[k][9]));
                            rest -= weight * colour;
                            let by_alpha = left * colour - rest / (1.0 - alpha);
                            s = select(0.0, -alpha * by_alpha, raw < 0.99);
                            left = next;
                        } else {
                            left = -left;
                        }
                    }
                }
                by_power[i * 256u + lane] = s;
                weights[i * 256u + lane] = weight;
            }
            workgroupBarrier();
            let i = lane / 16u;
            let row = lane % 16u;
            if i < few {
                let centre = vec2(staged[first + i][0], staged[first + i][1]) - vec2<f32>(corner);
                let dy = centre.y - (f32(row) + 0.5);
                var sum = vec3(0.0); // of s, s dx, s dx²
                var colour = vec4(0.0);
                for (var c = 0u; c < 16u; c++) {
                    // Neighbouring invocations read neighbouring columns, so that they do not wait for a memory bank.
                    let column = (c + row + i) % 16u;
                    let at = row * 16u + column;
                    let s = by_power[i * 256u + at];
                    let dx = centre.x - (f32(column) + 0.5);
                    sum += vec3(s, s * dx, s * dx * dx);
                    colour += weights[i * 256u + at] * by_pixel[at];
                }
                let to = i * 160u + row;
                rows[to] = sum.x;
                rows[to + 16u] = sum.y;
                rows[to + 32u] = sum.x * dy;
                rows[to + 48u] = sum.z;
                rows[to + 64u] = sum.y * dy;
                rows[to + 80u] = sum.x * dy * dy;
                rows[to + 96u] = colour.x;
                rows[to + 112u] = colour.y;
                rows[to + 128u] = colour.z;
                rows[to + 144u] = colour.w;
            }
            workgroupBarrier();
            if lane < 10u * few {
                var all = 0.0;
                for (var r = 0u; r < 16u; r++) { all += rows[lane * 16u + (r + lane) % 16u]; }
                moments[slots[base + first + lane / 10u] * 10u + lane % 10u] = all;
            }
        }
    }
}
