//! Reordered dimensions.

use super::shape::{strided_copy, strides};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Axis k of the result is axis `axes[k]` of the input.
struct Permute(Vec<usize>);

impl Permute {
    fn run(&self, input: &Tensor, axes: &[usize]) -> Result<Tensor> {
        let own = strides(input.shape());
        let shape: Vec<usize> = axes.iter().map(|&a| input.shape()[a]).collect();
        let stride: Vec<usize> = axes.iter().map(|&a| own[a]).collect();
        strided_copy(input, &shape, &stride, 0)
    }

    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.0.len()];
        self.0.iter().enumerate().for_each(|(k, &a)| inverse[a] = k);
        inverse
    }
}

impl Operator for Permute {
    fn name(&self) -> &str {
        "permute"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.run(&inputs[0], &self.0)?])
    }

    fn vjp(&self, _: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(|c| self.run(c, &self.inverse())).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.run(t, &self.0)).transpose()?])
    }
}

impl Var {
    /// The same elements with dimensions reordered: dimension k of the result is dimension `axes[k]` of self (a copy).
    ///
    /// **Errors**: `axes` is not a permutation of 0..rank.
    pub fn permute(&self, axes: &[usize]) -> Result<Var> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..self.shape().len()) {
            return Err(Error::shape("permute's input", self.shape(), format!("dimensions in an order {axes:?}")));
        }
        if axes.iter().copied().eq(0..axes.len()) {
            return Ok(self.clone());
        }
        Ok(apply(Arc::new(Permute(axes.to_vec())), &[self])?.remove(0))
    }

    /// Two dimensions exchanged (a copy).
    pub fn transpose(&self, a: usize, b: usize) -> Result<Var> {
        let rank = self.shape().len();
        if a >= rank || b >= rank {
            return Err(Error::shape("transpose's input", self.shape(), format!("dimensions {a} and {b}")));
        }
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(a, b);
        self.permute(&axes)
    }
}
