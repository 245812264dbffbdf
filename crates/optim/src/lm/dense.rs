//! The normal matrix JᵀJ in full, for few parameters.

use crate::Result;
use crate::vectors::{flatten, unflatten};
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
