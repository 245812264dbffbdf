//! The number types of tensors and of CPU kernel bodies.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float, both devices.
    F32,
    /// 64-bit float, CPU only: the type that gradients are checked with.
    F64,
    /// 32-bit unsigned integer, both devices.
    U32,
    /// 32-bit signed integer, both devices.
    I32,
}

impl DType {
    /// Size of an element in bytes.
    pub const fn size(self) -> usize {
        match self {
            DType::F64 => 8,
            _ => 4,
        }
    }

    /// Name as in Rust.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::U32 => "u32",
            DType::I32 => "i32",
        }
    }

    /// True for `f32` and `f64`.
    pub const fn is_real(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }
}

/// A Rust type that tensors can hold.
pub trait Element: bytemuck::Pod + Send + Sync + Debug + PartialOrd + Default {
    /// Its tensor type.
    const DTYPE: DType;
    /// Nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// Exact or nearest `f64`.
    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_f64(self) -> f64 { self as f64 }
        }
    )*};
}
element!(f32 => F32, f64 => F64, u32 => U32, i32 => I32);

/// Floating-point number that CPU kernel bodies are generic over: `f32` is the fast CPU device, `f64` the check.
pub trait Real:
    Element
    + Display
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + std::iter::Sum
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Nearest value to an `f32` constant.
    #[inline(always)]
    fn of(x: f32) -> Self {
        Self::from_f64(x as f64)
    }
    /// |x|.
    fn abs(self) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// Largest integer ≤ x.
    fn floor(self) -> Self;
    /// eˣ by the standard library.
    fn exp(self) -> Self;
    /// Natural logarithm by the standard library.
    fn ln(self) -> Self;
    /// Smaller of both, `b` when `a` is NaN.
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        if self < b { self } else { b }
    }
    /// Larger of both, `b` when `a` is NaN.
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        if self > b { self } else { b }
    }
    /// True unless NaN or infinite.
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($($t:ident),*) => {$(
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            #[inline(always)]
            fn abs(self) -> Self { $t::abs(self) }
            #[inline(always)]
            fn sqrt(self) -> Self { $t::sqrt(self) }
            #[inline(always)]
            fn floor(self) -> Self { $t::floor(self) }
            #[inline(always)]
            fn exp(self) -> Self { $t::exp(self) }
            #[inline(always)]
            fn ln(self) -> Self { $t::ln(self) }
            #[inline(always)]
            fn is_finite(self) -> bool { $t::is_finite(self) }
        }
    )*};
}
real!(f32, f64);
