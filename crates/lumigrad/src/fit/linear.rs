//! Output layers by least squares, for equations that are linear in their solution: no steps, one solution.

use crate::run::require_memory;
use crate::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, Par, Side};
use lumigrad_core::Tensor;
use lumigrad_field::{Activation, Derivatives, Field};
use rayon::prelude::*;
use std::sync::Arc;

/// Parts of the rows whose products are made by themselves and added in order.
const PARTS: usize = 4;
/// Rows of a part whose units are held at a time.
const CHUNK: usize = 512;
/// Part of the unit diagonal that keeps combinations of units from cancelling each other.
const DAMPING: f64 = 1e-12;

/// The last hidden layer of a network, as a field whose channels are its units.
pub struct Hidden {
    pub units: Field,
    values: Vec<Tensor>,
}

impl Hidden {
    /// `None` where the output is no plain linear layer with a bias.
    pub fn of(field: &Field, values: &[Tensor]) -> Result<Option<Self>> {
        if field.output != Activation::Identity || !field.bias || field.skips.contains(&field.depth) {
            return Ok(None);
        }
        let (width, device) = (field.width, values[0].device().clone());
        let mut plain = values[..values.len() - 2].to_vec();
        let unit: Vec<f32> = (0..width * width).map(|k| (k % (width + 1) == 0) as u8 as f32).collect();
        plain.push(Tensor::from_slice(&device, &unit, &[width, width])?);
        plain.push(Tensor::from_slice(&device, &vec![0.0f32; width], &[width])?);
        Ok(Some(Self { units: Field { channels: width, ..field.clone() }, values: plain }))
    }

    /// Units at places, and their derivatives; those that are zero wherever they exist are empty.
    pub fn streams(&self, places: &[f32], wanted: &Arc<Derivatives>) -> Result<Vec<Vec<f32>>> {
        Ok(self.units.sample(&self.values, places, wanted)?)
    }

    /// The network's parameters with an output layer: the weights of each unit for all channels, then the biases.
    pub fn with_output(self, numbers: &[f32]) -> Result<Vec<Tensor>> {
        let (width, device) = (self.units.width, self.values[0].device().clone());
        let channels = numbers.len() / (width + 1);
        let (weight, bias) = numbers.split_at(width * channels);
        let mut solved = self.values;
        solved.truncate(solved.len() - 2);
        solved.push(Tensor::from_slice(&device, weight, &[width, channels])?);
        solved.push(Tensor::from_slice(&device, bias, &[channels])?);
        Ok(solved)
    }

    /// x of A·x = b for a symmetric matrix of positive diagonal, as it is made for sums of squares.
    pub fn solution(&self, n: usize, element: impl Fn(usize, usize) -> f64, right: &[f64]) -> Result<Vec<f64>> {
        let scale: Vec<f64> = (0..n).map(|k| 1.0 / element(k, k).max(1e-300).sqrt()).collect();
        let damping = |i: usize, j: usize| if i == j { DAMPING } else { 0.0 };
        let matrix = Mat::from_fn(n, n, |i, j| element(i, j) * scale[i] * scale[j] + damping(i, j));
        let factor = matrix.llt(Side::Lower).map_err(|_| {
            let help = "use fewer units (--width) or another --omega";
            Error::job(format!("the {} units of the last hidden layer say the same; {help}", self.units.width))
        })?;
        let found = factor.solve(&Mat::from_fn(n, 1, |i, _| right[i] * scale[i]));
        Ok((0..n).map(|i| found[(i, 0)] * scale[i]).collect())
    }
}

/// What must be zero at places, as well as it can: factors of the streams of a solution of one channel, then the rest, a row
/// for each place.
pub struct Rows {
    pub places: Vec<f32>,
    pub factors: Vec<f64>,
    pub needs: Arc<Derivatives>,
}

impl Rows {
    /// The first and the last of some rows.
    fn part(&self, dim: usize, from: usize, to: usize) -> (&[f32], &[f64]) {
        let width = self.needs.n_streams() + 1;
        (&self.places[from * dim..to * dim], &self.factors[from * width..to * width])
    }
}

/// The field's parameters with the output layer, of one channel, that leaves the least sum of squares of all rows. Networks
/// whose output is no plain linear layer with a bias stay as they are.
///
/// # Errors
/// Units that say the same; derivatives that are zero wherever they exist.
pub fn output_layer(field: &Field, values: &[Tensor], all: &[Rows]) -> Result<Vec<Tensor>> {
    let Some(hidden) = Hidden::of(field, values)? else { return Ok(values.to_vec()) };
    let (width, dim) = (field.width, field.dim);
    let (m, n) = (width + 1, |rows: &Rows| rows.places.len() / dim);
    let bytes = 8 * ((PARTS + 3) * m * m) as u64;
    require_memory(bytes, "the output layer", "use fewer units (--width)")?;
    // Products of the units' rows, and of these with what must be.
    let products = |part: usize| -> Result<[Mat<f64>; 2]> {
        let mut sums = [Mat::zeros(m, m), Mat::zeros(m, 1)];
        for rows in all {
            let (from, to) = (n(rows) * part / PARTS, n(rows) * (part + 1) / PARTS);
            for first in (from..to).step_by(CHUNK) {
                let (places, factors) = rows.part(dim, first, (first + CHUNK).min(to));
                let streams = hidden.streams(places, &rows.needs)?;
                let row = streams.len() + 1;
                let number = |i: usize, j: usize| match j < width {
                    true => (0..streams.len())
                        .map(|k| factors[i * row + k] * streams[k].get(i * width + j).map_or(0.0, |x| *x as f64))
                        .sum::<f64>(),
                    // The bias has a value and no slope.
                    false => factors[i * row],
                };
                let count = places.len() / dim;
                let a = Mat::from_fn(count, m, number);
                let b = Mat::from_fn(count, 1, |i, _| -factors[i * row + row - 1]);
                for (sum, by) in sums.iter_mut().zip([&a, &b]) {
                    matmul(sum.as_mut(), Accum::Add, a.transpose(), by.as_ref(), 1.0, Par::Seq);
                }
            }
        }
        Ok(sums)
    };
    let parts = (0..PARTS).into_par_iter().map(products).collect::<Result<Vec<_>>>()?;
    let sum = |k: usize, i: usize, j: usize| parts.iter().map(|p| p[k][(i, j)]).sum::<f64>();
    let right: Vec<f64> = (0..m).map(|i| sum(1, i, 0)).collect();
    let found = hidden.solution(m, |i, j| sum(0, i, j), &right)?;
    hidden.with_output(&found.iter().map(|x| *x as f32).collect::<Vec<f32>>())
}
