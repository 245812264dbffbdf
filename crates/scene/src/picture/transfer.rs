//! The sRGB transfer functions (IEC 61966-2-1).

/// Light from an encoded value; exact formula, monotone; negative values pass through the linear segment.
pub fn srgb_to_linear_f64(x: f64) -> f64 {
    if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
}

/// Encoded value of light `x`.
pub fn linear_to_srgb_f64(x: f64) -> f64 {
    if x <= 0.003_130_8 { x * 12.92 } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
}

/// [`srgb_to_linear_f64`] rounded to `f32`.
pub fn srgb_to_linear(x: f32) -> f32 {
    srgb_to_linear_f64(f64::from(x)) as f32
}

/// [`linear_to_srgb_f64`] rounded to `f32`; negative light becomes 0, since encoded pictures have no use for it.
pub fn linear_to_srgb(x: f32) -> f32 {
    linear_to_srgb_f64(f64::from(x).max(0.0)) as f32
}
