// Which tiles of a row a splat reaches. The splat covers where its quadratic form is at least `least`; within the row's pixel
// centres that is widest at the ellipse's own extremes, or at the row's border where these lie outside.
#import dispatch
struct Params { items: u32, ranks: u32, columns: u32, tiles: u32, least: f32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> splats: array<f32>;
@group(0) @binding(2) var<storage, read> boxes: array<f32>;
@group(0) @binding(3) var<storage, read> order: array<u32>;

// Half-open range of the box's columns in its row `row`.
fn run(splat: u32, row: u32) -> vec2<u32> {
    let at = splat * 10u;
    let first = u32(boxes[splat * 4u]);
    let columns = u32(boxes[splat * 4u + 2u]);
    let a = -splats[at + 2u];
    let b = -splats[at + 3u];
    let c = -splats[at + 4u];
    let reach = splats[at + 5u] - params.least;
    let determinant = 4.0 * a * c - b * b;
    if !(determinant > 0.0 && reach >= 0.0) { return vec2(0u, columns); }
    // Distances from the mean to the row's pixel centres, and to the ellipse's border above and below.
    let top = splats[at + 1u] - ((boxes[splat * 4u + 1u] + f32(row)) * 16.0 + 0.5);
    let height = sqrt(4.0 * a * reach / determinant);
    let low = max(top - 15.0, -height);
    let high = min(top, height);
    if low > high + 0.01 { return vec2(0u, 0u); }
    // Where the ellipse is widest.
    let tilt = -b * sqrt(reach / (c * determinant));
    let right = edge(a, b, c, reach, clamp(tilt, low, high), 1.0);
    let left = edge(a, b, c, reach, clamp(-tilt, low, high), -1.0);
    let x = splats[at];
    // An eighth of a pixel more than rounding needs.
    let begin = clamp(floor((x - right - 0.625) / 16.0) - f32(first), 0.0, f32(columns));
    let end = clamp(floor((x - left - 0.375) / 16.0) + 1.0 - f32(first), begin, f32(columns));
    return vec2(u32(begin), u32(end));
}

// Distance of the ellipse's border from the mean, to one side, at a distance `dy`.
fn edge(a: f32, b: f32, c: f32, reach: f32, dy: f32, side: f32) -> f32 {
    let inside = max(b * b * dy * dy - 4.0 * a * (c * dy * dy - reach), 0.0);
    return (side * sqrt(inside) - b * dy) / (2.0 * a);
}
