//! Group and layer normalisation (Wu & He 2018, Ba et al. 2016), and scales and shifts of channels without it.

use crate::kernels::{Statistics, normalize, normalize_back, sum_rows};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Inputs are [N, P, C], scale and shift [N, C] or [1, C]; the second output is what the derivatives need of the forward pass.
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
        let of_input = |(k, g): (usize, Tensor)| match g.shape() == inputs[k].shape() {
            true => Ok(g),
            // One row for all pictures.
            false => sum_rows(&g)?.reshape(inputs[k].shape()),
        };
        gradients.into_iter().enumerate().zip(wanted).map(|(g, &w)| w.then(|| of_input(g)).transpose()).collect()
    }

    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let &[n, c] = inputs[1].shape() else { unreachable!("normalize has checked it") };
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

/// Each row with mean 0 and variance 1, then scaled and shifted: `scale · (x − mean) / √(variance + ε) + shift`.
///
/// **Shapes**: input [.., C]; scale and shift \[C\]; the result has the input's shape.
/// **Gradients**: to all three. **Errors**: shapes that do not fit.
/// **Determinism**: the same bits for any number of threads. **Source**: Ba et al. 2016.
pub fn layer_norm(input: &Var, scale: &Var, shift: &Var, epsilon: f64) -> Result<Var> {
    let [lead @ .., c] = input.shape() else {
        return Err(Error::shape("layer_norm's input", input.shape(), "[.., C]"));
    };
    run(input, [lead.iter().product(), 1, *c], scale, shift, Statistics::Groups { groups: 1, epsilon })
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
    // Rows for each picture where one of both has them, otherwise one for all.
    let shared = scale.shape().len() == 1 && shift.shape().len() == 1;
    let per_channel = [if shared { 1 } else { rows[0] }, rows[2]];
    let (scale, shift) = (scale.broadcast_to(&per_channel)?, shift.broadcast_to(&per_channel)?);
    let outputs = apply(Arc::new(GroupNorm(by)), &[&input.reshape(&rows)?, &scale, &shift])?;
    outputs[0].reshape(input.shape())
}
