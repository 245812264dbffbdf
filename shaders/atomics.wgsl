// Float addition to element i of the buffer `$`, which is declared `var<storage, read_write> $: array<atomic_float>`.
// Compare-exchange works on every adapter. (A storage pointer cannot be a function argument in portable WGSL, hence
// one function per buffer: `#import atomics NAME`.)
#import atomic_float
fn atomic_add_$(i: u32, x: f32) {
    var old = atomicLoad(&$[i]);
    loop {
        let result = atomicCompareExchangeWeak(&$[i], old, bitcast<u32>(bitcast<f32>(old) + x));
        if (result.exchanged) { break; }
        old = result.old_value;
    }
}
