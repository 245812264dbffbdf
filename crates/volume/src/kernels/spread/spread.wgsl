#import dispatch
struct Params { rays: u32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> middles: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> pulls: array<f32>;

@compute @workgroup_size(64)
fn spread(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let ray = item_index(id, groups, 64u);
    if ray >= params.rays { return; }
    let first = offsets[ray];
    let end = offsets[ray + 1u];
    if first == end { return; }
    // Places are measured from the first sample: only differences count.
    let start = middles[first];
    var behind = vec2(0.0);
    for (var i = first; i < end; i++) { behind += weights[i] * vec2(1.0, middles[i] - start); }
    var before = vec2(0.0);
    for (var i = first; i < end; i++) {
        let m = middles[i] - start;
        let own = weights[i] * vec2(1.0, m);
        behind -= own;
        let d = before - behind;
        pulls[i] = 2.0 * (m * d.x - d.y) + 2.0 / 3.0 * lengths[i] * weights[i];
        before += own;
    }
}
