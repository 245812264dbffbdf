// One workgroup of 16 × 16 makes a 64 × 64 tile of [pixels, O], 4 × 4 elements per invocation, in steps of 16 along the
// numbers of a patch, which is gathered as it is needed.
#import dispatch
struct Params {
    n: u32, h: u32, w: u32, c: u32,
    h_out: u32, w_out: u32, o: u32, size: u32,
    stride: u32, spread: u32, pad: u32, flipped: u32,
    pieces: u32, piece: u32, tiles_m: u32, tiles_n: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

#import tiles

#import patch

// Element (number of a patch, channel of the result) of the weights.
fn weight(d: u32, column: u32) -> f32 {
    if params.flipped == 0u { return weights[d * params.o + column]; }
    let tap = params.size * params.size - 1u - d / params.c;
    return weights[(tap * params.o + column) * params.c + d % params.c];
}

@compute @workgroup_size(256)
fn convolve(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
            @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    if group >= params.tiles_m * params.tiles_n { return; }
    let row0 = group / params.tiles_n * TILE;
    let column0 = group % params.tiles_n * TILE;
    let pixels = params.n * params.h_out * params.w_out;
    let inner = params.size * params.size * params.c;
    let own_row = lane / 16u * 4u;
    let own_column = lane % 16u * 4u;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var k0 = 0u; k0 < inner; k0 += DEPTH) {
        for (var s = 0u; s < 4u; s++) {
            let e = lane + 256u * s;
            let row = row0 + e / DEPTH;
            let ka = k0 + e % DEPTH;
            var x = 0.0;
            if row < pixels && ka < inner { x = patch_element(row, ka); }
            a_tile[(e % DEPTH) * TILE + e / DEPTH] = x;
            let column = column0 + e % TILE;
            let kb = k0 + e / TILE;
            var y = 0.0;
            if column < params.o && kb < inner { y = weight(kb, column); }
            b_tile[e] = y;
        }
        #import tile_product
    }
    let sums = mat4x4(sum0, sum1, sum2, sum3);
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + own_row + i;
        for (var j = 0u; j < 4u; j++) {
            let column = column0 + own_column + j;
            if row < pixels && column < params.o {
                output[row * params.o + column] = bias[column] + sums[i][j];
            }
        }
    }
}
