//! Convolution of pictures in batches.

use crate::kernels::{Geometry, convolve, convolve_back, convolve_weights, sum_rows};
use crate::tape::{Operator, apply};
use crate::{Error, Result, Tensor, Var};
use std::sync::Arc;

/// Inputs are pictures, weights and bias.
struct Conv2d(Geometry);

impl Operator for Conv2d {
    fn name(&self) -> &str {
        "conv2d"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![convolve(&inputs[0], &inputs[1], &inputs[2], self.0)?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _: &[Tensor],
        c: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(c) = &c[0] else { return Ok(vec![None; 3]) };
        let by_input = || convolve_back(c, &inputs[1], self.0);
        let by_weights = || convolve_weights(&inputs[0], c, self.0);
        let by_bias = || sum_rows(c)?.reshape(inputs[2].shape());
        Ok(vec![
            wanted[0].then(by_input).transpose()?,
            wanted[1].then(by_weights).transpose()?,
            wanted[2].then(by_bias).transpose()?,
        ])
    }

    fn jvp(&self, inputs: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let none = Tensor::zeros(inputs[2].device(), inputs[2].dtype(), inputs[2].shape())?;
        // The bias moves with the first product.
        let bias = t[2].as_ref().unwrap_or(&none);
        let mut sum = match &t[0] {
            Some(t) => Some(convolve(t, &inputs[1], bias, self.0)?),
            None => None,
        };
        if t[1].is_some() || sum.is_none() {
            let zero;
            let weights = match &t[1] {
                Some(t) => t,
                None => {
                    zero = Tensor::zeros(inputs[1].device(), inputs[1].dtype(), inputs[1].shape())?;
                    &zero
                }
            };
            let bias = if sum.is_some() { &none } else { bias };
            let by_weights = convolve(&inputs[0], weights, bias, self.0)?;
            sum = Some(match sum {
                Some(s) => super::add_tensors(&s, &by_weights)?,
                None => by_weights,
            });
        }
        Ok(vec![sum])
    }
}

/// Convolution of pictures (a correlation, as networks have it) with zeros around them:
/// `out[n, y, x, o] = bias[o] + Σ weights[i, j, c, o] · input[n, y·s + i − ⌊K/2⌋, x·s + j − ⌊K/2⌋, c]`.
///
/// **Shapes**: input [N, H, W, C], weights [K, K, C, O] with odd K, bias \[O\]; result [N, ⌈H/s⌉, ⌈W/s⌉, O].
/// **Gradients**: to all three. **Errors**: shapes that do not fit, an even K, a stride of 0.
/// **Determinism**: the same bits for any number of threads. **Cost**: 2·K²·C·O operations per pixel of the result, on the
/// CPU at the rate of matrix products; patches are made in the cache and never stored. The gradient by the input takes
/// stride² times the operations.
pub fn conv2d(input: &Var, weights: &Var, bias: Option<&Var>, stride: usize) -> Result<Var> {
    run(input, weights, bias, |picture, size| {
        (size % 2 == 1 && stride > 0).then(|| Geometry::new(picture, size, stride))
    })
}

/// [`conv2d`] with chosen numbers of zeros `[before, after]` the first and last row and column, and K of any kind:
/// `out[n, y, x, o] = bias[o] + Σ weights[i, j, c, o] · input[n, y·s + i − before, x·s + j − before, c]`.
///
/// **Shapes**: result [N, ⌊(H + before + after − K)/s⌋ + 1, the same of W, O].
/// **Gradients**, **Determinism**, **Cost**: as [`conv2d`]. **Errors**: as [`conv2d`]; `before` of K or more.
pub fn conv2d_padded(input: &Var, weights: &Var, bias: Option<&Var>, stride: usize, zeros: [usize; 2]) -> Result<Var> {
    run(input, weights, bias, |picture, size| {
        (zeros[0] < size && stride > 0).then(|| Geometry::padded(picture, size, stride, zeros))
    })
}

/// `geometry` is what is made of the picture's and the filter's size; `None` where they do not fit.
fn run(
    input: &Var,
    weights: &Var,
    bias: Option<&Var>,
    geometry: impl Fn([usize; 2], usize) -> Option<Geometry>,
) -> Result<Var> {
    let &[_, h, w, c] = input.shape() else {
        return Err(Error::shape("conv2d's input", input.shape(), "[N, H, W, C]"));
    };
    let fits = match *weights.shape() {
        [k, l, c_in, o] if k == l && c_in == c && o > 0 => geometry([h, w], k),
        _ => None,
    };
    let Some(geometry) = fits else {
        let expected =
            format!("[K, K, {c}, O] (C from the input), K odd or more than its zeros, and a stride of at least 1");
        return Err(Error::shape("conv2d's weights", weights.shape(), expected));
    };
    let o = weights.shape()[3];
    let zero;
    let bias = match bias {
        Some(bias) if bias.shape() == [o] => bias,
        Some(bias) => {
            return Err(Error::shape("conv2d's bias", bias.shape(), format!("[{o}] (O from the weights)")));
        }
        None => {
            zero = Var::from(Tensor::zeros(weights.device(), weights.dtype(), &[o])?);
            &zero
        }
    };
    Ok(apply(Arc::new(Conv2d(geometry)), &[input, weights, bias])?.remove(0))
}
