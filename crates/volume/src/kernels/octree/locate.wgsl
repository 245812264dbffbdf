#import dispatch
struct Params { points: u32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> nodes: array<u32>;
@group(0) @binding(3) var<storage, read_write> leaves: array<u32>;

// The leaf that a cell lies in; where that is empty, the first of the smallest part of the tree around it that is not.
fn nearest(cell: vec3<u32>) -> u32 {
    var node = 0u;
    for (var level = 1u; level <= DEEPEST; level++) {
        let octant = octant_of(cell, level);
        var word = EMPTY;
        for (var other = 0u; other < 8u && word == EMPTY; other++) { word = nodes[8u * node + (octant ^ other)]; }
        if word == EMPTY { return 0u; }
        if word >= LEAF { return word ^ LEAF; }
        node = word;
    }
    return 0u;
}

@compute @workgroup_size(64)
fn locate(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let k = item_index(id, groups, 64u);
    if k >= params.points { return; }
    leaves[k] = nearest(cell_of(vec3(points[3u * k], points[3u * k + 1u], points[3u * k + 2u])));
}
