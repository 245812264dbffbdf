//! Products with a constant sparse matrix, row by row.

use super::weights::Rows;
use lumigrad_core::{DType, Device, Error, Operator, Result, Tensor, Var, kernel, params};
use rayon::prelude::*;
use std::sync::Arc;

params! {
    /// Parameters of [`SparseRows`].
    pub struct Params {
        rows: u32,
        unused: [u32; 3],
    }
}

kernel! {
    /// output[r] = Σ weight · input[column] over the entries of row r; rows of three.
    pub struct SparseRows(SparseRowsBuffers) {
        starts: read u32,
        columns: read u32,
        weights: read real,
        input: read real,
        output: write real,
    }
    name: "raster/sparse_rows", wgsl: include_str!("sparse.wgsl"), entry: "sparse_rows", items_per_group: 64,
    params: Params, cpu: sparse_rows
}

mod cpu {
    use super::*;
    use lumigrad_core::Real;

    /// Rows of one task.
    const CHUNK: usize = 64;

    pub fn sparse_rows<R: Real>(_: &Params, _items: usize, b: SparseRowsBuffers<'_, R>) {
        b.output.par_chunks_mut(3 * CHUNK).enumerate().for_each(|(chunk, out)| {
            for (k, out) in out.chunks_exact_mut(3).enumerate() {
                let row = chunk * CHUNK + k;
                let range = b.starts[row] as usize..b.starts[row + 1] as usize;
                let mut sum = [R::ZERO; 3];
                for (&column, &w) in b.columns[range.clone()].iter().zip(&b.weights[range]) {
                    let x = &b.input[3 * column as usize..][..3];
                    (0..3).for_each(|c| sum[c] += w * x[c]);
                }
                out.copy_from_slice(&sum);
            }
        });
    }
}

/// A sparse matrix in compressed rows.
struct Compressed {
    starts: Tensor,
    columns: Tensor,
    weights: Tensor,
}

impl Compressed {
    fn new(entries: &[Vec<(u32, f64)>], device: &Device, dtype: DType) -> Result<Self> {
        let mut starts = vec![0u32];
        let (mut columns, mut weights) = (vec![], vec![]);
        for row in entries {
            columns.extend(row.iter().map(|e| e.0));
            weights.extend(row.iter().map(|e| e.1));
            starts.push(columns.len() as u32);
        }
        let n = columns.len();
        Ok(Self {
            starts: Tensor::from_slice(device, &starts, &[starts.len()])?,
            columns: Tensor::from_slice(device, &columns, &[n])?,
            weights: Tensor::from_slice(&Device::cpu(), &weights, &[n])?.cast(dtype)?.to_device(device)?,
        })
    }

    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn apply(&self, input: &Tensor) -> Result<Tensor> {
        let rows = self.rows();
        let mut output = Tensor::uninit(input.device(), input.dtype(), &[rows, 3])?;
        let (starts, columns, weights) = (&self.starts, &self.columns, &self.weights);
        SparseRows { starts, columns, weights, input, output: &mut output }
            .launch(&Params { rows: rows as u32, unused: [0; 3] }, rows)?;
        Ok(output)
    }
}

/// [columns, 3] → [rows, 3] by a constant sparse matrix; derivatives are products with it and its transpose.
pub struct Sparse {
    forward: Compressed,
    transpose: Compressed,
}

impl Sparse {
    /// Evaluates all rows; entries of equal column are added up.
    pub fn new(rows: &Rows, device: &Device, dtype: DType) -> Result<Self> {
        let entries: Vec<Vec<(u32, f64)>> = (0..rows.rows)
            .into_par_iter()
            .map_init(Vec::new, |scratch, row| {
                rows.entries(row, scratch);
                scratch.sort_by_key(|e| e.0);
                let mut merged: Vec<(u32, f64)> = Vec::with_capacity(scratch.len());
                for &(column, w) in scratch.iter() {
                    match merged.last_mut() {
                        Some(last) if last.0 == column => last.1 += w,
                        _ => merged.push((column, w)),
                    }
                }
                merged
            })
            .collect();
        let mut transposed = vec![vec![]; rows.columns];
        for (row, entries) in (0u32..).zip(&entries) {
            entries.iter().for_each(|&(column, w)| transposed[column as usize].push((row, w)));
        }
        Ok(Self {
            forward: Compressed::new(&entries, device, dtype)?,
            transpose: Compressed::new(&transposed, device, dtype)?,
        })
    }

    /// The product, recorded.
    pub fn apply(self: &Arc<Self>, input: &Var) -> Result<Var> {
        Ok(lumigrad_core::apply(self.clone(), &[input])?.remove(0))
    }
}

impl Operator for Sparse {
    fn name(&self) -> &str {
        "sparse product"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let n = self.transpose.rows();
        if inputs[0].len() != 3 * n {
            return Err(Error::shape("input of a sparse product", inputs[0].shape(), format!("[{n}, 3]")));
        }
        Ok(vec![self.forward.apply(&inputs[0])?])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        _outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        _wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let back = |c: &Tensor| self.transpose.apply(c)?.reshape(inputs[0].shape());
        Ok(vec![cotangents[0].as_ref().map(back).transpose()?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![tangents[0].as_ref().map(|t| self.forward.apply(t)).transpose()?])
    }
}

/// The product on the host, without storing the matrix.
pub fn product(rows: &Rows, input: &[[f64; 3]]) -> Vec<[f64; 3]> {
    (0..rows.rows)
        .into_par_iter()
        .with_min_len(64)
        .map_init(Vec::new, |scratch, row| {
            rows.entries(row, scratch);
            let mut sum = [0.0; 3];
            for &(column, w) in scratch.iter() {
                (0..3).for_each(|c| sum[c] += w * input[column as usize][c]);
            }
            sum
        })
        .collect()
}
