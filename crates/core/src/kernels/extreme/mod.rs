//! Largest or smallest element along an axis, with its place.

use crate::{DType, Error, Result, Tensor, kernel, params};

mod cpu;
#[cfg(test)]
mod tests;

/// Elements that one item compares.
const CHUNK: usize = 1024;

params! {
    /// Parameters of [`Extreme`].
    pub struct Params {
        n: u32,
        inner: u32,
        chunk: u32,
        chunks: u32,
        items: u32,
        smallest: u32,
        first_pass: u32,
        unused: u32,
    }
}

kernel! {
    /// Extreme of up to `chunk` elements per item: [outer, n, inner] → [outer, chunks, inner], the first at a tie.
    pub struct Extreme(ExtremeBuffers) {
        values: read real,
        /// Places of the values along the whole axis; not read in the first pass.
        places: read u32,
        best: write real,
        best_place: write u32,
    }
    name: "core/extreme", wgsl: include_str!("forward.wgsl"), entry: "extreme", items_per_group: 64,
    params: Params, cpu: extreme
}

/// Places of the first largest (or smallest) elements along an axis: u32, of the input's shape without that axis.
///
/// **Errors**: the axis does not exist or has no elements. NaN compares as neither larger nor smaller.
pub fn extreme_place(input: &Tensor, axis: usize, smallest: bool) -> Result<Tensor> {
    let shape = input.shape();
    if axis >= shape.len() || shape[axis] == 0 {
        let name = if smallest { "min" } else { "max" };
        return Err(Error::shape(&format!("the input of {name}"), shape, format!("an axis {axis} with elements")));
    }
    let (outer, inner) = (shape[..axis].iter().product::<usize>(), shape[axis + 1..].iter().product::<usize>());
    let mut reduced = shape.to_vec();
    let mut n = reduced.remove(axis);
    if outer * inner == 0 {
        return Tensor::zeros(input.device(), DType::U32, &reduced);
    }
    let mut values = input.clone();
    let mut places = Tensor::zeros(input.device(), DType::U32, &[1])?;
    let mut first_pass = true;
    while first_pass || n > 1 {
        let chunks = n.div_ceil(CHUNK);
        let items = outer * chunks * inner;
        let mut best = Tensor::uninit(input.device(), input.dtype(), &[items])?;
        let mut best_place = Tensor::uninit(input.device(), DType::U32, &[items])?;
        let params = Params {
            n: n as u32,
            inner: inner as u32,
            chunk: CHUNK as u32,
            chunks: chunks as u32,
            items: items as u32,
            smallest: smallest as u32,
            first_pass: first_pass as u32,
            unused: 0,
        };
        Extreme { values: &values, places: &places, best: &mut best, best_place: &mut best_place }
            .launch(&params, items)?;
        (values, places, n, first_pass) = (best, best_place, chunks, false);
    }
    places.reshape(&reduced)
}
