//! The update of Adam in place: hand-written, because texture-sized groups make it a matter of memory speed.

use lumigrad_core::{kernel, params};

mod cpu;

params! {
    /// Parameters of [`AdamStep`].
    pub struct Params {
        /// Decay of the first moment.
        pub beta1: f32,
        /// 1 − β₁.
        pub rest1: f32,
        /// Decay of the second moment.
        pub beta2: f32,
        /// 1 − β₂.
        pub rest2: f32,
        /// Learning rate, with the bias correction of the first moment.
        pub rate: f32,
        /// Bias correction of the second moment.
        pub unbias2: f32,
        /// Added to the denominator.
        pub epsilon: f32,
        /// Factor of the values before the step: decoupled decay.
        pub shrink: f32,
        /// Bounds of the new values.
        pub lo: f32,
        /// Bounds of the new values.
        pub hi: f32,
        /// Factor of the gradient (clipping by norm).
        pub scale: f32,
        /// Largest absolute value of a gradient's element after that.
        pub limit: f32,
        /// 1: elements whose gradient is 0 are left alone.
        pub masked: u32,
        /// To a multiple of 16 bytes.
        pub unused: [u32; 3],
    }
}

kernel! {
    /// m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², θ ← clamp(shrink·θ − rate·m / (√(v·unbias2) + ε)).
    ///
    /// Moments that would become subnormal numbers are set to zero: they are slow and change no step.
    pub struct AdamStep(AdamStepBuffers) {
        gradient: read real,
        values: update real,
        first: update real,
        second: update real,
    }
    name: "optim/adam_step", wgsl: include_str!("forward.wgsl"), entry: "adam_step", items_per_group: 256,
    params: Params, cpu: adam_step, elementwise: true
}
