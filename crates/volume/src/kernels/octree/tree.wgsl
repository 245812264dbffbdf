
const EMPTY = 0xffffffffu;
const LEAF = 0x80000000u;
const DEEPEST = 14u;

// A point's place in cells of the deepest level.
fn cell_of(point: vec3<f32>) -> vec3<u32> {
    let n = f32(1u << DEEPEST);
    return vec3<u32>(clamp((point + 1.0) * 0.5 * n, vec3(0.0), vec3(n - 1.0)));
}

fn octant_of(cell: vec3<u32>, level: u32) -> u32 {
    let bits = (cell >> vec3(DEEPEST - level)) & vec3(1u);
    return bits.x | (bits.y << 1u) | (bits.z << 2u);
}
