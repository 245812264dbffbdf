// One ray per invocation; its samples are neighbours.
#import dispatch
struct Params { rays: u32, unused0: u32, unused1: u32, unused2: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> densities: array<f32>;
@group(0) @binding(3) var<storage, read> lengths: array<f32>;

// 1 - exp(-x), which keeps its digits near zero.
fn opacity(x: f32) -> f32 {
    let small = x * (1.0 - 0.5 * x * (1.0 - x / 3.0 * (1.0 - 0.25 * x)));
    return select(1.0 - exp(-x), small, x < 0.02);
}
