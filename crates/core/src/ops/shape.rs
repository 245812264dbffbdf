//! Reshaping, broadcasting.

use crate::map::{CallParams, Map};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

struct Reshape(Vec<usize>);

impl Operator for Reshape {
    fn name(&self) -> &str {
        "reshape"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![inputs[0].reshape(&self.0)?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| c.reshape(inputs[0].shape())).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| t.reshape(&self.0)).transpose()?])
    }
}

/// Row-major strides of a shape.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for k in (0..shape.len().saturating_sub(1)).rev() {
        strides[k] = strides[k + 1] * shape[k + 1];
    }
    strides
}

/// out[i₀, i₁, …] = input[offset + Σ iₖ stride(k)] for plain tensors: the copy behind broadcasting, slicing and
/// transposition. Cost: one gather per output element.
pub(crate) fn strided_copy(input: &Tensor, shape: &[usize], stride: &[usize], offset: usize) -> Result<Tensor> {
    let rank = shape.len();
    let integers = !input.dtype().is_real();
    let map = Map::cached(&format!("strided copy {rank}{}", if integers { " int" } else { "" }), |m| {
        let dims: Vec<_> = (0..rank).map(|_| m.int_param()).collect();
        let steps: Vec<_> = (0..rank).map(|_| m.int_param()).collect();
        let mut at = m.int_param();
        let mut rest = m.index();
        for k in (0..rank).rev() {
            at = at + rest.rem(dims[k]) * steps[k];
            rest = rest.quotient(dims[k]);
        }
        if integers {
            let table = m.table_int::<1>("input");
            m.output_int("output", &table.fetch(at));
        } else {
            let table = m.table::<1>("input");
            m.output("output", &table.fetch(at));
        }
    });
    let items = shape.iter().product();
    if items == 0 {
        return Tensor::zeros(input.device(), input.dtype(), shape);
    }
    let int = shape.iter().chain(stride).copied().chain([offset]).map(|x| x as i32).collect();
    map.run(&[input], &CallParams { items, real: vec![], int })?.remove(0).reshape(shape)
}

struct Broadcast(Vec<usize>);

impl Broadcast {
    fn spread(&self, input: &Tensor) -> Result<Tensor> {
        let lead = self.0.len() - input.shape().len();
        let own = strides(input.shape());
        let stride: Vec<usize> = (0..self.0.len())
            .map(|k| if k < lead || input.shape()[k - lead] == 1 { 0 } else { own[k - lead] })
            .collect();
        strided_copy(input, &self.0, &stride, 0)
    }
}

impl Operator for Broadcast {
    fn name(&self) -> &str {
        "broadcast_to"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.spread(&inputs[0])?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else {
            return Ok(vec![None]);
        };
        let mut sum = Var::from(c.clone());
        let lead = self.0.len() - inputs[0].shape().len();
        for k in (0..self.0.len()).rev() {
            if k < lead || (inputs[0].shape()[k - lead] == 1 && self.0[k] != 1) {
                sum = sum.sum_axis(k)?;
            }
        }
        Ok(vec![Some(sum.tensor().reshape(inputs[0].shape())?)])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.spread(t)).transpose()?])
    }
}

impl Var {
    /// The same elements under another shape of the same size.
    pub fn reshape(&self, shape: &[usize]) -> Result<Var> {
        if shape == self.shape() {
            return Ok(self.clone());
        }
        Ok(apply(Arc::new(Reshape(shape.to_vec())), &[self])?.remove(0))
    }

    /// Repeats dimensions of size 1 (and missing leading ones) to `shape`. The gradient is the sum over repetitions.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Var> {
        if shape == self.shape() {
            return Ok(self.clone());
        }
        let lead = shape.len().checked_sub(self.shape().len());
        let fits = lead.is_some_and(|lead| self.shape().iter().zip(&shape[lead..]).all(|(&a, &b)| a == b || a == 1));
        if !fits {
            return Err(Error::shape(
                "broadcast_to's input",
                self.shape(),
                format!("a shape that broadcasts to {shape:?}"),
            ));
        }
        Ok(apply(Arc::new(Broadcast(shape.to_vec())), &[self])?.remove(0))
    }
}
