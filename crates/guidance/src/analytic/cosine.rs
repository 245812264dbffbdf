//! The orthonormal cosine transform of pictures, as matrix products on any device.

use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};

/// C with (C·x)_k the coefficients of the orthonormal DCT-II of x, row by row.
pub fn matrix(n: usize) -> Vec<f64> {
    let entry = |k: usize, i: usize| {
        let norm = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
        norm * (std::f64::consts::PI * (i as f64 + 0.5) * k as f64 / n as f64).cos()
    };
    (0..n * n).map(|at| entry(at / n, at % n)).collect()
}

fn transform(pictures: &Var, inverse: bool) -> Result<Var> {
    let &[n, h, w, c] = pictures.shape() else {
        return Err(Error::shape("pictures", pictures.shape(), "[n, height, width, channels]"));
    };
    let along = |x: &Var, side: usize| -> Result<Var> {
        // Rows of the last axis times Cᵀ; times C for the inverse.
        let m = Tensor::from_slice(&Device::cpu(), &matrix(side), &[side, side])?;
        let m = Var::from(m.cast(x.dtype())?.to_device(x.device())?);
        let rows = x.reshape(&[x.len() / side.max(1), side])?;
        Ok(lumigrad_core::ops::matmul_with(&rows, false, &m, !inverse)?)
    };
    let columns = along(&pictures.permute(&[0, 1, 3, 2])?, w)?.reshape(&[n, h, c, w])?;
    let rows = along(&columns.permute(&[0, 3, 2, 1])?, h)?.reshape(&[n, w, c, h])?;
    Ok(rows.permute(&[0, 3, 1, 2])?)
}

/// Coefficients [n, height, width, channels] of pictures: orthonormal DCT-II over both sides of every channel.
///
/// **Gradients**: to the pictures; the transform is orthogonal. **Cost**: height + width multiplications a number.
pub fn cosine_transform(pictures: &Var) -> Result<Var> {
    transform(pictures, false)
}

/// Pictures of coefficients, the inverse (and transpose) of [`cosine_transform`].
pub fn inverse_cosine_transform(coefficients: &Var) -> Result<Var> {
    transform(coefficients, true)
}
