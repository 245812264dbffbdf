//! Derivatives by fitting a polynomial around each point (Chetan et al. 2025): accurate where a field carries noise of high
//! frequency, as fields in grids do, which differentiation amplifies.
//!
//! The offsets are the same for all points. The least-squares solution is then one matrix for all of them: derivatives are
//! fixed sums of the field's values around a point, and derivatives of these flow to parameters and points.

use crate::{Error, Result};
use lumigrad_core::ops::random::normal;
use lumigrad_core::{Device, Tensor, Var};

/// A fitted operator.
///
/// The slope of a fit of degree 1 estimates the gradient of the field blurred by a Gaussian of deviation sigma: its bias is
/// about ½σ²∇Δf, its noise that of the field's values times 1/(σ√k). Sigma is best about the size of a cell of the finest
/// grid that still carries signal: smaller leaves noise, larger smooths features.
#[derive(Clone, Debug)]
pub struct PolyFit {
    dim: usize,
    /// Offsets, k rows of `dim`, times sigma.
    offsets: Vec<f64>,
    /// Coefficients of the polynomial from values, k columns, in units of the coordinates.
    solution: Vec<f64>,
    degree: usize,
    k: usize,
}

/// Derivatives at points.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Value of the polynomial, [N, 1].
    pub value: Var,
    /// Gradient [N, d].
    pub gradient: Var,
    /// Second derivatives, rows of the upper triangle: [N, d(d + 1)/2], of degree 2.
    pub hessian: Option<Var>,
}

impl PolyFit {
    /// An operator of degree 1 or 2 with k offsets of deviation sigma, drawn in pairs of opposite sign.
    ///
    /// # Errors
    /// Too few offsets for the polynomial's coefficients: three times their number are sensible.
    pub fn new(dim: usize, degree: usize, sigma: f64, k: usize, seed: u64) -> Result<Self> {
        let k = k.next_multiple_of(2);
        let unknowns = basis(&vec![0.0; dim], degree).len();
        if !(1..=2).contains(&degree) || k < 2 * unknowns || !(sigma > 0.0 && sigma.is_finite()) {
            return Err(Error::Description(format!(
                "a fit of degree {degree} with {k} offsets of deviation {sigma}: expected degree 1 or 2, at least {} \
                 offsets and a positive deviation",
                2 * unknowns
            )));
        }
        let half: Vec<f64> = (0..(k / 2 * dim) as u64).map(|i| normal(seed, i)).collect();
        let unit: Vec<f64> = half.iter().copied().chain(half.iter().map(|x| -x)).collect();
        let rows: Vec<Vec<f64>> = unit.chunks(dim).map(|n| basis(n, degree)).collect();
        let mut solution = least_squares(&rows)
            .ok_or_else(|| Error::Description("the offsets of a fit lie in a plane: choose more of them".into()))?;
        // From units of sigma to those of the coordinates; second derivatives are twice the squares' coefficients.
        for (c, row) in solution.chunks_mut(k).enumerate() {
            let scale = match c {
                0 => 1.0,
                _ if c <= dim => 1.0 / sigma,
                _ => second_factor(c - 1 - dim, dim) / (sigma * sigma),
            };
            row.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(Self { dim, offsets: unit.iter().map(|x| x * sigma).collect(), solution, degree, k })
    }

    /// Derivatives of a field [M, d] → [M, 1] at points [N, d].
    ///
    /// **Gradients**: to points and to what the field depends on. **Cost**: k evaluations for each point.
    ///
    /// # Errors
    /// Those of the field.
    pub fn apply(&self, field: impl FnOnce(&Var) -> Result<Var>, points: &Var) -> Result<Fitted> {
        let &[n, d] = points.shape() else {
            return Err(lumigrad_core::Error::shape("points", points.shape(), "[N, d]").into());
        };
        if d != self.dim {
            let expected = format!("[N, {}]", self.dim);
            return Err(lumigrad_core::Error::shape("points", points.shape(), expected).into());
        }
        let (device, dtype, k) = (points.device().clone(), points.dtype(), self.k);
        let constant = |data: &[f64], shape: &[usize]| -> Result<Var> {
            Ok(Tensor::from_slice(&Device::cpu(), data, shape)?.cast(dtype)?.to_device(&device)?.into())
        };
        let offsets = constant(&self.offsets, &[1, k, d])?.broadcast_to(&[n, k, d])?;
        let around = points.reshape(&[n, 1, d])?.broadcast_to(&[n, k, d])?.add(&offsets)?;
        let values = field(&around.reshape(&[n * k, d])?)?.reshape(&[n, k])?;
        // Differences from the mean lose no digits to the value.
        let mean = values.mean_axis(1)?.reshape(&[n, 1])?;
        let centred = values.sub(&mean.broadcast_to(&[n, k])?)?;
        let unknowns = self.solution.len() / k;
        let solution = constant(&self.solution, &[unknowns, k])?;
        let found = lumigrad_core::ops::matmul_with(&centred, false, &solution, true)?;
        let value = found.slice(1, 0, 1)?.add(&mean)?;
        let gradient = found.slice(1, 1, 1 + d)?;
        let hessian = if self.degree == 2 { Some(found.slice(1, 1 + d, unknowns)?) } else { None };
        Ok(Fitted { value, gradient, hessian })
    }
}

/// 1, coordinates, and for degree 2 their products, rows of the upper triangle.
fn basis(x: &[f64], degree: usize) -> Vec<f64> {
    let mut out = vec![1.0];
    out.extend(x);
    if degree == 2 {
        out.extend((0..x.len()).flat_map(|i| (i..x.len()).map(move |j| x[i] * x[j])));
    }
    out
}

/// 2 for squares, 1 for mixed products, by place in the upper triangle.
fn second_factor(place: usize, dim: usize) -> f64 {
    let mut at = 0;
    for i in 0..dim {
        if at == place {
            return 2.0;
        }
        at += dim - i;
    }
    1.0
}

/// (AᵀA)⁻¹Aᵀ, row-major with one column per row of A, by Cholesky's factorisation.
fn least_squares(rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let m = rows[0].len();
    let mut l = vec![vec![0.0; m]; m];
    for i in 0..m {
        for j in 0..=i {
            let mut sum: f64 = rows.iter().map(|r| r[i] * r[j]).sum();
            (0..j).for_each(|p| sum -= l[i][p] * l[j][p]);
            l[i][j] = if i == j { Some(sum).filter(|s| *s > 1e-9 * rows.len() as f64)?.sqrt() } else { sum / l[j][j] };
        }
    }
    let k = rows.len();
    let mut out = vec![0.0; m * k];
    for (c, row) in rows.iter().enumerate() {
        let mut x = row.clone();
        for i in 0..m {
            (0..i).for_each(|p| x[i] -= l[i][p] * x[p]);
            x[i] /= l[i][i];
        }
        for i in (0..m).rev() {
            (i + 1..m).for_each(|p| x[i] -= l[p][i] * x[p]);
            x[i] /= l[i][i];
        }
        x.iter().enumerate().for_each(|(i, x)| out[i * k + c] = *x);
    }
    Some(out)
}
