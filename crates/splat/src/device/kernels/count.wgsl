@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

// One item counts the tiles of a rank's splat; there is one item more, of none.
@compute @workgroup_size(64)
fn count_tiles(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let rank = item_index(gid, groups, 64u);
    if rank >= params.items { return; }
    var count = 0u;
    if rank < params.ranks {
        let splat = order[rank];
        let rows = u32(boxes[splat * 4u + 3u]);
        if boxes[splat * 4u + 2u] > 0.0 {
            for (var row = 0u; row < rows; row++) {
                let tiles = run(splat, row);
                count += tiles.y - tiles.x;
            }
        }
    }
    counts[rank] = count;
}
