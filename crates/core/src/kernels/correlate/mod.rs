//! Correlation along one axis with a short row of weights; what lies outside counts as zero.

use crate::{Error, Result, Tensor, kernel, params};

mod cpu;
#[cfg(test)]
mod tests;

params! {
    /// Parameters of [`Correlate`].
    pub struct Params {
        n: u32,
        n_out: u32,
        inner: u32,
        /// Tap that falls on the element of the same number.
        middle: u32,
        taps: u32,
        items: u32,
        unused: [u32; 2],
    }
}

kernel! {
    /// One element per item: output[o, i, c] = Σₜ weights[t] · input[o, i + t − middle, c].
    pub struct Correlate(CorrelateBuffers) {
        input: read real,
        weights: read real,
        output: write real,
    }
    name: "core/correlate", wgsl: include_str!("forward.wgsl"), entry: "correlate", items_per_group: 64,
    params: Params, cpu: correlate
}

/// Correlation along `axis`: element i of `n_out` is `Σₜ weights[t] · input[i + t − middle]`, zero outside.
///
/// Its transpose is the correlation with reversed weights, `middle` counted from the other end, back to the input's
/// size.
pub fn correlate(input: &Tensor, weights: &Tensor, axis: usize, middle: usize, n_out: usize) -> Result<Tensor> {
    let shape = input.shape();
    if axis >= shape.len() || weights.is_empty() || middle >= weights.len() {
        let expected = format!("an axis {axis}, and weights with a number {middle}");
        return Err(Error::shape("correlate's input", shape, expected));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let mut result = shape.to_vec();
    result[axis] = n_out;
    let mut output = Tensor::uninit(input.device(), input.dtype(), &result)?;
    if output.is_empty() {
        return Ok(output);
    }
    let items = output.len();
    let params = Params {
        n: shape[axis] as u32,
        n_out: n_out as u32,
        inner: inner as u32,
        middle: middle as u32,
        taps: weights.len() as u32,
        items: items as u32,
        unused: [0; 2],
    };
    Correlate { input, weights, output: &mut output }.launch(&params, items)?;
    Ok(output)
}
