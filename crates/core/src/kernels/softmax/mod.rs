//! Softmax of rows, and its derivative, which is its own transpose.

use crate::{Result, Tensor, kernel, params};

mod cpu;

params! {
    /// Parameters of [`Softmax`] and [`SoftmaxBack`].
    pub struct Params {
        rows: u32,
        width: u32,
        unused: [u32; 2],
    }
}

kernel! {
    /// One row per item: yᵢ = exp(xᵢ − max x) / Σⱼ exp(xⱼ − max x).
    pub struct Softmax(SoftmaxBuffers) {
        input: read real,
        output: write real,
    }
    name: "core/softmax", wgsl: include_str!("forward.wgsl"), entry: "softmax", items_per_group: 64,
    params: Params, cpu: softmax
}

kernel! {
    /// One row per item: gᵢ = yᵢ (uᵢ − Σⱼ yⱼ uⱼ).
    pub struct SoftmaxBack(SoftmaxBackBuffers) {
        probabilities: read real,
        direction: read real,
        derivative: write real,
    }
    name: "core/softmax_back", wgsl: include_str!("backward.wgsl"), entry: "softmax_back", items_per_group: 64,
    params: Params, cpu: softmax_back
}

fn params(tensor: &Tensor) -> Params {
    let width = tensor.shape().last().copied().unwrap_or(1).max(1);
    Params { rows: (tensor.len() / width) as u32, width: width as u32, unused: [0; 2] }
}

/// Softmax over the last dimension, without overflow.
pub fn softmax(input: &Tensor) -> Result<Tensor> {
    let mut output = Tensor::uninit(input.device(), input.dtype(), input.shape())?;
    let params = params(input);
    if !output.is_empty() {
        Softmax { input, output: &mut output }.launch(&params, params.rows as usize)?;
    }
    Ok(output)
}

/// The derivative of softmax, given its result, applied to a tangent or cotangent of the same shape.
pub fn softmax_back(probabilities: &Tensor, direction: &Tensor) -> Result<Tensor> {
    let mut derivative = Tensor::uninit(direction.device(), direction.dtype(), probabilities.shape())?;
    let params = params(probabilities);
    if !derivative.is_empty() {
        SoftmaxBack { probabilities, direction, derivative: &mut derivative }.launch(&params, params.rows as usize)?;
    }
    Ok(derivative)
}
