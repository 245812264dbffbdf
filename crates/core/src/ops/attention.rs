//! Softmax, and attention by it.

use super::matmul_with;
use crate::kernels::{softmax, softmax_back};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

struct Softmax;

impl Operator for Softmax {
    fn name(&self) -> &str {
        "softmax"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![softmax(&inputs[0])?])
    }

    fn vjp(&self, _: &[Tensor], y: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| softmax_back(&y[0], c)).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], y: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| softmax_back(&y[0], t)).transpose()?])
    }
}

impl Var {
    /// exp(xᵢ) / Σⱼ exp(xⱼ) over the last dimension, without overflow.
    pub fn softmax(&self) -> Result<Var> {
        Ok(apply(Arc::new(Softmax), &[self])?.remove(0))
    }
}

/// Means of values, weighted by how well keys fit to queries: softmax(q kᵀ / √D) v.
///
/// **Shapes**: queries [N, Q, D], keys [N, T, D], values [N, T, E]; result [N, Q, E].
/// **Gradients**: to all three. **Errors**: shapes that do not fit. **Cost**: N·Q·T weights are kept.
/// **Source**: Vaswani et al. 2017, equation 1.
pub fn attention(queries: &Var, keys: &Var, values: &Var) -> Result<Var> {
    let (&[n, _, d], &[_, t, _]) = (queries.shape(), keys.shape()) else {
        let bad = if queries.shape().len() == 3 { keys } else { queries };
        return Err(Error::shape("queries and keys of attention", bad.shape(), "[N, T, D]"));
    };
    if d == 0 || values.shape().get(..2) != Some(&[n, t]) {
        let expected = format!("[{n}, {t}, E] (N from the queries, T from the keys), and queries with numbers");
        return Err(Error::shape("values of attention", values.shape(), expected));
    }
    let fit = matmul_with(&queries.scale(1.0 / (d as f64).sqrt())?, false, keys, true)?;
    matmul_with(&fit.softmax()?, false, values, false)
}
