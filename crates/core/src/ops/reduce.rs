//! Sums and means.

use crate::kernels::sum_rows;
use crate::map::Map;
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Sum over one axis of a tensor seen as [outer, n, inner].
struct SumAxis(usize);

impl SumAxis {
    fn reduce(&self, input: &Tensor) -> Result<Tensor> {
        let shape = input.shape();
        let (outer, n): (usize, usize) = (shape[..self.0].iter().product(), shape[self.0]);
        let inner: usize = shape[self.0 + 1..].iter().product();
        let mut reduced = shape.to_vec();
        reduced.remove(self.0);
        if outer * inner == 0 || n == 0 {
            return Tensor::zeros(input.device(), input.dtype(), &reduced);
        }
        // Rows first: [n, outer · inner].
        let rows = match outer {
            1 => input.clone(),
            _ => super::shape::strided_copy(input, &[n, outer, inner], &[inner, n * inner, 1], 0)?,
        };
        sum_rows(&rows.reshape(&[n, outer * inner])?)?.reshape(&reduced)
    }
}

impl Operator for SumAxis {
    fn name(&self) -> &str {
        "sum_axis"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.reduce(&inputs[0])?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else {
            return Ok(vec![None]);
        };
        let mut kept = inputs[0].shape().to_vec();
        kept[self.0] = 1;
        let spread = Var::from(c.reshape(&kept)?).broadcast_to(inputs[0].shape())?;
        Ok(vec![Some(spread.tensor().clone())])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.reduce(t)).transpose()?])
    }
}

impl Var {
    /// Sum of all elements, shape []. Deterministic; partial sums in f64 on the CPU.
    pub fn sum(&self) -> Result<Var> {
        if self.is_empty() {
            return Ok(Tensor::zeros(self.device(), self.dtype(), &[])?.into());
        }
        let map = Map::cached("sum", |m| {
            let [x] = m.item("argument");
            m.sum("sum", &[x]);
        });
        map.apply(&[self])?.remove(0).reshape(&[])
    }

    /// Mean of all elements, shape [].
    pub fn mean(&self) -> Result<Var> {
        self.sum()?.scale(1.0 / self.len().max(1) as f64)
    }

    /// Sum over one axis, which disappears from the shape.
    pub fn sum_axis(&self, axis: usize) -> Result<Var> {
        if axis >= self.shape().len() {
            return Err(Error::shape("sum_axis's input", self.shape(), format!("an axis {axis}")));
        }
        Ok(apply(Arc::new(SumAxis(axis)), &[self])?.remove(0))
    }

    /// Mean over one axis, which disappears from the shape.
    pub fn mean_axis(&self, axis: usize) -> Result<Var> {
        let n = self.shape().get(axis).copied().unwrap_or(1).max(1);
        self.sum_axis(axis)?.scale(1.0 / n as f64)
    }
}
