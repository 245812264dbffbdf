// One workgroup of 16 × 16 makes a 64 × 64 tile, 4 × 4 elements per invocation, in steps of 16 along the inner dimension.
#import dispatch
struct Params {
    m: u32, n: u32, k: u32, k_last: u32,
    batches: u32, a_batch: u32, a_row: u32, a_column: u32,
    b_batch: u32, b_row: u32, b_column: u32, tiles_m: u32,
    tiles_n: u32, unused0: u32, unused1: u32, unused2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> product: array<f32>;

#import tiles

// Place in a tile of loaded element e; neighbours in memory are loaded by neighbouring invocations.
fn place(e: u32, depth_first: bool) -> vec2<u32> {
    return select(vec2(e % TILE, e / TILE), vec2(e / DEPTH, e % DEPTH), depth_first);
}

@compute @workgroup_size(256)
fn matmul(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
          @builtin(local_invocation_index) lane: u32) {
    let group = group_index(wid, groups);
    let tiles = params.tiles_m * params.tiles_n;
    let batch = group / tiles;
    if batch >= params.batches { return; }
    let row0 = (group % tiles) / params.tiles_n * TILE;
    let column0 = (group % tiles) % params.tiles_n * TILE;
    let k_end = select(params.k, params.k_last, batch + 1u == params.batches);
    let a_base = batch * params.a_batch;
    let b_base = batch * params.b_batch;
    let own_row = lane / 16u * 4u;
    let own_column = lane % 16u * 4u;
    var sum0 = vec4(0.0);
    var sum1 = vec4(0.0);
    var sum2 = vec4(0.0);
    var sum3 = vec4(0.0);
    for (var k0 = 0u; k0 < k_end; k0 += DEPTH) {
        for (var s = 0u; s < 4u; s++) {
            let e = lane + 256u * s;
            let pa = place(e, params.a_column == 1u);
            let row = row0 + pa.x;
            let ka = k0 + pa.y;
            var x = 0.0;
            if row < params.m && ka < k_end { x = a[a_base + row * params.a_row + ka * params.a_column]; }
            a_tile[pa.y * TILE + pa.x] = x;
            let pb = place(e, params.b_row == 1u);
            let column = column0 + pb.x;
            let kb = k0 + pb.y;
            var y = 0.0;
            if column < params.n && kb < k_end { y = b[b_base + kb * params.b_row + column * params.b_column]; }
            b_tile[pb.y * TILE + pb.x] = y;
        }
        #import tile_product
    }
    let sums = mat4x4(sum0, sum1, sum2, sum3);
    for (var i = 0u; i < 4u; i++) {
        let row = row0 + own_row + i;
        for (var j = 0u; j < 4u; j++) {
            let column = column0 + own_column + j;
            if row < params.m && column < params.n {
                product[(batch * params.m + row) * params.n + column] = sums[i][j];
            }
        }
    }
}
