//! Group normalisation (Wu & He 2018), and scales and shifts of channels without it.

use crate::kernels::{Statistics, normalize, normalize_back};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Inputs are [N, P, C], scale and shift [N, C]; the second output is what the derivatives need of the forward pass.
struct GroupNorm(Statistics);

impl Operator for GroupNorm {
    fn name(&self) -> &str {
        if self.0 == Statistics::Fixed { "modulate" } else { "group_norm" }
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(normalize(&inputs[0], &inputs[1], &inputs[2], self.0)?.into())
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None; 3]) };
        let gradients = normalize_back(&inputs[0], &inputs[1], &outputs[1], c, self.0)?;
        Ok(gradients.into_iter().zip(wanted).map(|(g, &w)| w.then_some(g)).collect())
    }

    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let [n, _, c] = [0, 1, 2].map(|k| inputs[0].shape()[k]);
        let (device, dtype) = (inputs[0].device(), inputs[0].dtype());
        let or_zero = |k: usize| t[k].clone().map_or_else(|| Tensor::zeros(device, dtype, &[n, c]), Ok);
        let [moved, _] = normalize(&inputs[0], &or_zero(1)?, &or_zero(2)?, self.0)?;
        let Some(along) = &t[0] else { return Ok(vec![Some(moved), None]) };
        let one = Tensor::full(device, dtype, &[n, c], 1.0)?;
        let [unit, ..] = normalize_back(&inputs[0], &one, &outputs[1], along, self.0)?;
        let scale = Var::from(inputs[1].reshape(&[n, 1, c])?);
        let by_input = Var::from(unit).mul(&scale)?;
        Ok(vec![Some(super::add_tensors(&moved, by_input.tensor())?), None])
    }
}

/// Each picture's groups of channels with mean 0 and variance 1, then scaled and shifted:
/// `scale · (x − mean) / √(variance + ε) + shift`.
///
/// **Shapes**: input [N, …, C], of which C / groups channels are a group; scale and shift \[C\], or [N, C] where they
/// depend on the picture; the result has the input's shape.
/// **Gradients**: to all three. **Errors**: C is no multiple of `groups`, or shapes do not fit.
/// **Determinism**: the same bits for any number of threads. **Source**: Wu & He 2018.
pub fn group_norm(input: &Var, groups: usize, scale: &Var, shift: &Var, epsilon: f64) -> Result<Var> {
    let [n, rest @ .., c] = input.shape() else {
        return Err(Error::shape("group_norm's input", input.shape(), "[N, …, C]"));
    };
    if groups == 0 || c % groups != 0 {
        let expected = format!("[N, …, C] with C a multiple of {groups} groups");
        return Err(Error::shape("group_norm's input", input.shape(), expected));
    }
    run(input, [*n, rest.iter().product(), *c], scale, shift, Statistics::Groups { groups, epsilon })
}

/// scale · x + shift, with a number for each channel, or for each picture and channel.
///
/// **Shapes**: input [N, …, C]; scale and shift \[C\] or [N, C]; the result has the input's shape.
/// **Gradients**: to all three. **Errors**: shapes that do not fit.
/// **Determinism**: the same bits for any number of threads. **Source**: Perez et al. 2018 (FiLM).
pub fn modulate(input: &Var, scale: &Var, shift: &Var) -> Result<Var> {
    let [n, rest @ .., c] = input.shape() else {
        return Err(Error::shape("modulate's input", input.shape(), "[N, …, C]"));
    };
    run(input, [*n, rest.iter().product(), *c], scale, shift, Statistics::Fixed)
}

fn run(input: &Var, rows: [usize; 3], scale: &Var, shift: &Var, by: Statistics) -> Result<Var> {
    let per_channel = [rows[0], rows[2]];
    let (scale, shift) = (scale.broadcast_to(&per_channel)?, shift.broadcast_to(&per_channel)?);
    let outputs = apply(Arc::new(GroupNorm(by)), &[&input.reshape(&rows)?, &scale, &shift])?;
    outputs[0].reshape(input.shape())
}
