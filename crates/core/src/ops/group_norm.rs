//! Group normalisation (Wu & He 2018).

use crate::kernels::{normalize, normalize_back};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Inputs are [N, P, C], scale and shift [N, C]; the second output is what the derivatives need of the forward pass.
struct GroupNorm {
    groups: usize,
    epsilon: f64,
}

impl Operator for GroupNorm {
    fn name(&self) -> &str {
        "group_norm"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(normalize(&inputs[0], &inputs[1], &inputs[2], self.groups, self.epsilon)?.into())
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None; 3]) };
        let gradients = normalize_back(&inputs[0], &inputs[1], &outputs[1], c, self.groups)?;
        Ok(gradients.into_iter().zip(wanted).map(|(g, &w)| w.then_some(g)).collect())
    }

    fn jvp(&self, inputs: &[Tensor], outputs: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let [n, _, c] = [0, 1, 2].map(|k| inputs[0].shape()[k]);
        let (device, dtype) = (inputs[0].device(), inputs[0].dtype());
        let or_zero = |k: usize| t[k].clone().map_or_else(|| Tensor::zeros(device, dtype, &[n, c]), Ok);
        let [moved, _] = normalize(&inputs[0], &or_zero(1)?, &or_zero(2)?, self.groups, self.epsilon)?;
        let Some(along) = &t[0] else { return Ok(vec![Some(moved), None]) };
        let one = Tensor::full(device, dtype, &[n, c], 1.0)?;
        let [unit, ..] = normalize_back(&inputs[0], &one, &outputs[1], along, self.groups)?;
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
    let rows = input.reshape(&[*n, rest.iter().product(), *c])?;
    let (scale, shift) = (scale.broadcast_to(&[*n, *c])?, shift.broadcast_to(&[*n, *c])?);
    let outputs = apply(Arc::new(GroupNorm { groups, epsilon }), &[&rows, &scale, &shift])?;
    outputs[0].reshape(input.shape())
}
