//! Uncertainty of fitted parameters.

use super::columns::Columns;
use super::dense::Matrix;
use crate::vectors::dot;
use crate::{Error, Result};
use faer::{Mat, Side};
use lumigrad_core::{Jacobian, Tensor};

/// Uncertainty of fitted parameters.
#[derive(Clone, Debug)]
pub struct Covariance {
    /// Covariance of all parameters in their order, [n, n] row-major, within the directions that the residuals determine.
    pub matrix: Vec<f64>,
    /// Standard error of every element, one list per parameter tensor; infinite where it is not determined.
    pub standard_errors: Vec<Vec<f64>>,
    /// Estimated variance of one residual, ‖r‖² / (m − n).
    pub residual_variance: f64,
}

impl Covariance {
    /// Correlations of all parameters, [n, n] row-major, in [−1, 1]; 0 with what is not determined at all.
    pub fn correlations(&self) -> Vec<f64> {
        let n = (self.matrix.len() as f64).sqrt().round() as usize;
        let deviation: Vec<f64> = (0..n).map(|k| self.matrix[k * n + k].max(0.0).sqrt()).collect();
        let of = |(k, c): (usize, &f64)| {
            let product = deviation[k / n] * deviation[k % n];
            if product > 0.0 { (c / product).clamp(-1.0, 1.0) } else { 0.0 }
        };
        self.matrix.iter().enumerate().map(of).collect()
    }
}

/// Parameters that [`covariance`] takes at most: the matrix is decomposed in full.
pub const MAX_COVARIANCE_PARAMETERS: usize = 2000;

/// Eigenvalues of JᵀJ, scaled to a unit diagonal, below this are directions that the residuals do not see: Jacobians in
/// f32 make 10⁻⁷ of nothing.
const UNSEEN: f64 = 1e-6;
/// Share of an element in unseen directions above which it is not determined.
const SHARE: f64 = 1e-3;

/// Covariance σ²(JᵀJ)⁻¹ of least-squares parameters at a minimum, with σ² = ‖r‖² / (m − n): exact for linear residuals
/// with equal, independent noise, first-order otherwise. What the residuals do not determine, alone (a light behind
/// everything) or together (a light's intensity and the albedo of all that it lights), has an infinite standard error.
///
/// `separable` is as in [`LmOptions`](super::LmOptions). **Cost**: a forward and a reverse pass per parameter, or per row's
/// element where rows are separable; and n³.
///
/// # Errors
/// With more than 2 000 parameters, or no more residuals than parameters.
pub fn covariance(jacobian: &Jacobian, parameters: &[Tensor], separable: &[bool]) -> Result<Covariance> {
    let n: usize = parameters.iter().map(Tensor::len).sum();
    let m = jacobian.value().len();
    let fail = |reason: String| Error::Numeric { what: "covariance", reason };
    if n > MAX_COVARIANCE_PARAMETERS {
        return Err(fail(format!("{n} parameters, at most {MAX_COVARIANCE_PARAMETERS} are possible")));
    }
    if m <= n {
        return Err(fail(format!("{m} residuals for {n} parameters leave no estimate of the noise")));
    }
    let normal = Matrix::normal(jacobian, parameters, &Columns::new(parameters, separable))?;
    let scale: Vec<f64> = normal.diagonal().iter().map(|d| if *d > 0.0 { 1.0 / d.sqrt() } else { 0.0 }).collect();
    let scaled = Mat::from_fn(n, n, |i, j| normal.0[(i, j)] * scale[i] * scale[j]);
    let eigen = scaled
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| fail("JᵀJ has no eigenvalues: the residuals' derivatives are not finite".into()))?;
    let (vectors, seen) = (eigen.U(), |k: usize| eigen.S()[k] > UNSEEN);
    let residual = [jacobian.value().clone()];
    let residual_variance = dot(&residual, &residual)? / (m - n) as f64;
    let mut matrix = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let inverse: f64 =
                (0..n).filter(|&k| seen(k)).map(|k| vectors[(i, k)] * vectors[(j, k)] / eigen.S()[k]).sum();
            matrix[i * n + j] = residual_variance * inverse * scale[i] * scale[j];
        }
    }
    let unseen = |i: usize| (0..n).filter(|&k| !seen(k)).map(|k| vectors[(i, k)] * vectors[(i, k)]).sum::<f64>();
    let variance = |i: usize| matrix[i * n + i];
    let error = |i: usize| match scale[i] == 0.0 || unseen(i) > SHARE {
        true => f64::INFINITY,
        false => variance(i).max(0.0).sqrt(),
    };
    let mut errors = (0..n).map(error);
    let standard_errors = parameters.iter().map(|t| errors.by_ref().take(t.len()).collect()).collect();
    Ok(Covariance { matrix, standard_errors, residual_variance })
}
