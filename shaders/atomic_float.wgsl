// What holds an f32 that many invocations add to: its bits, as few adapters add floats atomically.
alias atomic_float = atomic<u32>;
