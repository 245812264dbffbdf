//! Derivatives of a held-out loss by hyper-parameters, through the minimum of the training loss ("Optimizing Millions of
//! Hyperparameters by Implicit Differentiation", Lorraine et al. 2020).

use crate::Error;
use crate::vectors::{add_scaled, dot, scaled};
use lumigrad_core::Tensor;

/// Settings of [`inverse_hessian_product`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeumannOptions {
    /// Terms of the series after the first.
    pub terms: usize,
    /// Iterations that find H's largest eigenvalue.
    pub power_iterations: usize,
}

impl Default for NeumannOptions {
    fn default() -> Self {
        Self { terms: 20, power_iterations: 8 }
    }
}

/// H⁻¹v ≈ α Σⱼ (I − αH)ʲ v, for a positive semi-definite H given by its products: the Hessian of the training loss at its
/// minimum, or JᵀJ of its residuals. α = 1 / (1.1 λ_max), from power iteration on v.
///
/// For eigenvalues μ the error falls like (1 − αμ)^(terms + 1); directions with little curvature are cut off, which damps
/// them. **Cost**: `terms + power_iterations` products.
///
/// # Errors
/// Those of `product`; and curvature that is negative, where there is no minimum.
pub fn inverse_hessian_product<E: From<Error>>(
    v: &[Tensor],
    options: &NeumannOptions,
    mut product: impl FnMut(&[Tensor]) -> std::result::Result<Vec<Tensor>, E>,
) -> std::result::Result<Vec<Tensor>, E> {
    let (mut x, mut largest) = (v.to_vec(), 0.0f64);
    for _ in 0..options.power_iterations {
        let norm = dot(&x, &x)?.sqrt();
        if norm <= 0.0 || !norm.is_finite() {
            break;
        }
        x = scaled(1.0 / norm, &x)?;
        let image = product(&x)?;
        let curvature = dot(&x, &image)?;
        if curvature < 0.0 {
            let reason = format!("curvature of {curvature:.1e}: the training loss is not at a minimum");
            return Err(Error::Numeric { what: "implicit differentiation", reason }.into());
        }
        largest = largest.max(dot(&image, &image)?.sqrt());
        x = image;
    }
    if largest <= 0.0 {
        return Ok(scaled(0.0, v)?); // nothing depends on v
    }
    let alpha = 1.0 / (1.1 * largest);
    let mut term = v.to_vec();
    let mut sum = v.to_vec();
    for _ in 0..options.terms {
        term = add_scaled(&term, -alpha, &product(&term)?)?;
        sum = add_scaled(&sum, 1.0, &term)?;
    }
    Ok(scaled(alpha, &sum)?)
}

/// dL_v/dφ for a weight φ of a regulariser R in the training loss L_t + φR: −∇L_vᵀ H⁻¹ ∇R at the minimum over what is
/// optimised. `product` is that of the Hessian of the whole training loss.
///
/// # Errors
/// As [`inverse_hessian_product`].
pub fn weight_derivative<E: From<Error>>(
    held_out: &[Tensor],
    regulariser: &[Tensor],
    options: &NeumannOptions,
    product: impl FnMut(&[Tensor]) -> std::result::Result<Vec<Tensor>, E>,
) -> std::result::Result<f64, E> {
    Ok(-dot(&inverse_hessian_product(held_out, options, product)?, regulariser)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::Device;

    /// Ridge regression with a diagonal design: aₖ²θₖ + φθₖ = aₖbₖ, so that everything is known.
    const A: [f64; 4] = [1.0, 0.8, 0.5, 0.4];
    const B: [f64; 4] = [1.0, -2.0, 0.7, 3.0];
    const PHI: f64 = 0.3;

    fn theta(phi: f64) -> [f64; 4] {
        std::array::from_fn(|k| A[k] * B[k] / (A[k] * A[k] + phi))
    }

    /// ½‖θ − (1, 1, 1, 1)‖².
    fn held_out(phi: f64) -> f64 {
        theta(phi).iter().map(|t| 0.5 * (t - 1.0).powi(2)).sum()
    }

    #[test]
    fn ridge_regression_has_its_exact_derivative_and_the_error_falls_geometrically() {
        let column = |x: [f64; 4]| [Tensor::from_slice(&Device::cpu(), &x, &[4]).unwrap()];
        let hessian = column(A.map(|a| a * a + PHI));
        let product = |v: &[Tensor]| crate::vectors::product(1.0, &hessian, v);
        let (t, h) = (theta(PHI), 1e-5);
        let exact = (held_out(PHI + h) - held_out(PHI - h)) / (2.0 * h);
        let found = |terms: usize| {
            let options = NeumannOptions { terms, power_iterations: 40 };
            weight_derivative(&column(t.map(|t| t - 1.0)), &column(t), &options, product).unwrap()
        };
        let (few, many) = ((found(8) - exact).abs(), (found(16) - exact).abs());
        // The slowest direction has curvature 0.46 of 1.3 · 1.1.
        let rate: f64 = 1.0 - (A[3] * A[3] + PHI) / (1.1 * 1.3);
        assert!((many / few / rate.powi(8) - 1.0).abs() < 0.1, "{few} {many}");
        assert!((found(200) / exact - 1.0).abs() < 1e-7, "{} for {exact}", found(200));
        let saddle = |v: &[Tensor]| crate::vectors::scaled(-1.0, v);
        assert!(inverse_hessian_product(&column(t), &NeumannOptions::default(), saddle).is_err());
    }
}
