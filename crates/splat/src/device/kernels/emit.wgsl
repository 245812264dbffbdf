@group(0) @binding(4) var<storage, read> offsets: array<u32>;
@group(0) @binding(5) var<storage, read> owners: array<u32>;
@group(0) @binding(6) var<storage, read_write> tile_of: array<u32>;
@group(0) @binding(7) var<storage, read_write> splat_of: array<u32>;

// One item finds its tile among those of its rank's splat. Should it find none, it belongs to no tile.
@compute @workgroup_size(64)
fn emit_tiles(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let item = item_index(gid, groups, 64u);
    if item >= params.items { return; }
    let rank = owners[item];
    tile_of[item] = params.tiles;
    splat_of[item] = 0u;
    if rank >= params.ranks { return; }
    let splat = order[rank];
    splat_of[item] = splat;
    var left = item - offsets[rank];
    let rows = u32(boxes[splat * 4u + 3u]);
    for (var row = 0u; row < rows; row++) {
        let tiles = run(splat, row);
        let n = tiles.y - tiles.x;
        if left < n {
            let column = u32(boxes[splat * 4u]) + tiles.x + left;
            tile_of[item] = (u32(boxes[splat * 4u + 1u]) + row) * params.columns + column;
            return;
        }
        left -= n;
    }
}
