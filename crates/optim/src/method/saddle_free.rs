//! Saddle-free Newton (Dauphin et al. 2014): Δ = −|H|⁻¹g in a Krylov space.

use super::normalized::{normalized_step, within};
use super::{Method, Objective, Sample, State};
use crate::vectors::{add_scaled, dot, filled, scaled};
use crate::{Group, Result};
use faer::{Mat, Side};
use lumigrad_core::{DType, Tensor};

/// Dimension of the Krylov space.
const DIMENSION: usize = 8;
/// Eigenvalues count as at least this fraction of the largest one.
const FLOOR: f64 = 1e-2;

/// Lanczos on Hessian-vector products (central differences of gradients), full reorthogonalisation; eigenvalues of the
/// small matrix are replaced by their absolute values. Steps are limited to the groups' rates, root mean square.
/// **Cost**: seventeen passes.
pub struct SaddleFree {
    groups: Vec<Group>,
}

impl SaddleFree {
    /// A method without memory.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups }
    }
}

/// H·v by central differences: √ε(1 + ‖θ‖)/‖v‖ apart, ε of the arrays' numbers.
fn hessian_product(values: &[Tensor], v: &[Tensor], objective: &mut dyn Objective) -> Result<Vec<Tensor>> {
    let epsilon = match values.first().map(Tensor::dtype) {
        Some(DType::F64) => f64::EPSILON.cbrt(),
        _ => (f32::EPSILON as f64).cbrt(),
    };
    let h = epsilon * (1.0 + dot(values, values)?.sqrt()) / dot(v, v)?.sqrt().max(1e-300);
    let mut at = |h: f64| -> Result<Vec<Tensor>> {
        let moved = add_scaled(values, h, v)?;
        filled(&objective.gradient(&moved, Sample::Batch)?.1, values)
    };
    let (ahead, behind) = (at(h)?, at(-h)?);
    scaled(0.5 / h, &add_scaled(&ahead, -1.0, &behind)?)
}

/// Orthonormal vectors of the Krylov space of g, and H in it.
fn lanczos(values: &[Tensor], g: &[Tensor], objective: &mut dyn Objective) -> Result<(Vec<Vec<Tensor>>, Mat<f64>)> {
    let mut basis = vec![scaled(1.0 / dot(g, g)?.sqrt(), g)?];
    let mut images: Vec<Vec<Tensor>> = vec![];
    while images.len() < DIMENSION {
        let image = hessian_product(values, basis.last().expect("not empty"), objective)?;
        let mut rest = image.clone();
        let before = dot(&rest, &rest)?.sqrt();
        for _ in 0..2 {
            for q in &basis {
                rest = add_scaled(&rest, -dot(&rest, q)?, q)?;
            }
        }
        images.push(image);
        let norm = dot(&rest, &rest)?.sqrt();
        if norm <= 1e-6 * before || !norm.is_finite() || images.len() == DIMENSION {
            break;
        }
        basis.push(scaled(1.0 / norm, &rest)?);
    }
    let n = images.len();
    basis.truncate(n);
    let mut matrix = Mat::zeros(n, n);
    for i in 0..n {
        for j in 0..n {
            matrix[(i, j)] = dot(&basis[i], &images[j])?;
        }
    }
    let symmetric = Mat::from_fn(n, n, |i, j| 0.5 * (matrix[(i, j)] + matrix[(j, i)]));
    Ok((basis, symmetric))
}

/// |H|⁻¹g within the space of g.
fn direction(values: &[Tensor], g: &[Tensor], objective: &mut dyn Objective) -> Result<Vec<Tensor>> {
    let (basis, matrix) = lanczos(values, g, objective)?;
    let Ok(eigen) = matrix.self_adjoint_eigen(Side::Lower) else { return Ok(g.to_vec()) };
    let n = basis.len();
    let values_of = |k: usize| eigen.S()[k].abs();
    let largest = (0..n).map(values_of).fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return Ok(g.to_vec());
    }
    let length = dot(g, &basis[0])?;
    let mut sum: Option<Vec<Tensor>> = None;
    for (i, q) in basis.iter().enumerate() {
        let of = |k: usize| eigen.U()[(i, k)] * eigen.U()[(0, k)] * length / values_of(k).max(FLOOR * largest);
        let part = scaled((0..n).map(of).sum(), q)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => add_scaled(&sum, 1.0, &part)?,
        });
    }
    Ok(sum.expect("the space is not empty"))
}

impl Method for SaddleFree {
    fn step(&mut self, values: &mut [Tensor], objective: &mut dyn Objective, factor: f64) -> Result<f64> {
        let (loss, gradient) = objective.gradient(values, Sample::Batch)?;
        let gradient = filled(&gradient, values)?;
        let norm = dot(&gradient, &gradient)?;
        if norm > 0.0 && norm.is_finite() {
            let d = direction(values, &gradient, objective)?;
            // The full step where it is short, else one of the groups' rates.
            let short = self.groups.iter().zip(&d).map(|(group, d)| {
                let rms = (dot(std::slice::from_ref(d), std::slice::from_ref(d))? / d.len().max(1) as f64).sqrt();
                Ok(rms <= group.rate * factor)
            });
            match short.collect::<Result<Vec<bool>>>()?.contains(&false) {
                false => {
                    let next = add_scaled(values, -1.0, &d)?;
                    for ((value, next), group) in values.iter_mut().zip(next).zip(&self.groups) {
                        *value = within(group, next)?;
                    }
                }
                true => normalized_step(&self.groups, values, &d, factor)?,
            }
        }
        Ok(loss)
    }

    fn for_groups(&mut self, change: &mut dyn FnMut(&mut Group)) {
        self.groups.iter_mut().for_each(change);
    }

    fn state(&self) -> State {
        State::default()
    }

    fn load_state(&mut self, _: &State) {}
}
