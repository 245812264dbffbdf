//! The output layer of a network that makes a linear equation hold best at given places: least squares, at once.

use super::C;
use crate::Result;
use crate::fit::linear::Hidden;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use lumigrad_core::Tensor;
use lumigrad_field::{Derivatives, Field};
use rayon::prelude::*;
use std::sync::Arc;

/// Parts of the rows whose products are made by themselves and added in order.
const PARTS: usize = 4;
/// What must hold at a place: factors of u_x, u_xx, u_y, u_yy and u, and what they make.
pub struct Row {
    pub place: [f32; 2],
    pub factors: [C; 5],
    pub makes: C,
}

/// The field's values with the output layer, of two channels (real and imaginary part of u), that leaves the least squares of
/// all rows. Networks whose output is no plain linear layer with a bias stay as they are.
pub fn output_layer(field: &Field, values: &[Tensor], rows: &[Row]) -> Result<Vec<Tensor>> {
    let Some(hidden) = Hidden::of(field, values)? else { return Ok(values.to_vec()) };
    let width = field.width;
    let wanted = Arc::new(Derivatives::of(&[0, 1], &[[0, 0], [1, 1]]));
    let m = width + 1;
    let part = |rows: &[Row]| -> Result<[Mat<f64>; 4]> {
        let places: Vec<f32> = rows.iter().flat_map(|r| r.place).collect();
        // Value, x, y, xx, yy; activations of straight pieces have no second derivatives.
        let streams = hidden.streams(&places, &wanted)?;
        let order = [1, 3, 2, 4, 0].map(|k: usize| &streams[k]);
        let number = |i: usize, j: usize| -> C {
            let of = |k: usize| match j < width {
                true => order[k].get(i * width + j).map_or(0.0, |x| *x as f64),
                false => (k == 4) as u8 as f64,
            };
            (0..5).map(|k| rows[i].factors[k] * of(k)).sum()
        };
        let all: Vec<C> = (0..rows.len() * m).into_par_iter().map(|k| number(k / m, k % m)).collect();
        let re = Mat::from_fn(rows.len(), m, |i, j| all[i * m + j].re);
        let im = Mat::from_fn(rows.len(), m, |i, j| all[i * m + j].im);
        let makes = Mat::from_fn(rows.len(), 2, |i, k| if k == 0 { rows[i].makes.re } else { rows[i].makes.im });
        // Symmetric and antisymmetric part of the normal matrix, and AᴴB as real and imaginary part.
        let mut products = [Mat::zeros(m, m), Mat::zeros(m, m), Mat::zeros(m, 2), Mat::zeros(m, 2)];
        let mut add = |k: usize, a: &Mat<f64>, b: &Mat<f64>, factor: f64| {
            matmul(products[k].as_mut(), Accum::Add, a.transpose(), b.as_ref(), factor, Par::Seq);
        };
        add(0, &re, &re, 1.0);
        add(0, &im, &im, 1.0);
        add(1, &im, &re, 1.0);
        add(2, &re, &makes, 1.0);
        add(3, &im, &makes, 1.0);
        Ok(products)
    };
    let length = rows.len().div_ceil(PARTS).max(1);
    let parts = rows.chunks(length).collect::<Vec<_>>().into_par_iter().map(part).collect::<Result<Vec<_>>>()?;
    let sum = |k: usize, i: usize, j: usize| parts.iter().map(|p| p[k][(i, j)]).sum::<f64>();
    let (p, q) = (Mat::from_fn(m, m, |i, j| sum(0, i, j)), Mat::from_fn(m, m, |i, j| sum(1, i, j)));
    // With u = Σ (a + ib)·unit, of a and b: [P, Q − Qᵀ; Qᵀ − Q, P].
    let element = |i: usize, j: usize| {
        let (k, l) = (i % m, j % m);
        match (i < m, j < m) {
            (true, false) => q[(k, l)] - q[(l, k)],
            (false, true) => q[(l, k)] - q[(k, l)],
            _ => p[(k, l)],
        }
    };
    let right = |i: usize| {
        let k = i % m;
        let (r0, r1, i0, i1) = (sum(2, k, 0), sum(2, k, 1), sum(3, k, 0), sum(3, k, 1));
        if i < m { r0 + i1 } else { r1 - i0 }
    };
    let found = hidden.solution(2 * m, element, &(0..2 * m).map(right).collect::<Vec<_>>())?;
    let numbers: Vec<f32> = (0..m).flat_map(|j| [found[j], found[j + m]].map(|x| x as f32)).collect();
    hidden.with_output(&numbers)
}
