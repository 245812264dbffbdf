//! Sum over rows: [N, C] → [1, C], in passes of up to 256 rows each, always in the same order.

use crate::{Result, Tensor, kernel, params};

mod cpu;
#[cfg(test)]
mod tests;

/// Rows that one item adds up.
const ROWS: usize = 256;

params! {
    /// Parameters of [`SumRows`].
    pub struct Params {
        rows: u32,
        columns: u32,
        rows_per_item: u32,
        unused: u32,
    }
}

kernel! {
    /// Adds up to 256 rows per item and column: [N, C] → [⌈N/256⌉, C].
    pub struct SumRows(SumRowsBuffers) {
        input: read real,
        output: write real,
    }
    name: "core/sum_rows", wgsl: include_str!("forward.wgsl"), entry: "sum_rows", items_per_group: 64,
    params: Params, cpu: sum_rows
}

/// Sum over rows: [N, C] → [1, C]. Deterministic on both devices. Cost: reads the input once.
pub fn sum_rows(input: &Tensor) -> Result<Tensor> {
    let columns = *input.shape().last().unwrap_or(&1);
    let mut current = input.reshape(&[input.len() / columns.max(1), columns])?;
    if current.shape()[0] == 0 {
        return Tensor::zeros(input.device(), input.dtype(), &[1, columns]);
    }
    while current.shape()[0] > 1 {
        let rows = current.shape()[0];
        let groups = rows.div_ceil(ROWS);
        let mut output = Tensor::uninit(input.device(), input.dtype(), &[groups, columns])?;
        let params = Params { rows: rows as u32, columns: columns as u32, rows_per_item: ROWS as u32, unused: 0 };
        SumRows { input: &current, output: &mut output }.launch(&params, groups * columns)?;
        current = output;
    }
    Ok(current)
}
