//! Two priors at once: how far one may outweigh the other where an object is seen from (Shen et al. 2024, Vista3D).

use super::Guided;
use super::watch::norms;
use crate::{Error, Result, combine};
use lumigrad_core::{Tensor, Var};

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
    /// Checks that there are ratios between the bounds, all through a run.
    ///
    /// # Errors
    /// Bounds below 0, not finite, or with the lower one above the upper one.
    pub fn check(&self) -> Result<()> {
        let good = |k: usize| self.lower[k] >= 0.0 && self.lower[k] <= self.upper[k] && self.upper[k].is_finite();
        match good(0) && good(1) {
            true => Ok(()),
            false => Err(Error::Setting(format!(
                "ratios from {:?} to {:?} (at the start and at the end): expected 0 ≤ lower ≤ upper",
                self.lower, self.upper
            ))),
        }
    }

    /// Least and largest ratio at `progress` for a view at η = (1 + cos Δθ)/2, Δθ its angle to the reference's.
    ///
    /// η is 1 at the reference view: near it (η > ¾) the upper bound falls with 1 − η, away from it (η < ½) the lower bound holds.
    pub fn at(&self, progress: f64, eta: f64) -> [f64; 2] {
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

/// The pulls of two priors as one: (1 − η)·b + η·p, where p is that of `other` and b that of `aware`, a prior that sees views,
/// rescaled so that |b|/|p| is within `bounds` at `progress`.
///
/// `cosines` are those of each picture's angle to the reference view, where η = (1 + cosine)/2 is 1: behind the object, where a
/// prior that knows of no views would paint another front, the one that sees views rules. At the reference view it is silent.
/// The verdict is the worse one. **Errors**: pulls of other shapes; another number of cosines.
pub fn composed(
    aware: &Guided,
    other: &Guided,
    bounds: &AngularBounds,
    cosines: &[f64],
    progress: f64,
) -> Result<Guided> {
    let eta: Vec<f64> = cosines.iter().map(|c| 0.5 * (1.0 + c.clamp(-1.0, 1.0))).collect();
    let away: Vec<f64> = eta.iter().map(|eta| 1.0 - eta).collect();
    let each: Vec<[f64; 2]> = eta.iter().map(|eta| bounds.at(progress, *eta)).collect();
    let pull = bounded(&aware.cotangent, &other.cotangent, &each)?;
    let terms: [(&Var, &[f64]); 2] = [(&pull.into(), &away), (&other.cotangent.clone().into(), &eta)];
    let cotangent = combine(&terms)?.tensor().clone();
    Ok(Guided {
        norms: norms(&cotangent, cosines.len())?,
        cotangent,
        levels: other.levels.clone(),
        student_loss: other.student_loss,
        verdict: aware.verdict.max(other.verdict),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::Verdict;
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
        assert!(bounds.at(0.3, 1.0)[1] < 1e-9);
        assert_eq!(bounds.at(0.0, 0.0), [10.0, 100.0]);
        assert_eq!(bounds.at(1.0, 0.0), [1.0, 10.0]);
        assert_eq!(bounds.at(1.0, 0.7), [0.0, 10.0]);
        assert_eq!(bounds.at(0.5, 0.8), [0.0, 55.0 * (1.0 - 0.8)]);
        assert!(bounds.check().is_ok());
        for wrong in [[[1.0, 2.0], [3.0, 0.0]], [[1.0, f64::INFINITY], [0.0, 0.0]], [[1.0, 1.0], [-1.0, 0.0]]] {
            assert!(AngularBounds { upper: wrong[0], lower: wrong[1] }.check().is_err(), "{wrong:?}");
        }
    }

    fn guided(values: &[f64], verdict: Verdict) -> Guided {
        let n = values.len() / 2;
        let cotangent = Tensor::from_slice(&Device::cpu(), values, &[n, 2]).unwrap();
        Guided { norms: norms(&cotangent, n).unwrap(), cotangent, levels: vec![], student_loss: None, verdict }
    }

    #[test]
    fn two_pulls_are_one_by_where_they_look_from() {
        // At the reference, aside (no lower bound), behind, and behind where nothing else pulls.
        let aware = guided(&[3.0, 4.0, 3.0, 4.0, 0.0, 0.5, 3.0, 4.0], Verdict::Zeroed);
        let other = guided(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0], Verdict::Fine);
        let cosines = [1.0, 0.2, -1.0, -1.0];
        let found = composed(&aware, &other, &AngularBounds::default(), &cosines, 0.0).unwrap();
        let expected = [1.0, 0.0, 0.4 * 3.0 + 0.6, 0.4 * 4.0, 0.0, 10.0, 3.0, 4.0];
        let values = found.cotangent.to_vec::<f64>().unwrap();
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{values:?}");
        assert!((found.norms[2] - 10.0).abs() < 1e-12 && found.verdict == Verdict::Zeroed);
        // At the end of a run a tenth of that is enough behind.
        let found = composed(&aware, &other, &AngularBounds::default(), &cosines, 1.0).unwrap();
        assert!((found.norms[2] - 1.0).abs() < 1e-12, "{:?}", found.norms);
        assert!(composed(&aware, &other, &AngularBounds::default(), &[1.0; 3], 0.0).is_err());
    }
}
