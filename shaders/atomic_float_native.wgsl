// What holds an f32 that many invocations add to, on adapters that add floats atomically.
alias atomic_float = atomic<f32>;
