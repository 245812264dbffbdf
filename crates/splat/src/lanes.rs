//! Vectors of numbers that the CPU works on at once: `f32` for pictures, `f64` for checks of derivatives.

use fearless_simd::{Bytes, Level, Simd, SimdBase, SimdFloat, SimdFloatElement, SimdInt};
use lumigrad_core::Real;
use std::sync::OnceLock;

/// A native vector of numbers `T` at the instruction set `S`.
pub(crate) type V<S, T> = <T as SimdFloatElement>::Native<S>;

/// Which lanes of a vector are meant.
pub(crate) type Mask<S, T> = <V<S, T> as SimdBase<S>>::Mask;

/// The best instruction set of this machine.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(Level::new)
}

/// Numbers that are worked on in vectors.
pub(crate) trait Precision: Real + SimdFloatElement {
    /// 2ˣ for x in ±126; beyond, anything. Relative error of `f32` below 3e-7.
    fn exp2<S: Simd>(simd: S, x: V<S, Self>) -> V<S, Self>;

    /// 1/x; `f32`: to a rounding or two.
    fn inverse<S: Simd>(simd: S, x: V<S, Self>) -> V<S, Self>;

    /// log₂ x for positive normal numbers; otherwise, anything. Absolute error of `f32` below 2e-7 beside that of rounding.
    fn log2<S: Simd>(simd: S, x: V<S, Self>) -> V<S, Self>;
}

impl Precision for f32 {
    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        // Added to 3/2 · 2²³, x loses its fraction; its whole part stands in the lowest bits.
        let shifted = x + 12_582_912.0;
        let f = x - (shifted - 12_582_912.0);
        // Interpolates 2^f at the Chebyshev nodes of ±½.
        let mut p = S::f32s::splat(simd, 1.33909e-3);
        for c in [9.67603e-3, 5.550357e-2, 0.24022107, std::f64::consts::LN_2, 1.0] {
            p = p.mul_add(f, S::f32s::splat(simd, c as f32));
        }
        let (p, whole): (S::i32s, S::i32s) = (p.bitcast(), shifted.bitcast());
        (p + (whole << 23)).bitcast()
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        // The estimate of the hardware, of 12 bits at least, and a step of Newton's.
        let y = x.approximate_recip();
        y * (S::f32s::splat(simd, 2.0) - x * y)
    }

    #[inline(always)]
    fn log2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let bits: S::i32s = x.bitcast();
        // x = 2ᵏ m with m from √½ to √2.
        let k = (bits - 0x3f35_04f3) >> 23;
        let m = (bits - (k << 23)).bitcast::<S::f32s>();
        let c = |x: f64| S::f32s::splat(simd, x as f32);
        // ln m = 2 artanh r.
        let r = (m - 1.0) / (m + 1.0);
        let rr = r * r;
        let mut series = c(1.0 / 9.0);
        for n in [7.0, 5.0, 3.0, 1.0] {
            series = series.mul_add(rr, c(1.0 / n));
        }
        let whole: S::f32s = k.to_float();
        (r * series).mul_add(c(2.0 * std::f64::consts::LOG2_E), whole)
    }
}

impl Precision for f64 {
    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
        S::f64s::from_fn(simd, |k| x[k].exp2())
    }

    #[inline(always)]
    fn inverse<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
        S::f64s::splat(simd, 1.0) / x
    }

    #[inline(always)]
    fn log2<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
        S::f64s::from_fn(simd, |k| x[k].log2())
    }
}

/// eˣ, x clamped to ±87.
#[inline(always)]
pub(crate) fn exp<S: Simd, T: Precision>(simd: S, x: V<S, T>) -> V<S, T> {
    let x = x * T::from_f64(std::f64::consts::LOG2_E);
    T::exp2(simd, x.max(T::of(-126.0)).min(T::of(126.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::dispatch;

    #[test]
    fn logarithms_are_exact_to_2e_7() {
        #[inline(always)]
        fn of<S: Simd>(simd: S, x: f32) -> f32 {
            <f32 as Precision>::log2(simd, S::f32s::splat(simd, x))[0]
        }
        let mut worst = 0.0f64;
        for i in -12_000..12_000 {
            let x = (i as f32 * 0.01).exp2();
            let (found, exact) = (dispatch!(level(), simd => of(simd, x)) as f64, (x as f64).log2());
            worst = worst.max((found - exact).abs() - exact.abs() * f32::EPSILON as f64);
        }
        assert!(worst < 2e-7, "{worst:e}");
    }

    #[test]
    fn powers_of_two_are_exact_to_3e_7() {
        #[inline(always)]
        fn of<S: Simd>(simd: S, x: f32) -> f32 {
            <f32 as Precision>::exp2(simd, S::f32s::splat(simd, x))[0]
        }
        let mut worst = 0.0f64;
        for i in -12_000..12_000 {
            let x = i as f32 * 0.01;
            let found = dispatch!(level(), simd => of(simd, x));
            worst = worst.max((found as f64 / (x as f64).exp2() - 1.0).abs());
        }
        assert!(worst < 3e-7, "{worst:e}");
    }
}
