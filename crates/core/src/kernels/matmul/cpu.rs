use super::{MatMulBuffers, Params};
use crate::Real;
use rayon::prelude::*;

/// Rows that a thread takes at a time: their number never depends on the number of threads.
const ROWS: usize = 128;

pub fn matmul<R: Real>(p: &Params, _items: usize, b: MatMulBuffers<'_, R>) {
    let (m, n) = (p.m as usize, p.n as usize);
    b.product.par_chunks_mut(m * n).enumerate().for_each(|(batch, product)| {
        let k = if batch + 1 == p.batches as usize { p.k_last } else { p.k } as usize;
        let lhs = &b.a[batch * p.a_batch as usize..];
        let rhs = &b.b[batch * p.b_batch as usize..];
        // Bounds of what gemm will read, which it does not check.
        assert!((m - 1) * p.a_row as usize + (k - 1) * (p.a_column as usize) < lhs.len());
        assert!((k - 1) * p.b_row as usize + (n - 1) * (p.b_column as usize) < rhs.len());
        product.par_chunks_mut(ROWS * n).enumerate().for_each(|(piece, out)| {
            // SAFETY: `out` holds `out.len() / n` rows of n; the operands' bounds were just checked.
            unsafe {
                gemm::gemm(
                    out.len() / n,
                    n,
                    k,
                    out.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    lhs.as_ptr().add(piece * ROWS * p.a_row as usize),
                    p.a_column as isize,
                    p.a_row as isize,
                    rhs.as_ptr(),
                    p.b_column as isize,
                    p.b_row as isize,
                    R::ZERO,
                    R::ONE,
                    false,
                    false,
                    false,
                    gemm::Parallelism::None,
                );
            }
        });
    });
}
