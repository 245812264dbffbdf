//! Two-dimensional convolution of pictures in batches, as products of patches and weights that are never stored whole.
//!
//! Pictures are [N, H, W, C], channels last; weights are [K, K, C, O] with odd K. What lies outside a picture is zero.

use crate::kernels::sum_rows;
use crate::{Error, Result, Tensor, kernel, params};

mod cpu;
#[cfg(test)]
mod tests;

/// Rows and columns of a workgroup's tile.
const TILE: usize = 64;
/// Most pieces that the sum over all pixels is cut into; their number depends on the shapes alone.
const PIECES: usize = 16;
/// Fewest pixels of a piece.
const SHORTEST_PIECE: usize = 256;

params! {
    /// Parameters of [`Convolve`] and [`ConvolveWeights`].
    pub struct Params {
        n: u32,
        h: u32,
        w: u32,
        c: u32,
        h_out: u32,
        w_out: u32,
        o: u32,
        /// Pixels of the filter along a side.
        size: u32,
        /// Distance of neighbouring results in the input.
        stride: u32,
        /// The input stands for a picture with `spread` − 1 zeros between its pixels.
        spread: u32,
        pad: u32,
        /// Weights are [K, K, O, C] and read from the last tap to the first.
        flipped: u32,
        pieces: u32,
        /// Pixels of a piece.
        piece: u32,
        tiles_m: u32,
        tiles_n: u32,
    }
}

kernel! {
    /// One 64 × 64 tile of [pixels, O] per workgroup: weighted sums of patches, plus the bias.
    pub struct Convolve(ConvolveBuffers) {
        input: read real,
        weights: read real,
        bias: read real,
        output: write real,
    }
    name: "core/convolve", wgsl: include_str!("forward.wgsl"), entry: "convolve", items_per_group: 1,
    params: Params, cpu: convolve
}

kernel! {
    /// One 64 × 64 tile of [pieces, K·K·C, O] per workgroup: products of patches and cotangents, summed over a piece.
    pub struct ConvolveWeights(ConvolveWeightsBuffers) {
        input: read real,
        cotangent: read real,
        sums: write real,
    }
    name: "core/convolve_weights", wgsl: include_str!("weights.wgsl"), entry: "weights", items_per_group: 1,
    params: Params, cpu: convolve_weights
}

/// Where the pixels of a convolution come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the pictures that are convolved.
    pub input: [usize; 2],
    /// Size of the result.
    pub output: [usize; 2],
    /// Pixels of the filter along a side, odd.
    pub size: usize,
    /// Distance in the input of neighbouring pixels of the result.
    pub stride: usize,
    /// Zeros before the first row and column, fewer than `size`.
    pub before: usize,
}

impl Geometry {
    /// A filter centred on every `stride`-th pixel: ⌈H/stride⌉ × ⌈W/stride⌉ results.
    pub fn new(input: [usize; 2], size: usize, stride: usize) -> Self {
        Self { input, output: input.map(|n| n.div_ceil(stride)), size, stride, before: size / 2 }
    }

    /// A filter that begins on every `stride`-th pixel of pictures with zeros `before` the first and `after` the last row
    /// and column: ⌊(H + before + after − size)/stride⌋ + 1 results, none where the filter is larger than that.
    pub fn padded(input: [usize; 2], size: usize, stride: usize, [before, after]: [usize; 2]) -> Self {
        let output = input.map(|n| (n + before + after).checked_sub(size).map_or(0, |room| room / stride + 1));
        Self { input, output, size, stride, before }
    }

    fn params(&self, n: usize, c: usize, o: usize) -> Params {
        let ([h, w], [h_out, w_out]) = (self.input.map(|x| x as u32), self.output.map(|x| x as u32));
        Params {
            n: n as u32,
            h,
            w,
            c: c as u32,
            h_out,
            w_out,
            o: o as u32,
            size: self.size as u32,
            stride: self.stride as u32,
            spread: 1,
            pad: self.before as u32,
            flipped: 0,
            pieces: 1,
            piece: 0,
            tiles_m: 0,
            tiles_n: o.div_ceil(TILE) as u32,
        }
    }
}

/// Fails where a tensor is not [N, `size`…, C]; gives N and C.
fn batch(tensor: &Tensor, what: &str, size: [usize; 2]) -> Result<[usize; 2]> {
    match *tensor.shape() {
        [n, h, w, c] if [h, w] == size => Ok([n, c]),
        _ => Err(Error::shape(what, tensor.shape(), format!("[N, {}, {}, C]", size[0], size[1]))),
    }
}

