// Float addition to element i of the buffer `$`, which is declared
// `var<storage, read_write> $: array<atomic<u32>>` and holds the bits of f32 numbers.
// Compare-exchange works on every adapter. (A storage pointer cannot be a function argument in portable WGSL, hence
// one function per buffer: `#import atomics NAME`.)
fn atomic_add_$(i: u32, x: f32) {
    var old = atomicLoad(&$[i]);
    loop {
        let result = atomicCompareExchangeWeak(&$[i], old, bitcast<u32>(bitcast<f32>(old) + x));
        if (result.exchanged) { break; }
        old = result.old_value;
    }
}
