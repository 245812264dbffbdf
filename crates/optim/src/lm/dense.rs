//! The normal matrix JᵀJ in full, for few parameters.

use crate::vectors::{flatten, unflatten};
use crate::{Error, Result};
use lumigrad_core::{Jacobian, Tensor};

/// A symmetric matrix, row-major in f64.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Rows and columns.
    pub n: usize,
    /// n² elements.
    pub data: Vec<f64>,
}

impl Matrix {
    /// JᵀJ, column by column as Jᵀ(J eₖ). Cost: one forward and one reverse pass per parameter.
    pub fn normal(jacobian: &Jacobian, like: &[Tensor]) -> Result<Self> {
        let n = like.iter().map(Tensor::len).sum();
        let mut data = vec![0.0; n * n];
        let mut unit = vec![0.0; n];
        for k in 0..n {
            unit[k] = 1.0;
            let column = jacobian.apply_transpose(&jacobian.apply(&unflatten(&unit, like)?)?)?;
            data[k * n..(k + 1) * n].copy_from_slice(&flatten(&column)?);
            unit[k] = 0.0;
        }
        // Rounding makes the two halves differ.
        for i in 0..n {
            for j in 0..i {
                let mean = 0.5 * (data[i * n + j] + data[j * n + i]);
                data[i * n + j] = mean;
                data[j * n + i] = mean;
            }
        }
        Ok(Self { n, data })
    }

    /// The diagonal.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|k| self.data[k * self.n + k]).collect()
    }

    /// Cholesky factor of the matrix scaled to a unit diagonal plus λ on the diagonal; rows where `fixed` are those of
    /// the identity. `None` when it is not positive definite.
    pub fn factor(&self, lambda: f64, fixed: &[bool]) -> Option<Factor> {
        let n = self.n;
        let scale: Vec<f64> = self.diagonal().iter().map(|d| if *d > 0.0 { 1.0 / d.sqrt() } else { 1.0 }).collect();
        let mut l = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let free = !fixed[i] && !fixed[j];
                let element = match (i == j, free) {
                    (true, true) => 1.0 + lambda,
                    (true, false) => 1.0,
                    (false, true) => self.data[i * n + j] * scale[i] * scale[j],
                    (false, false) => 0.0,
                };
                let (row, column) = (&l[i * n..i * n + j], &l[j * n..j * n + j]);
                let rest = element - row.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
                let positive = rest > 1e-14; // false for NaN
                if i == j && !positive {
                    return None;
                }
                l[i * n + j] = if i == j { rest.sqrt() } else { rest / l[j * n + j] };
            }
        }
        Some(Factor { n, l, scale })
    }
}

/// A factorised matrix.
pub struct Factor {
    n: usize,
    l: Vec<f64>,
    scale: Vec<f64>,
}

impl Factor {
    /// x with A·x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let n = self.n;
        let mut x: Vec<f64> = b.iter().zip(&self.scale).map(|(b, s)| b * s).collect();
        for i in 0..n {
            let sum: f64 = (0..i).map(|j| self.l[i * n + j] * x[j]).sum();
            x[i] = (x[i] - sum) / self.l[i * n + i];
        }
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|j| self.l[j * n + i] * x[j]).sum();
            x[i] = (x[i] - sum) / self.l[i * n + i];
        }
        x.iter().zip(&self.scale).map(|(x, s)| x * s).collect()
    }
}

/// Uncertainty of fitted parameters.
#[derive(Clone, Debug)]
pub struct Covariance {
    /// Covariance of all parameters in their order, [n, n] row-major.
    pub matrix: Vec<f64>,
    /// Standard error of every element, one list per parameter tensor.
    pub standard_errors: Vec<Vec<f64>>,
    /// Estimated variance of one residual, ‖r‖² / (m − n).
    pub residual_variance: f64,
}

/// Parameters that [`covariance`] takes at most: the matrix is inverted in full.
pub const MAX_COVARIANCE_PARAMETERS: usize = 2000;

/// Covariance σ²(JᵀJ)⁻¹ of least-squares parameters at a minimum, with σ² = ‖r‖² / (m − n): exact for linear residuals
/// with equal, independent noise, first-order otherwise.
///
/// # Errors
/// With more than 2 000 parameters, no more residuals than parameters, or parameters that the residuals do not
/// determine.
pub fn covariance(jacobian: &Jacobian, parameters: &[Tensor]) -> Result<Covariance> {
    let n: usize = parameters.iter().map(Tensor::len).sum();
    let m = jacobian.value().len();
    let fail = |reason: String| Error::Numeric { what: "covariance", reason };
    if n > MAX_COVARIANCE_PARAMETERS {
        return Err(fail(format!("{n} parameters, at most {MAX_COVARIANCE_PARAMETERS} are possible")));
    }
    if m <= n {
        return Err(fail(format!("{m} residuals for {n} parameters leave no estimate of the noise")));
    }
    let normal = Matrix::normal(jacobian, parameters)?;
    if let Some(k) = normal.diagonal().iter().position(|d| *d <= 0.0 || d.is_nan()) {
        return Err(fail(format!("the residuals do not depend on parameter element {k}; leave it out")));
    }
    let factor = normal.factor(0.0, &vec![false; n]).ok_or_else(|| {
        fail("the residuals do not determine all parameters (JᵀJ is singular); leave some out".into())
    })?;
    let residual = [jacobian.value().clone()];
    let residual_variance = crate::vectors::dot(&residual, &residual)? / (m - n) as f64;
    let mut matrix = vec![0.0; n * n];
    let mut unit = vec![0.0; n];
    for k in 0..n {
        unit[k] = residual_variance;
        matrix[k * n..(k + 1) * n].copy_from_slice(&factor.solve(&unit));
        unit[k] = 0.0;
    }
    let mut deviations = (0..n).map(|k| matrix[k * n + k].max(0.0).sqrt());
    let standard_errors = parameters.iter().map(|t| deviations.by_ref().take(t.len()).collect()).collect();
    Ok(Covariance { matrix, standard_errors, residual_variance })
}
