//! Matrix products in batches, of operands stored either way round.

use crate::{Error, Result, Tensor, kernel, kernels::sum_rows, params};

mod cpu;
#[cfg(test)]
mod tests;

/// Rows and columns of a workgroup's tile.
const TILE: usize = 64;
/// Tiles that keep a device busy; with fewer, a long inner dimension is split.
const TILES_WANTED: usize = 256;
/// Shortest piece of a split inner dimension.
const SHORTEST_SPLIT: usize = 512;

params! {
    /// Parameters of [`MatMul`]: sizes, and distances between elements.
    pub struct Params {
        m: u32,
        n: u32,
        k: u32,
        /// Inner size of the last batch (shorter when the inner dimension is split).
        k_last: u32,
        batches: u32,
        a_batch: u32,
        a_row: u32,
        a_column: u32,
        b_batch: u32,
        b_row: u32,
        b_column: u32,
        tiles_m: u32,
        tiles_n: u32,
        unused: [u32; 3],
    }
}

kernel! {
    /// One 64 × 64 tile of a product per workgroup: [batches, m, n].
    pub struct MatMul(MatMulBuffers) {
        a: read real,
        b: read real,
        product: write real,
    }
    name: "core/matmul", wgsl: include_str!("forward.wgsl"), entry: "matmul", items_per_group: 1,
    params: Params, cpu: matmul
}

/// A stack of matrices [batches, rows, columns], or one [rows, columns] that is used transposed.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The elements; all dimensions but the last two are batches.
    pub tensor: &'a Tensor,
    /// Whether the matrices are used transposed.
    pub transposed: bool,
}

impl Operand<'_> {
    /// Batches, rows and columns after transposition.
    fn size(&self) -> Result<[usize; 3]> {
        let [batches @ .., r, c] = self.tensor.shape() else {
            return Err(Error::shape("a matmul operand", self.tensor.shape(), "[.., rows, columns]"));
        };
        let (rows, columns) = if self.transposed { (*c, *r) } else { (*r, *c) };
        Ok([batches.iter().product(), rows, columns])
    }

    /// Distances of rows and columns.
    fn strides(&self) -> [usize; 2] {
        let width = self.tensor.shape()[self.tensor.shape().len() - 1];
        if self.transposed { [1, width] } else { [width, 1] }
    }
}

/// The product of two stacks with the same number of matrices: [batches, m, n].
///
/// Transposed operands are not copied. **Determinism**: the same bits for any number of threads. On either device a
/// long inner dimension of a small product is split and the parts are added in a fixed order.
/// **Errors**: inner dimensions or numbers of batches differ.
pub fn matmul(a: Operand, b: Operand) -> Result<Tensor> {
    let ([batches, m, k], [b_batches, b_k, n]) = (a.size()?, b.size()?);
    if k != b_k || batches != b_batches {
        return Err(Error::shape(
            "the second operand of matmul",
            b.tensor.shape(),
            format!(
                "{batches} matrices of {k} rows{} (from the first, {:?})",
                if b.transposed { " (it is used transposed)" } else { "" },
                a.tensor.shape()
            ),
        ));
    }
    let (device, dtype) = (a.tensor.device(), a.tensor.dtype());
    if !dtype.is_real() {
        return Err(Error::DType { tensor: "a matmul operand".into(), found: dtype.name(), expected: "f32".into() });
    }
    if dtype != b.tensor.dtype() {
        let tensor = "the second operand of matmul".into();
        return Err(Error::DType { tensor, found: b.tensor.dtype().name(), expected: dtype.name().into() });
    }
    if batches * m * n * k == 0 {
        return Tensor::zeros(device, dtype, &[batches, m, n]);
    }
    let (tiles_m, tiles_n) = (m.div_ceil(TILE), n.div_ceil(TILE));
    let wanted = (TILES_WANTED / (batches * tiles_m * tiles_n)).min(k / SHORTEST_SPLIT);
    let piece = if batches == 1 && wanted > 1 { k.div_ceil(wanted) } else { k };
    let pieces = k.div_ceil(piece);
    let ([a_row, a_column], [b_row, b_column]) = (a.strides(), b.strides());
    let (a_batch, b_batch) = if pieces > 1 { (piece * a_column, piece * b_row) } else { (m * k, k * n) };
    let batches_run = batches * pieces;
    let mut product = Tensor::uninit(device, dtype, &[batches_run, m, n])?;
    let params = Params {
        m: m as u32,
        n: n as u32,
        k: piece as u32,
        k_last: (k - (pieces - 1) * piece) as u32,
        batches: batches_run as u32,
        a_batch: a_batch as u32,
        a_row: a_row as u32,
        a_column: a_column as u32,
        b_batch: b_batch as u32,
        b_row: b_row as u32,
        b_column: b_column as u32,
        tiles_m: tiles_m as u32,
        tiles_n: tiles_n as u32,
        unused: [0; 3],
    };
    MatMul { a: a.tensor, b: b.tensor, product: &mut product }.launch(&params, batches_run * tiles_m * tiles_n)?;
    if pieces > 1 {
        product = sum_rows(&product.reshape(&[pieces, m * n])?)?.reshape(&[1, m, n])?;
    }
    Ok(product)
}
