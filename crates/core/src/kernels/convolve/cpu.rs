use super::{ConvolveBuffers, ConvolveWeightsBuffers, Params};
use crate::Real;
use rayon::prelude::*;

/// Numbers of the patches that a thread has at a time: they stay in its cache.
const PATCHES: usize = 1 << 17;

/// Pixels that a thread takes at a time, from the shapes alone.
fn pixels_at_once(inner: usize) -> usize {
    (PATCHES / inner).clamp(32, 2048)
}

pub fn convolve<R: Real>(p: &Params, _items: usize, b: ConvolveBuffers<'_, R>) {
    let (inner, o) = ((p.size * p.size * p.c) as usize, p.o as usize);
    let turned;
    let weights = if p.flipped == 0 {
        b.weights
    } else {
        turned = turn(p, b.weights);
        &turned
    };
    let rows = pixels_at_once(inner);
    b.output.par_chunks_mut(rows * o).enumerate().for_each_init(Vec::new, |buffer, (chunk, out)| {
        let count = out.len() / o;
        let patches = patches(p, b.input, chunk * rows, count, buffer);
        out.chunks_exact_mut(o).for_each(|line| line.copy_from_slice(b.bias));
        // out += patches [count, inner] · weights [inner, o]
        add_product([count, o, inner], out, patches, [inner, 1], &weights[..inner * o]);
    });
}

pub fn convolve_weights<R: Real>(p: &Params, _items: usize, b: ConvolveWeightsBuffers<'_, R>) {
    let (inner, o) = ((p.size * p.size * p.c) as usize, p.o as usize);
    let pixels = (p.n * p.h_out * p.w_out) as usize;
    let rows = pixels_at_once(inner);
    b.sums.par_chunks_mut(inner * o).enumerate().for_each_init(Vec::new, |buffer, (piece, sums)| {
        sums.fill(R::ZERO);
        let end = ((piece + 1) * p.piece as usize).min(pixels);
        for first in (piece * p.piece as usize..end).step_by(rows) {
            let count = rows.min(end - first);
            let patches = patches(p, b.input, first, count, buffer);
            // sums += patchesᵀ [inner, count] · cotangent [count, o]
            add_product([inner, o, count], sums, patches, [1, inner], &b.cotangent[first * o..(first + count) * o]);
        }
    });
}

/// out [m, n] += a [m, k] · b [k, n]; out and b have rows one after the other, a the given distances of rows and columns.
fn add_product<R: Real>([m, n, k]: [usize; 3], out: &mut [R], a: &[R], [a_row, a_column]: [usize; 2], b: &[R]) {
    // Bounds of what gemm will touch, which it does not check.
    assert!(out.len() >= m * n && a.len() > (m - 1) * a_row + (k - 1) * a_column && b.len() >= k * n);
    // SAFETY: the bounds were just checked, and `out` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            1,
            n as isize,
            R::ONE,
            R::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Weights [K, K, O, C] as [K, K, C, O], taps in reverse.
fn turn<R: Real>(p: &Params, weights: &[R]) -> Vec<R> {
    let (taps, c, o) = ((p.size * p.size) as usize, p.c as usize, p.o as usize);
    let mut turned = vec![R::ZERO; taps * c * o];
    for (t, out) in turned.chunks_exact_mut(c * o).enumerate() {
        let tap = &weights[(taps - 1 - t) * c * o..][..c * o];
        for (i, line) in out.chunks_exact_mut(o).enumerate() {
            for (j, x) in line.iter_mut().enumerate() {
                *x = tap[j * c + i];
            }
        }
    }
    turned
}

/// Patches [count, K, K, C] around pixels of the result, from pixel `first` on; where patches are pixels, the input itself.
fn patches<'a, R: Real>(p: &Params, input: &'a [R], first: usize, count: usize, buffer: &'a mut Vec<R>) -> &'a [R] {
    let c = p.c as usize;
    if p.size == 1 && p.stride == 1 && p.spread == 1 {
        return &input[first * c..(first + count) * c];
    }
    let inner = (p.size * p.size) as usize * c;
    buffer.resize(count * inner, R::ZERO);
    for (k, patch) in buffer.chunks_exact_mut(inner).enumerate() {
        fill_patch(p, input, first + k, patch);
    }
    buffer
}

/// Position in the input that a position of the spread, padded picture stands for.
fn source(at: usize, pad: u32, spread: u32, n: u32) -> Option<usize> {
    let at = at.checked_sub(pad as usize)?;
    (at % spread as usize == 0 && at / (spread as usize) < n as usize).then(|| at / spread as usize)
}

fn fill_patch<R: Real>(p: &Params, input: &[R], pixel: usize, patch: &mut [R]) {
    let (w, c, size) = (p.w as usize, p.c as usize, p.size as usize);
    let x = pixel % p.w_out as usize * p.stride as usize;
    let y = pixel / p.w_out as usize % p.h_out as usize * p.stride as usize;
    let picture = pixel / (p.w_out * p.h_out) as usize;
    for (i, line) in patch.chunks_exact_mut(size * c).enumerate() {
        let Some(row) = source(y + i, p.pad, p.spread, p.h) else {
            line.fill(R::ZERO);
            continue;
        };
        let row = &input[(picture * p.h as usize + row) * w * c..][..w * c];
        if p.spread == 1 {
            // Neighbouring pixels are neighbours in memory: one copy, with what lies outside left zero.
            let before = (p.pad as usize).saturating_sub(x).min(size);
            let start = (x + before).saturating_sub(p.pad as usize).min(w);
            let inside = (size - before).min(w - start);
            line[..before * c].fill(R::ZERO);
            line[before * c..(before + inside) * c].copy_from_slice(&row[start * c..(start + inside) * c]);
            line[(before + inside) * c..].fill(R::ZERO);
            continue;
        }
        for (j, out) in line.chunks_exact_mut(c).enumerate() {
            match source(x + j, p.pad, p.spread, p.w) {
                Some(column) => out.copy_from_slice(&row[column * c..(column + 1) * c]),
                None => out.fill(R::ZERO),
            }
        }
    }
}
