//! Priors in closed form: mixtures of Gaussians over whole pictures.
//!
//! They are what every method here is checked with, the best Gaussian that trained priors are compared with, and, with
//! components per label and view, small priors in their own right.

mod cosine;
mod estimate;
mod file;
mod predict;
#[cfg(test)]
mod tests;

pub(crate) use cosine::matrix as cosine_matrix;
pub use cosine::{cosine_transform, inverse_cosine_transform};
pub use estimate::{Basis, Samples};
pub use file::Precision;

use crate::{Capability, Condition, DiffusionPrior, Error, Level, Parameterisation, PriorInfo, Result, Schedule};
use crate::{Subject, View, of_picture};
use lumigrad_core::Tensor;
use predict::Cache;

/// How pictures of a component vary.
#[derive(Clone, Debug, PartialEq)]
pub enum Covariance {
    /// Σ = ρ·I + U·diag(λ − ρ)·Uᵀ: r principal directions, everything else alike (Tipping & Bishop 1999).
    Principal {
        /// Orthonormal columns [D, r], row by row.
        directions: Vec<f64>,
        /// Variances λ along them \[r\].
        variances: Vec<f64>,
        /// Variance ρ along all others.
        residual: f64,
    },
    /// Independent coefficients of the orthonormal cosine transform (DCT-II over both sides, channel by channel).
    Cosine {
        /// Variances of the coefficients [height, width, channels].
        variances: Vec<f64>,
    },
}

/// A Gaussian over pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its part of the mixture; parts need not add up to 1.
    pub weight: f64,
    /// What its pictures show.
    pub label: Option<usize>,
    /// From where.
    pub view: Option<View>,
    /// Mean picture [height, width, channels], D numbers.
    pub mean: Vec<f64>,
    /// Its covariance.
    pub covariance: Covariance,
}

/// What pictures a mixture is over.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// What messages call the prior.
    pub name: String,
    /// Height and width.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Darkest and brightest value.
    pub range: [f64; 2],
    /// Names of labels.
    pub labels: Vec<String>,
    /// κ of views, about 1/δ² for components δ radians apart.
    pub concentration: f64,
}

impl Pictures {
    /// Pictures in [−1, 1] without labels.
    pub fn new(name: &str, size: [usize; 2], channels: usize) -> Self {
        Self { name: name.into(), size, channels, range: [-1.0, 1.0], labels: vec![], concentration: 0.0 }
    }
}

/// A mixture of Gaussians over pictures of one size: an exact [`DiffusionPrior`].
///
/// ε̂(x_t) = Σ r_k ε̂_k with ε̂_k = σ(a²Σ_k + σ²I)⁻¹(x_t − aμ_k) and r_k ∝ π_k N(x_t; aμ_k, a²Σ_k + σ²I). A label leaves the
/// components of that label; a view weights those with a view by exp(κ(cos δ − 1)), δ the angle between the directions.
///
/// **Cost**: K·n·D·r multiplications and memory for K·n·D numbers, K components that a condition leaves.
#[derive(Debug)]
pub struct Mixture {
    info: PriorInfo,
    components: Vec<Component>,
    concentration: f64,
    cache: Cache,
}

