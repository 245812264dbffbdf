//! Two priors at once: how far one may outweigh the other where an object is seen from (Shen et al. 2024, Vista3D).

use super::watch::norms;
use crate::{Error, Result, combine};
use lumigrad_core::Tensor;

/// Bounds of |pull| over |reference| that change along a run and with the view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AngularBounds {
    /// Largest ratio at the start and at the end of a run.
    pub upper: [f64; 2],
    /// Least ratio at the start and at the end.
    pub lower: [f64; 2],
}

impl Default for AngularBounds {
    fn default() -> Self {
        Self { upper: [100.0, 10.0], lower: [10.0, 1.0] }
    }
}

impl AngularBounds {
    /// Least and largest ratio at `progress` for a view that is `angle` radians from the reference's.
    ///
    /// η = (1 + cos angle)/2 is 1 at the reference view: near it (η > ¾) the upper bound falls with 1 − η, away from it (η < ½)
    /// the lower bound holds.
    pub fn at(&self, progress: f64, angle: f64) -> [f64; 2] {
        let eta = 0.5 * (1.0 + angle.cos());
        let between = |[a, b]: [f64; 2]| a + (b - a) * progress.clamp(0.0, 1.0);
        let upper = between(self.upper) * if eta > 0.75 { 1.0 - eta } else { 1.0 };
        let lower = if eta < 0.5 { between(self.lower) } else { 0.0 };
        [lower.min(upper), upper]
    }
}

/// Pulls [n, …] scaled picture by picture so that their norms over those of `reference` are within `bounds`.
///
/// A pull or a reference that vanishes has no ratio: the pull stays as it is. Norms are read back.
/// **Errors**: other shapes; numbers of bounds other than one for all or one for each.
pub fn bounded(pull: &Tensor, reference: &Tensor, bounds: &[[f64; 2]]) -> Result<Tensor> {
    let n = pull.shape().first().copied().unwrap_or(1);
    if pull.shape() != reference.shape() {
        return Err(Error::shape("the reference pull", reference.shape(), format!("{:?} (pull)", pull.shape())));
    }
    if bounds.len() != 1 && bounds.len() != n {
        return Err(Error::shape("bounds", &[bounds.len()], format!("1 or {n} (pictures)")));
    }
    let (own, other) = (norms(pull, n)?, norms(reference, n)?);
    let factor = |i: usize| {
        let [lower, upper] = *crate::of_picture(bounds, i);
        match own[i] > 0.0 && other[i] > 0.0 && (own[i] / other[i]).is_finite() {
            true => (own[i] / other[i]).max(lower).min(upper) * other[i] / own[i],
            false => 1.0,
        }
    };
    let factors: Vec<f64> = (0..n).map(factor).collect();
    Ok(combine(&[(&pull.clone().into(), &factors)])?.tensor().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::Device;

    #[test]
    fn ratios_end_up_within_their_bounds() {
        let tensor = |v: &[f64]| Tensor::from_slice(&Device::cpu(), v, &[4, 2]).unwrap();
        let pull = tensor(&[300.0, 400.0, 0.3, 0.4, 3.0, 4.0, 0.0, 0.0]);
        let reference = tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
        let found = bounded(&pull, &reference, &[[1.0, 10.0]]).unwrap().to_vec::<f64>().unwrap();
        let expected = [6.0, 8.0, 0.6, 0.8, 3.0, 4.0, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
        // No reference, no ratio.
        let zero = tensor(&[0.0; 8]);
        assert_eq!(
            bounded(&pull, &zero, &[[1.0, 10.0]]).unwrap().to_vec::<f64>().unwrap(),
            pull.to_vec::<f64>().unwrap()
        );
        assert!(bounded(&pull, &zero, &[[1.0, 2.0]; 3]).is_err());
    }

    #[test]
    fn at_the_reference_view_the_other_prior_is_silent() {
        let bounds = AngularBounds::default();
        assert!(bounds.at(0.3, 0.0)[1] < 1e-9);
        assert_eq!(bounds.at(0.0, std::f64::consts::PI), [10.0, 100.0]);
        assert_eq!(bounds.at(1.0, std::f64::consts::PI), [1.0, 10.0]);
        assert_eq!(bounds.at(1.0, 1.2), [0.0, 10.0]);
    }
}
