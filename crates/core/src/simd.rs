//! Run-time choice of the instruction set: a plain `cargo build` reaches AVX2 and AVX-512.
//!
//! [`vectorized`] compiles one `#[inline(always)]` body several times. Everything that the body calls
//! must inline into it, or it runs with the baseline instruction set.

use std::sync::OnceLock;

/// Instruction sets that bodies are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the target guarantees (SSE2 on x86-64, NEON on AArch64).
    Baseline,
    /// AVX2.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
}

/// The widest level that this machine has.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Level::Avx2;
            }
        }
        Level::Baseline
    })
}

/// Runs a closure compiled for the widest instruction set of this machine.
///
/// The closure and all that it calls must be `#[inline(always)]` (closures inline by themselves). Fused
/// multiply-add is never enabled, so that every level gives the same bits.
#[inline(always)]
pub fn vectorized<T>(f: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2")]
        unsafe fn avx512<T>(f: impl FnOnce() -> T) -> T {
            f()
        }
        #[target_feature(enable = "avx2")]
        unsafe fn avx2<T>(f: impl FnOnce() -> T) -> T {
            f()
        }
        // SAFETY: the features were detected on this machine.
        match level() {
            Level::Avx512 => return unsafe { avx512(f) },
            Level::Avx2 => return unsafe { avx2(f) },
            Level::Baseline => {}
        }
    }
    f()
}
