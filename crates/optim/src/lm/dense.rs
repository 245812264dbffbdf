//! The normal matrix JᵀJ in full, for few parameters.

use super::columns::Columns;
use crate::Result;
use crate::vectors::{flatten, unflatten};
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use lumigrad_core::{Jacobian, Tensor};

/// JᵀJ, in f64.
#[derive(Clone, Debug)]
pub struct Matrix(pub Mat<f64>);

impl Matrix {
    /// JᵀJ, by columns Jᵀ(J eₖ) that share passes as [`Columns`] says, or by rows of J where they are fewer.
    /// **Cost**: one forward and one reverse pass per pass of `columns`, or a reverse pass per residual.
    pub fn normal(jacobian: &Jacobian, like: &[Tensor], columns: &Columns) -> Result<Self> {
        let (n, m) = (columns.elements(), jacobian.value().len());
        let mut all = Mat::zeros(n, n);
        if m < columns.passes() {
            let mut unit = vec![0.0; m];
            for k in 0..m {
                unit[k] = 1.0;
                let cotangent = unflatten(&unit, std::slice::from_ref(jacobian.value()))?.remove(0);
                let row = flatten(&jacobian.apply_transpose(&cotangent)?)?;
                for (i, a) in row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                    row.iter().enumerate().for_each(|(j, b)| all[(i, j)] += a * b);
                }
                unit[k] = 0.0;
            }
            return Ok(Self(all));
        }
        let mut unit = vec![0.0; n];
        for pass in 0..columns.passes() {
            let members: Vec<usize> = columns.members(pass).collect();
            members.iter().for_each(|&k| unit[k] = 1.0);
            let sum = flatten(&jacobian.apply_transpose(&jacobian.apply(&unflatten(&unit, like)?)?)?)?;
            members.iter().for_each(|&k| unit[k] = 0.0);
            for &k in &members {
                columns.seen_from(k).for_each(|i| all[(i, k)] = sum[i]);
            }
        }
        // Rounding makes the halves differ, and shared passes know one of them only.
        for i in 0..n {
            for j in 0..i {
                let (known, mirrored) = (columns.sees(j, i), columns.sees(i, j));
                let element = match (known, mirrored) {
                    (true, true) => 0.5 * (all[(i, j)] + all[(j, i)]),
                    (true, false) => all[(i, j)],
                    _ => all[(j, i)],
                };
                (all[(i, j)], all[(j, i)]) = (element, element);
            }
        }
        Ok(Self(all))
    }

    /// The diagonal.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.0.nrows()).map(|k| self.0[(k, k)]).collect()
    }

    /// Cholesky factor of the matrix scaled to a unit diagonal plus λ on the diagonal; rows where `fixed` are those of
    /// the identity. `None` when it is not positive definite.
    pub fn factor(&self, lambda: f64, fixed: &[bool]) -> Option<Factor> {
        let scale: Vec<f64> = self.diagonal().iter().map(|d| if *d > 0.0 { 1.0 / d.sqrt() } else { 1.0 }).collect();
        let element = |i: usize, j: usize| match (i == j, fixed[i] || fixed[j]) {
            (true, true) => 1.0,
            (true, false) => 1.0 + lambda,
            (false, true) => 0.0,
            (false, false) => self.0[(i, j)] * scale[i] * scale[j],
        };
        let scaled = Mat::from_fn(scale.len(), scale.len(), element);
        let factor = scaled.llt(Side::Lower).ok()?;
        Some(Factor { factor, scale })
    }
}

/// A factorised matrix.
pub struct Factor {
    factor: Llt<f64>,
    scale: Vec<f64>,
}

impl Factor {
    /// x with A·x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let right = Mat::from_fn(b.len(), 1, |i, _| b[i] * self.scale[i]);
        let x = self.factor.solve(&right);
        self.scale.iter().enumerate().map(|(i, s)| x[(i, 0)] * s).collect()
    }
}
