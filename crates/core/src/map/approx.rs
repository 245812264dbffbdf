//! Elementary functions that vectorise: branch-free polynomials in f32, the standard library in f64.
//!
//! Errors in f32, measured against f64 over the stated ranges by the tests of this file:
//! exp, ln ≤ 3 ulp; sin, cos ≤ 2e-7 absolute for |x| ≤ 1000; tanh ≤ 5e-7 absolute and relative; atan2 ≤ 4e-7 absolute.

use crate::Real;

/// Elementary functions of the CPU bodies of maps.
pub trait Elementary: Real {
    /// eˣ.
    fn exp_(self) -> Self;
    /// ln x.
    fn ln_(self) -> Self;
    /// sin x.
    fn sin_(self) -> Self;
    /// cos x.
    fn cos_(self) -> Self;
    /// tanh x.
    fn tanh_(self) -> Self;
    /// atan2(self, x).
    fn atan2_(self, x: Self) -> Self;
    /// Truncation, saturating, 0 for NaN.
    fn to_i32(self) -> i32;
    /// From an integer.
    fn from_i32(x: i32) -> Self;
    /// `a` where the mask is −1, `b` where it is 0.
    fn pick(mask: i32, a: Self, b: Self) -> Self;
}

impl Elementary for f64 {
    fn exp_(self) -> Self {
        self.exp()
    }
    fn ln_(self) -> Self {
        self.ln()
    }
    fn sin_(self) -> Self {
        self.sin()
    }
    fn cos_(self) -> Self {
        self.cos()
    }
    fn tanh_(self) -> Self {
        self.tanh()
    }
    fn atan2_(self, x: Self) -> Self {
        self.atan2(x)
    }
    fn to_i32(self) -> i32 {
        self as i32
    }
    fn from_i32(x: i32) -> Self {
        x as f64
    }
    #[inline(always)]
    fn pick(mask: i32, a: Self, b: Self) -> Self {
        let mask = mask as i64 as u64;
        f64::from_bits((mask & a.to_bits()) | (!mask & b.to_bits()))
    }
}

impl Elementary for f32 {
    #[inline(always)]
    fn exp_(self) -> Self {
        // e^x = 2^n e^r with |r| ≤ ln2/2; the limits keep 2^n a normal number (halved exponents would be slower).
        let x = Real::min(Real::max(self, -87.3), 88.7);
        let n = (x * std::f32::consts::LOG2_E + 0.5).floor();
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let p = 1.987_569_1e-4f32;
        let p = p * r + 1.398_199_9e-3;
        let p = p * r + 8.333_452e-3;
        let p = p * r + 4.166_579_6e-2;
        let p = p * r + 0.166_666_65;
        let p = p * r + 0.5;
        let y = p * (r * r) + r + 1.0;
        // SAFETY: n is within ±128, also for NaN, which the limits turn into the lower one.
        let n = unsafe { n.to_int_unchecked::<i32>() };
        let half = (n >> 1, n - (n >> 1));
        let y = y * f32::from_bits(((half.0 + 127) << 23) as u32) * f32::from_bits(((half.1 + 127) << 23) as u32);
        let y = if self < -87.3 { 0.0 } else { y };
        let y = if self > 88.72 { f32::INFINITY } else { y };
        if self.is_nan() { self } else { y }
    }

    #[inline(always)]
    fn ln_(self) -> Self {
        let bits = self.to_bits();
        // Mantissa in [√½, √2).
        let shifted = bits.wrapping_sub(0x3f35_04f3);
        let e = ((shifted as i32) >> 23) as f32;
        let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
        let z = m * m;
        let p = 7.037_683_6e-2f32;
        let p = p * m - 1.151_461e-1;
        let p = p * m + 1.167_699_9e-1;
        let p = p * m - 1.242_014_1e-1;
        let p = p * m + 1.424_932_3e-1;
        let p = p * m - 1.666_805_8e-1;
        let p = p * m + 2.000_071_5e-1;
        let p = p * m - 2.499_999_4e-1;
        let p = p * m + 3.333_333e-1;
        let y = p * m * z + e * -2.121_944_4e-4 - 0.5 * z;
        let y = m + y + e * 0.693_359_4;
        let y = if self == 0.0 { f32::NEG_INFINITY } else { y };
        let y = if self == f32::INFINITY { self } else { y };
        if self >= 0.0 { y } else { f32::NAN }
    }

    #[inline(always)]
    fn sin_(self) -> Self {
        let (r, quadrant) = reduce(self);
        let (s, c) = sin_cos_poly(r);
        let y = if quadrant & 1 == 0 { s } else { c };
        if quadrant & 2 == 0 { y } else { -y }
    }

    #[inline(always)]
    fn cos_(self) -> Self {
        let (r, quadrant) = reduce(self);
        let (s, c) = sin_cos_poly(r);
        let y = if quadrant & 1 == 0 { c } else { s };
        // Of numbers beyond all digits the quadrant is the largest there is.
        if quadrant.wrapping_add(1) & 2 == 0 { y } else { -y }
    }

    #[inline(always)]
    fn tanh_(self) -> Self {
        let a = self.abs();
        // Small arguments by the odd series, where 1 - 2/(e^2x + 1) would cancel.
        let z = self * self;
        let p = -5.704_988_7e-3f32;
        let p = p * z + 2.063_908_8e-2;
        let p = p * z - 5.373_971_6e-2;
        let p = p * z + 1.333_144_2e-1;
        let p = p * z - 3.333_328e-1;
        let small = p * z * self + self;
        let large = 1.0 - 2.0 / ((a + a).exp_() + 1.0);
        let large = if self < 0.0 { -large } else { large };
        if a < 0.625 { small } else { large }
    }

