//! Cases of the group `core`.

use super::timing::{record, time};
use crate::Result;
use crate::core::kernels::{Operand, matmul};
use crate::core::{Device, Tensor};
use crate::run::Summary;

/// Rows and columns of the matrices.
const SIZE: usize = 1024;

/// `gemm_gflops`: the product of two square f32 matrices; one multiplication and one addition per term.
pub fn gemm(device: &Device, summary: &mut Summary) -> Result<()> {
    let wave = |step: f32| -> Vec<f32> { (0..SIZE * SIZE).map(|i| (i as f32 * step).sin()).collect() };
    let a = Tensor::from_slice(device, &wave(0.37), &[SIZE, SIZE])?;
    let b = Tensor::from_slice(device, &wave(0.71), &[SIZE, SIZE])?;
    let operand = |tensor| Operand { tensor, transposed: false };
    let timing = time(device, || Ok(matmul(operand(&a), operand(&b)).map(drop)?))?;
    record(summary, "gemm_gflops", 2.0 * (SIZE as f64).powi(3) / timing.median / 1e9, &timing);
    Ok(())
}
