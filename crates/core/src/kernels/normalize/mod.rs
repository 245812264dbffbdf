//! Group normalisation with a scale and shift per channel, or per picture and channel, and its transpose; also without the
//! normalisation.

use crate::{Error, Result, Tensor, kernel, params};

mod cpu;
#[cfg(test)]
mod tests;

params! {
    /// Parameters of [`Normalize`] and [`NormalizeBack`].
    pub struct Params {
        n: u32,
        positions: u32,
        channels: u32,
        groups: u32,
        /// Added to the variance.
        epsilon: f32,
        /// Mean and inverse deviation are 0 and 1, whatever the input.
        fixed: u32,
        /// Scale and shift have one row, for all pictures.
        one_row: u32,
        unused: u32,
    }
}

kernel! {
    /// One group of channels of a picture per workgroup: [N, P, C], and its mean and inverse deviation [N, G, 2].
    pub struct Normalize(NormalizeBuffers) {
        input: read real,
        scale: read real,
        shift: read real,
        output: write real,
        moments: write real,
    }
    name: "core/normalize", wgsl: include_str!("forward.wgsl"), entry: "normalize", items_per_group: 1,
    params: Params, cpu: normalize
}

kernel! {
    /// One group of channels of a picture per workgroup: gradients by input [N, P, C], scale and shift [N, C].
    pub struct NormalizeBack(NormalizeBackBuffers) {
        input: read real,
        scale: read real,
        moments: read real,
        cotangent: read real,
        by_input: write real,
        by_scale: write real,
        by_shift: write real,
    }
    name: "core/normalize_back", wgsl: include_str!("backward.wgsl"), entry: "normalize_back", items_per_group: 1,
    params: Params, cpu: normalize_back
}

/// Which mean and deviation channels are normalised by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// Those of so many groups of channels, in each picture; the variance plus `epsilon`.
    Groups {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// 0 and 1: channels are scaled and shifted only.
    Fixed,
}

impl Statistics {
    fn groups(self) -> usize {
        if let Self::Groups { groups, .. } = self { groups } else { 1 }
    }
}

/// Pictures, positions in them, channels; and whether one row of scale (and shift) is that of all pictures.
fn sizes(input: &Tensor, groups: usize, scale: &Tensor, shift: Option<&Tensor>) -> Result<([usize; 3], bool)> {
    let &[n, positions, c] = input.shape() else {
        return Err(Error::shape("input of normalize", input.shape(), "[N, P, C]"));
    };
    if groups == 0 || c % groups != 0 {
        let expected = format!("[N, P, C] with C a multiple of {groups} groups");
        return Err(Error::shape("input of normalize", input.shape(), expected));
    }
    if scale.shape() != [n, c] && scale.shape() != [1, c] {
        let expected = format!("[{n}, {c}] or [1, {c}] (N, C from the input)");
        return Err(Error::shape("scale of normalize", scale.shape(), expected));
    }
    if let Some(shift) = shift.filter(|s| s.shape() != scale.shape()) {
        return Err(Error::shape("shift of normalize", shift.shape(), format!("{:?} (from the scale)", scale.shape())));
    }
    Ok(([n, positions, c], scale.shape()[0] != n))
}

fn params(([n, positions, channels], shared): ([usize; 3], bool), by: Statistics) -> Params {
    let [n, positions, channels, groups] = [n, positions, channels, by.groups()].map(|x| x as u32);
    let (epsilon, fixed) = if let Statistics::Groups { epsilon, .. } = by { (epsilon as f32, 0) } else { (0.0, 1) };
    Params { n, positions, channels, groups, epsilon, fixed, one_row: shared as u32, unused: 0 }
}

/// `scale · (input − mean) / √(variance + ε) + shift` with mean and variance of each picture's groups of channels, or with 0
/// and 1 in place of mean and deviation; and those moments.
///
/// **Shapes**: input [N, P, C], scale and shift [N, C] or [1, C]; result [N, P, C], moments [N, G, 2] (mean, inverse deviation).
/// **Determinism**: the same bits for any number of threads.
pub fn normalize(input: &Tensor, scale: &Tensor, shift: &Tensor, by: Statistics) -> Result<[Tensor; 2]> {
    let groups = by.groups();
    let (size, shared) = sizes(input, groups, scale, Some(shift))?;
    let mut output = Tensor::uninit(input.device(), input.dtype(), &size)?;
    let mut moments = Tensor::zeros(input.device(), input.dtype(), &[size[0], groups, 2])?;
    if !output.is_empty() {
        Normalize { input, scale, shift, output: &mut output, moments: &mut moments }
            .launch(&params((size, shared), by), size[0] * groups)?;
    }
    Ok([output, moments])
}

/// The transpose of [`normalize`]: gradients by input, and by scale and shift [N, C], before the sum over pictures where they
/// share a row. By the input it is symmetric but for the scale: with
/// a scale of one it is the derivative of the normalised input along `cotangent`.
pub fn normalize_back(
    input: &Tensor,
    scale: &Tensor,
    moments: &Tensor,
    cotangent: &Tensor,
    by: Statistics,
) -> Result<[Tensor; 3]> {
    let groups = by.groups();
    let (size, shared) = sizes(input, groups, scale, None)?;
    if cotangent.shape() != input.shape() || moments.shape() != [size[0], groups, 2] {
        let expected = format!("{:?} (from the input) and moments of {groups} groups", input.shape());
        return Err(Error::shape("cotangent of normalize", cotangent.shape(), expected));
    }
    let mut by_input = Tensor::uninit(input.device(), input.dtype(), &size)?;
    let per_channel = || Tensor::zeros(input.device(), input.dtype(), &[size[0], size[2]]);
    let (mut by_scale, mut by_shift) = (per_channel()?, per_channel()?);
    if !by_input.is_empty() {
        NormalizeBack {
            input,
            scale,
            moments,
            cotangent,
            by_input: &mut by_input,
            by_scale: &mut by_scale,
            by_shift: &mut by_shift,
        }
        .launch(&params((size, shared), by), size[0] * groups)?;
    }
    Ok([by_input, by_scale, by_shift])
}