    #[inline(always)]
    fn atan2_(self, x: Self) -> Self {
        let (ay, ax) = (self.abs(), x.abs());
        let (small, big) = if ay < ax { (ay, ax) } else { (ax, ay) };
        let t = if big > 0.0 { small / big } else { 0.0 };
        // atan t = π/4 + atan((t−1)/(t+1)) for t > tan(π/8).
        let high = t > 0.414_213_57;
        let u = if high { (t - 1.0) / (t + 1.0) } else { t };
        let z = u * u;
        let p = 8.053_744_6e-2f32;
        let p = p * z - 1.387_768_5e-1;
        let p = p * z + 1.997_771_1e-1;
        let p = p * z - 3.333_295e-1;
        let a = p * z * u + u;
        let a = if high { a + std::f32::consts::FRAC_PI_4 } else { a };
        let a = if ay > ax { std::f32::consts::FRAC_PI_2 - a } else { a };
        let a = if x < 0.0 { std::f32::consts::PI - a } else { a };
        if self < 0.0 { -a } else { a }
    }

    #[inline(always)]
    fn to_i32(self) -> i32 {
        // What `as` gives, in operations that vectorise.
        let inside = Real::min(Real::max(self, -2_147_483_648.0), 2_147_483_520.0);
        // SAFETY: finite and inside of i32 (NaN has become the lower limit).
        let x = unsafe { inside.to_int_unchecked::<i32>() };
        let x = if self >= 2_147_483_648.0 { i32::MAX } else { x };
        if self.is_nan() { 0 } else { x }
    }

    #[inline(always)]
    fn pick(mask: i32, a: Self, b: Self) -> Self {
        let mask = mask as u32;
        f32::from_bits((mask & a.to_bits()) | (!mask & b.to_bits()))
    }

    #[inline(always)]
    fn from_i32(x: i32) -> Self {
        x as f32
    }
}

/// x − k·π/2 in [−π/4, π/4], and k.
#[inline(always)]
fn reduce(x: f32) -> (f32, i32) {
    let k = (x * std::f32::consts::FRAC_2_PI + 0.5).floor();
    // π/2 in three parts, the first two with few bits so that their products are exact for |k| < 2^13.
    let r = ((x - k * 1.570_312_5) - k * 4.837_513e-4) - k * 7.549_79e-8;
    (r, k.to_i32())
}

#[inline(always)]
fn sin_cos_poly(r: f32) -> (f32, f32) {
    let z = r * r;
    let s = ((-1.951_529_6e-4f32 * z + 8.332_161e-3) * z - 1.666_665_5e-1) * z * r + r;
    let c = ((2.443_315_7e-5f32 * z - 1.388_731_6e-3) * z + 4.166_664_6e-2) * z * z - 0.5 * z + 1.0;
    (s, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(lo: f32, hi: f32, error: impl Fn(f32) -> f64) -> f64 {
        (0..=200_000).map(|i| error(lo + (hi - lo) * i as f32 / 200_000.0)).fold(0.0, f64::max)
    }

    fn relative(y: f32, exact: f64) -> f64 {
        (y as f64 - exact).abs() / exact.abs().max(1e-30)
    }

    #[test]
    fn exp_and_ln_are_accurate_to_a_few_ulp() {
        assert!(worst(-87.0, 88.0, |x| relative(x.exp_(), (x as f64).exp())) < 3.0 * 1.2e-7);
        assert!(
            worst(1e-6, 10.0, |x| (x.ln_() as f64 - (x as f64).ln()).abs() / (x as f64).ln().abs().max(0.1)) < 4e-7
        );
        assert!(worst(1e-30, 1e30, |x| relative(x.ln_(), (x as f64).ln())) < 3.0 * 1.2e-7);
        assert_eq!(0f32.ln_(), f32::NEG_INFINITY);
        assert!((-1f32).ln_().is_nan());
        assert_eq!(100f32.exp_(), f32::INFINITY);
        assert_eq!((-200f32).exp_(), 0.0);
    }

    #[test]
    fn truncation_saturates_as_the_language_does() {
        let at_limits = [-2_147_483_648.0, -2_147_483_904.0, 2_147_483_520.0, 2_147_483_648.0, 1e30, -1e30];
        let others = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1.999, -1.999, 123_456.7, 1e-40];
        for x in at_limits.into_iter().chain(others) {
            assert_eq!(x.to_i32(), x as i32, "{x}");
        }
    }

    #[test]
    fn trigonometry_is_accurate_in_its_stated_range() {
        assert!(worst(-1000.0, 1000.0, |x| (x.sin_() as f64 - (x as f64).sin()).abs()) < 2e-7);
        assert!(worst(-1000.0, 1000.0, |x| (x.cos_() as f64 - (x as f64).cos()).abs()) < 2e-7);
        let on_circle = |a: f32| {
            let (y, x) = (a.sin() * 3.0, a.cos() * 3.0);
            (y.atan2_(x) as f64 - (y as f64).atan2(x as f64)).abs()
        };
        assert!(worst(-3.1, 3.1, on_circle) < 4e-7);
    }

    #[test]
    fn tanh_is_accurate_everywhere() {
        assert!(worst(-20.0, 20.0, |x| relative(x.tanh_(), (x as f64).tanh())) < 5e-7);
    }
}
