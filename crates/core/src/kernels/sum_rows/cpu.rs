use super::{Params, SumRowsBuffers};
use crate::Real;
use rayon::prelude::*;

pub fn sum_rows<R: Real>(p: &Params, _items: usize, b: SumRowsBuffers<'_, R>) {
    let (rows, columns, per) = (p.rows as usize, p.columns as usize, p.rows_per_item as usize);
    b.output.par_chunks_mut(columns).enumerate().for_each(|(group, out)| {
        out.fill(R::ZERO);
        for row in group * per..((group + 1) * per).min(rows) {
            let line = &b.input[row * columns..(row + 1) * columns];
            out.iter_mut().zip(line).for_each(|(sum, &x)| *sum += x);
        }
    });
}
