// `atomics.wgsl` for adapters that add floats atomically.
#import atomic_float
fn atomic_add_$(i: u32, x: f32) {
    atomicAdd(&$[i], x);
}
