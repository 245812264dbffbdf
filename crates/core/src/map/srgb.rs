//! The sRGB transfer function (IEC 61966-2-1), continued by its linear part below 0 and by its power above 1.

use super::Expr;

/// From display-encoded to linear light.
pub fn to_linear(x: Expr) -> Expr {
    // The argument of the power stays away from zero where the other branch is taken.
    x.less_eq(0.04045).select(x / 12.92, ((x.max(0.04) + 0.055) / 1.055).pow(2.4))
}

/// From linear light to display-encoded.
pub fn to_encoded(x: Expr) -> Expr {
    x.less_eq(0.003_130_8).select(x * 12.92, 1.055 * x.max(1e-3).pow(1.0 / 2.4) - 0.055)
}
