//! Gaussian blur of a picture along one axis: 11 taps, σ = 1.5 pixels, zeros outside.

use lumigrad_core::{Error, Operator, Result, Tensor, Var, apply, kernel, params};
use std::sync::Arc;

mod cpu;
#[cfg(test)]
mod tests;

/// Taps on each side of the middle one.
const RADIUS: usize = 5;
/// Standard deviation in pixels: with 11 taps the window of Wang et al. 2004.
const SIGMA: f64 = 1.5;

params! {
    /// Parameters of [`BlurAxis`].
    pub struct Params {
        /// Elements of a run that taps do not leave.
        length: u32,
        /// Distance of neighbours along the axis.
        shift: u32,
        unused: [u32; 2],
        /// Weights of distances 0 to 5; the rest is padding.
        taps: [f32; 8],
    }
}

kernel! {
    /// One blurred element per item.
    pub struct BlurAxis(BlurAxisBuffers) {
        input: read real,
        output: write real,
    }
    name: "optim/blur_axis", wgsl: include_str!("forward.wgsl"), entry: "blur_axis", items_per_group: 64,
    params: Params, cpu: blur_axis
}

/// Weights of distances 0 to 5, whose sum over all 11 taps is 1.
fn taps() -> [f32; 8] {
    let bell = |k: usize| (-0.5 * (k as f64 / SIGMA).powi(2)).exp();
    let sum: f64 = bell(0) + 2.0 * (1..=RADIUS).map(bell).sum::<f64>();
    std::array::from_fn(|k| if k <= RADIUS { (bell(k) / sum) as f32 } else { 0.0 })
}

fn blur_tensor(input: &Tensor) -> Result<Tensor> {
    let &[h, w, c] = input.shape() else {
        return Err(Error::shape("blur's input", input.shape(), "[H, W, C]"));
    };
    let mut current = input.clone();
    for (length, shift) in [(w * c, c), (h * w * c, w * c)] {
        let mut output = Tensor::uninit(input.device(), input.dtype(), input.shape())?;
        let params = Params { length: length as u32, shift: shift as u32, unused: [0; 2], taps: taps() };
        BlurAxis { input: &current, output: &mut output }.launch(&params, input.len())?;
        current = output;
    }
    Ok(current)
}

/// The blur is linear and its own transpose, so that all modes are the same pass.
struct Blur;

impl Operator for Blur {
    fn name(&self) -> &str {
        "optim/blur"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![blur_tensor(&inputs[0])?])
    }

    fn vjp(&self, _: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![c[0].as_ref().map(blur_tensor).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(blur_tensor).transpose()?])
    }
}

/// A picture [H, W, C] blurred by a Gaussian of 11 × 11 pixels with σ = 1.5, zeros outside.
pub fn blur(picture: &Var) -> Result<Var> {
    Ok(apply(Arc::new(Blur), &[picture])?.remove(0))
}