fn check_weights(weights: &Tensor, expected: [usize; 4], letters: &str) -> Result<()> {
    if weights.shape() != expected {
        let expected = format!("{expected:?} ({letters})");
        return Err(Error::shape("weights of convolve", weights.shape(), expected));
    }
    Ok(())
}

/// `out[n, y, x, o] = bias[o] + Σ weights[i, j, c, o] · input[n, y·s + i − b, x·s + j − b, c]`, b from the geometry.
///
/// **Shapes**: input [N, H, W, C], weights [K, K, C, O], bias \[O\]; result [N, H', W', O], sizes from the geometry.
/// **Determinism**: the same bits for any number of threads. **Cost**: 2·K²·C·O operations per pixel of the result; on
/// the CPU half a megabyte of patches per thread.
pub fn convolve(input: &Tensor, weights: &Tensor, bias: &Tensor, geometry: Geometry) -> Result<Tensor> {
    let [n, c] = batch(input, "input of convolve", geometry.input)?;
    let o = bias.len();
    check_weights(weights, [geometry.size, geometry.size, c, o], "K, K, C from the input, O from the bias")?;
    run(input, weights, bias, geometry.params(n, c, o))
}

/// The transpose of [`convolve`] by its input: what a cotangent [N, H', W', O] pulls on the input [N, H, W, C].
///
/// It is a convolution with the filter turned round; with a stride, of the cotangent with zeros between its pixels, which
/// takes stride² times the operations.
pub fn convolve_back(cotangent: &Tensor, weights: &Tensor, geometry: Geometry) -> Result<Tensor> {
    let [n, o] = batch(cotangent, "cotangent of convolve", geometry.output)?;
    let &[.., c, _] = weights.shape() else {
        return Err(Error::shape("weights of convolve", weights.shape(), "[K, K, C, O]"));
    };
    check_weights(weights, [geometry.size, geometry.size, c, o], "K, K, C, O from the cotangent")?;
    let Geometry { input, output, size, before, .. } = geometry;
    let turned = Geometry { input: output, output: input, size, stride: 1, before: size - 1 - before };
    let params = Params { spread: geometry.stride as u32, flipped: 1, ..turned.params(n, o, c) };
    run(cotangent, weights, &Tensor::zeros(weights.device(), weights.dtype(), &[c])?, params)
}

fn run(input: &Tensor, weights: &Tensor, bias: &Tensor, params: Params) -> Result<Tensor> {
    let [n, h, w, o] = [params.n, params.h_out, params.w_out, params.o].map(|x| x as usize);
    if params.c == 0 {
        return Err(Error::shape("input of convolve", input.shape(), "at least one channel"));
    }
    let mut output = Tensor::uninit(input.device(), input.dtype(), &[n, h, w, o])?;
    if output.is_empty() {
        return Ok(output);
    }
    let tiles_m = (n * h * w).div_ceil(TILE);
    let params = Params { tiles_m: tiles_m as u32, ..params };
    Convolve { input, weights, bias, output: &mut output }.launch(&params, tiles_m * params.tiles_n as usize)?;
    Ok(output)
}

/// The gradient of ⟨cotangent, convolve(input)⟩ by the weights: [K, K, C, O].
///
/// **Determinism**: at most 16 partial sums, whose number depends on the shapes only, added in order.
pub fn convolve_weights(input: &Tensor, cotangent: &Tensor, geometry: Geometry) -> Result<Tensor> {
    let [n, c] = batch(input, "input of convolve", geometry.input)?;
    let [n_out, o] = batch(cotangent, "cotangent of convolve", geometry.output)?;
    let shape = [geometry.size, geometry.size, c, o];
    if n != n_out {
        let expected = format!("{n} pictures (from the input)");
        return Err(Error::shape("cotangent of convolve", cotangent.shape(), expected));
    }
    let pixels = n * geometry.output[0] * geometry.output[1];
    let inner = geometry.size * geometry.size * c;
    if pixels * inner * o == 0 {
        return Tensor::zeros(input.device(), input.dtype(), &shape);
    }
    let piece = pixels.div_ceil(PIECES.min(pixels.div_ceil(SHORTEST_PIECE)));
    let pieces = pixels.div_ceil(piece);
    let tiles_m = inner.div_ceil(TILE);
    let params =
        Params { pieces: pieces as u32, piece: piece as u32, tiles_m: tiles_m as u32, ..geometry.params(n, c, o) };
    let mut sums = Tensor::uninit(input.device(), input.dtype(), &[pieces, inner * o])?;
    let tiles = pieces * tiles_m * params.tiles_n as usize;
    ConvolveWeights { input, cotangent, sums: &mut sums }.launch(&params, tiles)?;
    sum_rows(&sums)?.reshape(&shape)
}
