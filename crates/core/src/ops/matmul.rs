//! Matrix products.

use crate::kernels::{Operand, matmul};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Stacks of matrices [batches, .., ..], either used transposed.
struct MatMul {
    transposed: [bool; 2],
}

fn product(a: &Tensor, ta: bool, b: &Tensor, tb: bool) -> Result<Tensor> {
    matmul(Operand { tensor: a, transposed: ta }, Operand { tensor: b, transposed: tb })
}

impl Operator for MatMul {
    fn name(&self) -> &str {
        "matmul"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let [ta, tb] = self.transposed;
        Ok(vec![product(&inputs[0], ta, &inputs[1], tb)?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None, None]) };
        let ([a, b], [ta, tb]) = ([&inputs[0], &inputs[1]], self.transposed);
        // With C = A B: dA = dC Bᵀ and dB = Aᵀ dC; transposed operands get the transposes of these.
        let for_a = || if ta { product(b, tb, c, true) } else { product(c, false, b, !tb) }?.reshape(a.shape());
        let for_b = || if tb { product(c, true, a, ta) } else { product(a, !ta, c, false) }?.reshape(b.shape());
        Ok(vec![wanted[0].then(for_a).transpose()?, wanted[1].then(for_b).transpose()?])
    }

    fn jvp(&self, inputs: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let [ta, tb] = self.transposed;
        let by_a = t[0].as_ref().map(|t| product(t, ta, &inputs[1], tb)).transpose()?;
        let by_b = t[1].as_ref().map(|t| product(&inputs[0], ta, t, tb)).transpose()?;
        Ok(vec![match (by_a, by_b) {
            (Some(x), Some(y)) => Some(super::add_tensors(&x, &y)?),
            (x, y) => x.or(y),
        }])
    }
}

/// op(a)·op(b), where op transposes the last two dimensions if its flag is set (without a copy).
///
/// **Shapes**: op(a) [.., M, K] with op(b) [K, N], or with op(b) [.., K, N] of the same leading dimensions; result
/// [.., M, N]. **Gradients**: to both. **Determinism**: the same bits for any number of threads.
/// **Errors**: the shapes do not fit; a transposed `a` with batches needs a `b` with batches.
pub fn matmul_with(a: &Var, transpose_a: bool, b: &Var, transpose_b: bool) -> Result<Var> {
    let ([lead @ .., r, c], [b_lead @ .., _, _]) = (a.shape(), b.shape()) else {
        let bad = if a.shape().len() < 2 { a } else { b };
        return Err(Error::shape("an operand of matmul", bad.shape(), "[.., rows, columns]"));
    };
    let operator = Arc::new(MatMul { transposed: [transpose_a, transpose_b] });
    let m = if transpose_a { *c } else { *r };
    let n = b.shape()[b.shape().len() - if transpose_b { 2 } else { 1 }];
    let shape = [lead, &[m, n]].concat();
    if b_lead.is_empty() && !transpose_a {
        // One matrix for all batches: their rows are one tall matrix.
        let rows = a.reshape(&[lead.iter().product::<usize>() * r, *c])?;
        return apply(operator, &[&rows, b])?.remove(0).reshape(&shape);
    }
    if lead != b_lead {
        return Err(Error::shape("the second operand of matmul", b.shape(), format!("leading dimensions {lead:?}")));
    }
    apply(operator, &[a, b])?.remove(0).reshape(&shape)
}

impl Var {
    /// Matrix product self [.., M, K] · other [K, N] (or [.., K, N]): [.., M, N]; see [`matmul_with`].
    pub fn matmul(&self, other: &Var) -> Result<Var> {
        matmul_with(self, false, other, false)
    }

    /// self [.., K] · weight [K, N] + bias \[N\]: [.., N].
    pub fn linear(&self, weight: &Var, bias: Option<&Var>) -> Result<Var> {
        let Some((&k, lead)) = self.shape().split_last() else {
            return Err(Error::shape("linear's input", self.shape(), "[.., K]"));
        };
        let &[_, n] = weight.shape() else {
            return Err(Error::shape("linear's weight", weight.shape(), "[K, N]"));
        };
        let rows = self.reshape(&[lead.iter().product(), k])?;
        let mut product = rows.matmul(weight)?;
        if let Some(bias) = bias {
            if bias.shape() != [n] {
                return Err(Error::shape("linear's bias", bias.shape(), format!("[{n}] (N from the weight)")));
            }
            product = product.add(bias)?;
        }
        product.reshape(&[lead, &[n]].concat())
    }
}
