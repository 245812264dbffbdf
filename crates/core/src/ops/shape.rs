//! Reshaping, broadcasting.

use crate::map::{CallParams, Map};
use crate::tape::{Operator, apply};
use crate::{DType, Element, Error, Result, Tensor, Var};
use rayon::prelude::*;
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
    if shape.contains(&0) {
        return Tensor::zeros(input.device(), input.dtype(), shape);
    }
    if input.device().is_cpu() {
        return copy_on_cpu(input, shape, stride, offset);
    }
    let integers = !input.dtype().is_real();
    let map = Map::cached(&format!("strided copy {rank}{}", if integers { " int" } else { "" }), |m| {
        let dims: Vec<_> = (0..rank).map(|_| m.int_param()).collect();
        let steps: Vec<_> = (0..rank).map(|_| m.int_param()).collect();
        let mut at = m.int_param();
        let mut rest = m.index();
        for k in (0..rank).rev() {
            at = at + rest.modulo(dims[k]) * steps[k];
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
    let int = shape.iter().chain(stride).copied().chain([offset]).map(|x| x as i32).collect();
    like(input, map.run(&[input], &CallParams { items, real: vec![], int })?.remove(0).reshape(shape)?)
}

/// What a map made of integers, which it takes to be signed, with the element type that they had.
pub(crate) fn like(input: &Tensor, made: Tensor) -> Result<Tensor> {
    if input.dtype() == DType::U32 { made.bitcast_u32() } else { Ok(made) }
}

/// Elements that a thread copies at a time.
const PIECE: usize = 1 << 14;

fn copy_on_cpu(input: &Tensor, shape: &[usize], stride: &[usize], offset: usize) -> Result<Tensor> {
    fn copy<T: Element>(input: &Tensor, out: &mut Tensor, stride: &[usize], offset: usize) -> Option<()> {
        let shape = out.shape().to_vec();
        let (&n, outer) = shape.split_last().unwrap_or((&1, &[]));
        let step = stride.last().copied().unwrap_or(1);
        let rows = (PIECE / n).max(1);
        let input = input.as_slice::<T>()?;
        out.as_slice_mut::<T>()?.par_chunks_mut(rows * n).enumerate().for_each(|(piece, out)| {
            for (row, line) in out.chunks_mut(n).enumerate() {
                let (mut rest, mut at) = (piece * rows + row, offset);
                for (&d, &s) in outer.iter().zip(stride).rev() {
                    at += rest % d * s;
                    rest /= d;
                }
                match step {
                    0 => line.fill(input[at]),
                    1 => line.copy_from_slice(&input[at..at + n]),
                    _ => line.iter_mut().zip(input[at..].iter().step_by(step)).for_each(|(y, &x)| *y = x),
                }
            }
        });
        Some(())
    }
    let mut out = Tensor::uninit(input.device(), input.dtype(), shape)?;
    crate::profile::record("strided_copy", 2 * out.byte_len(), || {
        let o = &mut out;
        let _ = copy::<f32>(input, o, stride, offset)
            .or_else(|| copy::<f64>(input, o, stride, offset))
            .or_else(|| copy::<u32>(input, o, stride, offset))
            .or_else(|| copy::<i32>(input, o, stride, offset));
        Ok(())
    })?;
    Ok(out)
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
