// One workgroup of 16 × 16 makes a 64 × 64 tile of [K·K·C, O] for one piece of the pixels, 4 × 4 elements per invocation,
// in steps of 16 pixels.
#import dispatch
struct Params {
    n: u32, h: u32, w: u32, c: u32,
    h_out: u32, w_out: u32, o: u32, size: u32,
    stride: u32, spread: u32, pad: u32, flipped: u32,
    pieces: u32, piece: u32, tiles_m: u32, tiles_n: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> cotangent: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

#import tiles

#import patch

@compute @workgroup_size(256)
fn weights(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
           @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let tiles = params.tiles_m * params.tiles_n;
    if group >= tiles * params.pieces { return; }
    let row0 = group % tiles / params.tiles_n * TILE;
    let column0 = group % tiles % params.tiles_n * TILE;
    let inner = params.size * params.size * params.c;
    let first = group / tiles * params.piece;
    let end = min(first + params.piece, params.n * params.h_out * params.w_out);
    let own_row = lane / 16u * 4u;
    let own_column = lane % 16u * 4u;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var k0 = first; k0 < end; k0 += DEPTH) {
        for (var s = 0u; s < 4u; s++) {
            let e = lane + 256u * s;
            let pixel = k0 + e / TILE;
            let row = row0 + e % TILE;
            var x = 0.0;
            if row < inner && pixel < end { x = patch_element(pixel, row); }
            a_tile[e] = x;
            let column = column0 + e % TILE;
            var y = 0.0;
            if column < params.o && pixel < end { y = cotangent[pixel * params.o + column]; }
            b_tile[e] = y;
        }
        #import tile_product
    }
    let all = mat4x4(sum0, sum1, sum2, sum3);
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + own_row + i;
        for (var j = 0u; j < 4u; j++) {
            let column = column0 + own_column + j;
            if row < inner && column < params.o {
                sums[(group / tiles * inner + row) * params.o + column] = all[i][j];
            }
        }
    }
}
