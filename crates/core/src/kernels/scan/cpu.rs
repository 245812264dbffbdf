use super::{Heads, Params, ScanApplyBuffers, ScanApplyU32Buffers, ScanBlocksBuffers, ScanBlocksU32Buffers};
use crate::{Element, Real, kernels::disjoint::Disjoint};
use rayon::prelude::*;

pub fn scan_blocks<R: Real>(p: &Params, _items: usize, b: ScanBlocksBuffers<'_, R>) {
    blocks(p, b.input, b.marks, b.totals, b.starts_of_blocks, |a, b| a + b);
}

pub fn scan_blocks_u32<R: Real>(p: &Params, _items: usize, b: ScanBlocksU32Buffers<'_, R>) {
    blocks(p, b.input, b.marks, b.totals, b.starts_of_blocks, u32::wrapping_add);
}

pub fn scan_apply<R: Real>(p: &Params, _items: usize, b: ScanApplyBuffers<'_, R>) {
    apply(p, b.input, b.marks, b.carries, b.output, |a, b| a + b);
}

pub fn scan_apply_u32<R: Real>(p: &Params, _items: usize, b: ScanApplyU32Buffers<'_, R>) {
    apply(p, b.input, b.marks, b.carries, b.output, u32::wrapping_add);
}

fn blocks<T: Element>(
    p: &Params,
    input: &[T],
    marks: &[u32],
    totals: &mut [T],
    starts: &mut [u32],
    add: impl Fn(T, T) -> T + Sync,
) {
    totals.par_iter_mut().zip(starts).enumerate().for_each(|(block, (total, start))| {
        let (mut sum, mut has_head) = (T::default(), false);
        walk(p, marks, block, |place, head| {
            if head {
                (sum, has_head) = (T::default(), true);
            }
            sum = add(sum, input[place]);
        });
        (*total, *start) = (sum, has_head as u32);
    });
}

fn apply<T: Element>(
    p: &Params,
    input: &[T],
    marks: &[u32],
    carries: &[T],
    output: &mut [T],
    add: impl Fn(T, T) -> T + Sync,
) {
    let output = Disjoint::new(output);
    (0..p.blocks as usize).into_par_iter().for_each(|block| {
        let mut sum = if block > 0 { carries[block - 1] } else { T::default() };
        walk(p, marks, block, |place, head| {
            if head {
                sum = T::default();
            }
            let before = sum;
            sum = add(sum, input[place]);
            // SAFETY: `walk` visits every element once, and blocks do not overlap.
            unsafe { output.write(place, if p.exclusive == 1 { before } else { sum }) };
        });
    });
}

/// Visits a block in the order of the scan: the place of each element, and whether sums start anew at it.
#[inline(always)]
fn walk(p: &Params, marks: &[u32], block: usize, mut visit: impl FnMut(usize, bool)) {
    let (n, inner, size) = (p.n as usize, p.inner as usize, p.block as usize);
    let end = ((block + 1) * size).min(p.items as usize);
    let mut l = block * size;
    while l < end {
        let (line, first) = (l / n, l % n);
        let base = line / inner * n * inner + line % inner;
        let last = n.min(first + end - l);
        for i in first..last {
            let k = if p.reverse == 1 { n - 1 - i } else { i };
            let head = i == 0
                || (p.heads == Heads::NewMark as u32 && marks[i] != marks[i - 1])
                || (p.heads == Heads::Marked as u32 && marks[l + i - first] == 1);
            visit(base + k * inner, head);
        }
        l += last - first;
    }
}
