//! Approximate inverses of JᵀJ + λD: of its diagonal, and of blocks of it for small groups.

use super::columns::row;
use crate::Result;
use crate::vectors::{product, unflatten, zeros_like};
use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use lumigrad_core::{CallParams, Device, Jacobian, Map, Tensor, Var};

/// Blocks have this many rows at most.
const WIDEST: usize = 8;
/// Forward and reverse passes that blocks may cost.
const PASSES: usize = 16;

/// The diagonal blocks of JᵀJ that belong to an array: one per row of a separable array (a camera's 6 × 6), or all of a
/// small one (a material's factors).
pub struct Blocks {
    /// The array.
    pub array: usize,
    width: usize,
    /// [rows, width, width].
    data: Vec<f64>,
}

impl Blocks {
    /// Blocks of all arrays that have some, within a budget of passes. **Cost**: a forward and a reverse pass per column.
    pub fn of(jacobian: &Jacobian, like: &[Tensor], separable: &[bool]) -> Result<Vec<Self>> {
        let (mut all, mut spent) = (vec![], 0);
        for (array, t) in like.iter().enumerate() {
            let rows = row(t, separable.get(array).copied().unwrap_or(false));
            let width = rows.unwrap_or(t.len());
            if !(2..=WIDEST).contains(&width) || spent + width > PASSES {
                continue;
            }
            spent += width;
            let mut data = vec![0.0; t.len() * width];
            for column in 0..width {
                let unit: Vec<f64> = (0..t.len()).map(|k| (k % width == column) as u8 as f64).collect();
                let mut tangents = zeros_like(like)?;
                tangents[array] = unflatten(&unit, std::slice::from_ref(t))?.remove(0);
                let image = jacobian.apply_transpose(&jacobian.apply(&tangents)?)?;
                for (k, x) in image[array].to_f64_vec()?.into_iter().enumerate() {
                    data[k * width + column] = x;
                }
            }
            all.push(Self { array, width, data });
        }
        Ok(all)
    }

    /// The diagonal, like the array.
    pub fn diagonal(&self, like: &Tensor) -> Result<Tensor> {
        let w = self.width;
        let diagonal: Vec<f64> = (0..self.data.len() / w).map(|k| self.data[k * w + k % w]).collect();
        Ok(unflatten(&diagonal, std::slice::from_ref(like))?.remove(0))
    }

    /// (G + λD)⁻¹ of each block G, of the rows and columns that are free; [rows, width, width].
    fn inverse(&self, lambda: f64, diagonal: &Tensor, free: &Tensor) -> Result<Tensor> {
        let (w, d, free) = (self.width, diagonal.to_f64_vec()?, free.to_f64_vec()?);
        let mut data = vec![0.0; self.data.len()];
        for (b, block) in self.data.chunks_exact(w * w).enumerate() {
            let moves = |i: usize| free[b * w + i] > 0.5;
            let element = |i: usize, j: usize| match (i == j, moves(i) && moves(j)) {
                (true, true) => block[i * w + i] + lambda * d[b * w + i],
                (false, true) => 0.5 * (block[i * w + j] + block[j * w + i]),
                (same, false) => same as u8 as f64,
            };
            let matrix = Mat::from_fn(w, w, element);
            let inverse = match matrix.llt(Side::Lower) {
                Ok(factor) => factor.inverse(),
                // Not positive definite, to rounding: the diagonal alone.
                Err(_) => Mat::from_fn(w, w, |i, j| if i == j { 1.0 / element(i, i).max(1e-300) } else { 0.0 }),
            };
            for i in (0..w).filter(|&i| moves(i)) {
                (0..w).filter(|&j| moves(j)).for_each(|j| data[(b * w + i) * w + j] = inverse[(i, j)]);
            }
        }
        let shape = [self.data.len() / (w * w), w, w];
        Ok(Tensor::from_slice(&Device::cpu(), &data, &shape)?.cast(diagonal.dtype())?.to_device(diagonal.device())?)
    }
}

/// An approximate inverse of JᵀJ + λD on the free elements.
pub struct Preconditioner {
    diagonal: Vec<Tensor>,
    /// For some arrays, in place of the diagonal.
    blocks: Vec<(usize, Tensor)>,
}

impl Preconditioner {
    /// From D, what is free, and blocks.
    pub fn new(lambda: f64, diagonal: &[Tensor], free: &[Tensor], blocks: &[Blocks]) -> Result<Self> {
        let map = Map::cached("optim/lm_preconditioner", |m| {
            let ([d], [free], damped) = (m.item("diagonal"), m.item("free"), m.param());
            let moves = free.greater(0.5);
            m.output("inverse", &[moves.select(1.0 / (damped * moves.select(d, 1.0)), 0.0)]);
        });
        let call = CallParams { items: 0, real: vec![1.0 + lambda], int: vec![] };
        let inverse =
            diagonal.iter().zip(free).map(|(d, f)| Ok(map.run(&[d, f], &call)?.remove(0).reshape(d.shape())?));
        let block = |b: &Blocks| Ok((b.array, b.inverse(lambda, &diagonal[b.array], &free[b.array])?));
        Ok(Self { diagonal: inverse.collect::<Result<_>>()?, blocks: blocks.iter().map(block).collect::<Result<_>>()? })
    }

    /// The inverse times r.
    pub fn apply(&self, r: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut z = product(1.0, &self.diagonal, r)?;
        for (array, inverse) in &self.blocks {
            let &[rows, width, _] = inverse.shape() else { unreachable!("blocks have three dimensions") };
            let column = Var::from(r[*array].reshape(&[rows, width, 1])?);
            let product = Var::from(inverse.clone()).matmul(&column)?;
            z[*array] = product.tensor().reshape(r[*array].shape())?;
        }
        Ok(z)
    }
}
