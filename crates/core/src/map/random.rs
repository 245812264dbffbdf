//! Random numbers inside maps: element i of stream `seed`, alike on every device up to rounding, without memory.

use super::{Expr, IntExpr};

/// Values of a uniform number.
const STEPS: f64 = 16_777_216.0;

/// The bits of `x` moved right, zeros from the left.
fn shifted(x: IntExpr, bits: u32) -> IntExpr {
    let sign = x.less(0).select_int(1 << (31 - bits), 0);
    x.bit_and(i32::MAX).quotient(1 << bits) + sign
}

/// A well-mixed hash of 32 bits ("lowbias32", Wellons 2018).
pub fn hash(x: IntExpr) -> IntExpr {
    let mix = |x: IntExpr, bits: u32, factor: u32| x.bit_xor(shifted(x, bits)) * factor as i32;
    let x = mix(mix(x, 16, 0x7feb_352d), 15, 0x846c_a68b);
    x.bit_xor(shifted(x, 16))
}

/// Uniform in (0, 1], in steps of 2⁻²⁴.
pub fn uniform(seed: IntExpr, counter: IntExpr) -> Expr {
    let bits = hash(hash(counter).bit_xor(seed)).bit_and(0x00ff_ffff);
    (bits.to_real() + 1.0) * (1.0 / STEPS)
}

/// Two independent standard normal numbers (Box & Muller 1958), from the elements 2·`counter` and 2·`counter` + 1.
pub fn normals(seed: IntExpr, counter: IntExpr) -> [Expr; 2] {
    let [u, v] = [0, 1].map(|k| uniform(seed, counter * 2 + k));
    let (length, angle) = ((-2.0 * u.ln()).max(0.0).sqrt(), std::f64::consts::TAU * v);
    [length * angle.cos(), length * angle.sin()]
}
