// The four pixels of an invocation; every kernel over tiles begins with this and declares `params`.
// First of the four pixels, which lie in a square, rows first.
fn square(tile: u32, lane: u32) -> vec2<u32> {
    return vec2(tile % params.columns, tile / params.columns) * 16u + vec2(lane % 8u, lane / 8u) * 2u;
}

fn pixel(first: vec2<u32>, k: u32) -> vec2<u32> {
    return first + vec2(k % 2u, k / 2u);
}

fn inside(at: vec2<u32>) -> bool {
    return at.x < params.width && at.y < params.height;
}

// Transmittances at the start: 1, or −1 for a pixel outside, which counts as finished.
fn full(first: vec2<u32>) -> vec4<f32> {
    var left = vec4(-1.0);
    for (var k = 0u; k < 4u; k++) {
        if inside(pixel(first, k)) { left[k] = 1.0; }
    }
    return left;
}

