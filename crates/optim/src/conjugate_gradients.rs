//! Conjugate gradients (Hestenes & Stiefel 1952), without a matrix.

use crate::Result;
use crate::vectors::{add_scaled, dot};
use lumigrad_core::Tensor;

/// Goes on from x, with the residual r = b − A x, until r·M⁻¹r is at most `goal` of its first value, or after `most`
/// iterations; gives x and the iterations. `apply` is A, `precondition` M⁻¹.
///
/// Ends early on curvature that is not positive; x decreases the energy ½xᵀAx − bᵀx in each iteration.
///
/// # Errors
/// Those of both operators.
pub fn conjugate_gradients(
    mut x: Vec<Tensor>,
    mut r: Vec<Tensor>,
    apply: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
    precondition: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
    goal: impl FnOnce(f64) -> f64,
    most: usize,
) -> Result<(Vec<Tensor>, usize)> {
    let mut p = precondition(&r)?;
    let mut rz = dot(&r, &p)?;
    let goal = goal(rz).max(0.0);
    for iteration in 0..most {
        if rz <= goal || rz.is_nan() {
            return Ok((x, iteration));
        }
        let image = apply(&p)?;
        let curvature = dot(&p, &image)?;
        if curvature <= 0.0 || curvature.is_nan() {
            return Ok((x, iteration));
        }
        let step = rz / curvature;
        x = add_scaled(&x, step, &p)?;
        r = add_scaled(&r, -step, &image)?;
        let z = precondition(&r)?;
        let next = dot(&r, &z)?;
        p = add_scaled(&z, next / rz, &p)?;
        rz = next;
    }
    Ok((x, most))
}