impl Mixture {
    /// A mixture over pictures.
    ///
    /// # Errors
    /// No components; other lengths than D; covariances of different kinds or ranks; variances that are not positive;
    /// labels without a name.
    pub fn new(pictures: Pictures, components: Vec<Component>) -> Result<Self> {
        let Pictures { name, size, channels, range, labels, concentration } = pictures;
        let bad = |reason: String| Error::Setting(format!("{name}: {reason}"));
        let d = size[0].saturating_mul(size[1]).saturating_mul(channels);
        let Some(first) = components.first() else { return Err(bad("a mixture needs a component".into())) };
        if d == 0 || !(range[0] < range[1]) || !range.iter().all(|x| x.is_finite()) {
            return Err(bad(format!("pictures of size {size:?}, {channels} channels, range {range:?} do not exist")));
        }
        for (k, c) in components.iter().enumerate() {
            let (fits, positive) = match &c.covariance {
                Covariance::Principal { directions, variances, residual } => (
                    directions.len() == d * variances.len(),
                    *residual > 0.0 && variances.iter().all(|v| *v > 0.0 && v.is_finite()),
                ),
                Covariance::Cosine { variances } => {
                    (variances.len() == d, variances.iter().all(|v| *v > 0.0 && v.is_finite()))
                }
            };
            if c.mean.len() != d || !fits || c.covariance.rank() != first.covariance.rank() {
                return Err(bad(format!("component {k} does not have {d} pixel values and the rank of component 0")));
            }
            if !positive || !(c.weight > 0.0) || !c.mean.iter().all(|x| x.is_finite()) {
                return Err(bad(format!("component {k} has a weight or variance that is not positive, or no mean")));
            }
            if c.label.is_some_and(|l| l >= labels.len()) {
                return Err(bad(format!("component {k} has label {:?} of {}", c.label, labels.len())));
            }
        }
        let mut capabilities = vec![Capability::Adapt, Capability::Density];
        if !labels.is_empty() {
            capabilities.push(Capability::Labels);
        }
        if components.iter().any(|c| c.view.is_some()) {
            capabilities.push(Capability::Views);
        }
        let info = PriorInfo {
            name,
            size: Some(size),
            made_for: None,
            multiple: 1,
            pixels: 1,
            channels,
            range,
            labels,
            schedule: Schedule::Cosine,
            parameterisation: Parameterisation::Noise,
            capabilities,
        };
        Ok(Self { info, components, concentration: concentration.max(0.0), cache: Cache::default() })
    }

    /// Its components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// κ of views.
    pub fn concentration(&self) -> f64 {
        self.concentration
    }

    /// Numbers of a picture.
    pub fn dimensions(&self) -> usize {
        self.components[0].mean.len()
    }

    /// Checks a prediction's inputs; logarithmic weights for each condition, none for no pictures.
    fn weights_of(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Vec<Vec<f64>>> {
        self.info.check("noisy pictures", noisy.shape())?;
        let n = noisy.shape()[0];
        self.info.check_entries("levels", n, levels.len())?;
        self.info.check_entries("conditions", n, conditions.len())?;
        if n == 0 {
            return Ok(vec![]);
        }
        conditions.iter().map(|c| self.log_weights(c)).collect()
    }

    /// Unnormalised logarithms of the components' weights under a condition, −∞ where it leaves them out.
    ///
    /// # Errors
    /// Conditions that leave none.
    pub(crate) fn log_weights(&self, condition: &Condition) -> Result<Vec<f64>> {
        self.info.check_condition(condition)?;
        let weight = |c: &Component| {
            let shown = match &condition.subject {
                Subject::Labels(wanted) => c.label.is_some_and(|l| wanted.contains(&l)),
                _ => true,
            };
            let turned = match (condition.view, c.view) {
                (Some(a), Some(b)) => self.concentration * (a.cosine(b) - 1.0),
                _ => 0.0,
            };
            if shown { c.weight.ln() + turned } else { f64::NEG_INFINITY }
        };
        let logs: Vec<f64> = self.components.iter().map(weight).collect();
        match logs.iter().any(|l| l.is_finite()) {
            true => Ok(logs),
            false => Err(Error::Condition(format!("{} has no pictures of {:?}", self.info.name, condition.subject))),
        }
    }
}

/// Entries for n pictures.
fn each(entries: &[Vec<f64>], n: usize) -> Vec<&[f64]> {
    (0..n).map(|i| &of_picture(entries, i)[..]).collect()
}

impl Covariance {
    /// Number of principal directions; `None` in the cosine basis.
    fn rank(&self) -> Option<usize> {
        match self {
            Self::Principal { variances, .. } => Some(variances.len()),
            Self::Cosine { .. } => None,
        }
    }
}

impl DiffusionPrior for Mixture {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        match self.weights_of(noisy, levels, conditions)? {
            weights if weights.is_empty() => Ok(noisy.clone()),
            weights => predict::predict(self, noisy, levels, &each(&weights, noisy.shape()[0])),
        }
    }

    fn log_density(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Vec<f64>> {
        match self.weights_of(noisy, levels, conditions)? {
            weights if weights.is_empty() => Ok(vec![]),
            weights => predict::log_density(self, noisy, levels, &each(&weights, noisy.shape()[0])),
        }
    }

    fn adapt(&self, _rank: usize, seed: u64) -> Result<Box<dyn crate::Student>> {
        Ok(Box::new(crate::distill::GaussianStudent::new(self.info.clone(), seed)))
    }
}
