//! Mixtures estimated from pictures.

use super::{Component, Covariance, Mixture, Pictures, cosine_transform};
use crate::{Error, Result, View};
use faer::{Mat, Side};
use lumigrad_core::{Device, Tensor, Var};

/// In what terms pictures vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// This many principal directions of each component, all others alike.
    Principal(usize),
    /// Cosines, independent of each other.
    Cosine,
}

/// Pictures that make one component.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Pictures [height, width, channels] in the prior's range.
    pub pictures: Vec<Vec<f32>>,
    /// What they show.
    pub label: Option<usize>,
    /// From where.
    pub view: Option<View>,
}

/// Smallest variance of a direction, relative to the squared range: pictures are known to 8 bits at best.
const FLOOR: f64 = 1.0 / (255.0 * 255.0);

impl Samples {
    /// The Gaussian of largest likelihood in a basis; weight is the number of pictures.
    fn component(&self, size: [usize; 2], channels: usize, basis: Basis, floor: f64) -> Result<Component> {
        let d = size[0] * size[1] * channels;
        let n = self.pictures.len();
        if n < 2 {
            let whose = self.label.map(|l| format!(" of label {l}")).unwrap_or_default();
            return Err(Error::Setting(format!(
                "a Gaussian needs at least 2 pictures{whose}, found {n}; add pictures"
            )));
        }
        if let Some(p) = self.pictures.iter().find(|p| p.len() != d || p.iter().any(|x| !x.is_finite())) {
            return Err(Error::shape("a sample", &[p.len()], format!("{d} finite values ({size:?}, {channels})")));
        }
        let mut mean = vec![0.0; d];
        for p in &self.pictures {
            mean.iter_mut().zip(p).for_each(|(m, x)| *m += *x as f64 / n as f64);
        }
        let off: Vec<f64> =
            self.pictures.iter().flat_map(|p| p.iter().zip(&mean).map(|(x, m)| *x as f64 - m)).collect();
        let covariance = match basis {
            Basis::Cosine => cosine(&off, n, size, channels, floor)?,
            Basis::Principal(rank) => principal(off, n, d, rank, floor)?,
        };
        Ok(Component { weight: n as f64, label: self.label, view: self.view, mean, covariance })
    }
}

fn cosine(off: &[f64], n: usize, [h, w]: [usize; 2], channels: usize, floor: f64) -> Result<Covariance> {
    let pictures = Var::from(Tensor::from_slice(&Device::cpu(), off, &[n, h, w, channels])?);
    let squares = cosine_transform(&pictures)?.square()?.mean_axis(0)?;
    let variances = squares.tensor().to_vec::<f64>()?.into_iter().map(|v| v.max(floor)).collect();
    Ok(Covariance::Cosine { variances })
}

/// The principal directions of rows, from the smaller of the covariance and of the products of rows.
fn principal(off: Vec<f64>, n: usize, d: usize, rank: usize, floor: f64) -> Result<Covariance> {
    let rank = rank.min(d);
    let total = off.iter().map(|x| x * x).sum::<f64>() / n as f64;
    let rows = Var::from(Tensor::from_slice(&Device::cpu(), &off, &[n, d])?);
    let (wide, m) = (d <= n, d.min(n));
    let products = lumigrad_core::ops::matmul_with(&rows, wide, &rows, !wide)?.tensor().to_vec::<f64>()?;
    let matrix = Mat::from_fn(m, m, |i, j| products[i * m + j] / n as f64);
    let failed = |_| Error::Setting("the covariance of the pictures has no eigenvalues".into());
    let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let (mut directions, mut variances) = (vec![0.0; d * rank], vec![0.0; rank]);
    for k in 0..rank.min(m) {
        let from = m - 1 - k; // they come in ascending order
        variances[k] = values[from];
        if !(values[from] > 1e-12 * total) {
            variances[k] = 0.0;
            continue; // a direction in which nothing varies stays zero
        }
        for i in 0..d {
            directions[i * rank + k] = match wide {
                true => vectors[(i, from)],
                false => {
                    (0..n).map(|j| off[j * d + i] * vectors[(j, from)]).sum::<f64>() / (n as f64 * values[from]).sqrt()
                }
            };
        }
    }
    let known: f64 = variances.iter().sum();
    let residual = if rank < d { ((total - known) / (d - rank) as f64).max(floor) } else { floor };
    // A direction that is zero must not count: with λ = ρ it does not.
    variances.iter_mut().for_each(|v| *v = v.max(residual));
    Ok(Covariance::Principal { directions, variances, residual })
}

impl Mixture {
    /// The mixture with one Gaussian of largest likelihood for each set of samples.
    ///
    /// Variances are at least that of 8 bits. **Errors**: fewer than two pictures in a set; pictures of another size.
    /// **Cost**: the cube of the smaller of D and the number of pictures.
    pub fn estimate(pictures: Pictures, basis: Basis, sets: &[Samples]) -> Result<Self> {
        let floor = FLOOR * (pictures.range[1] - pictures.range[0]).powi(2);
        let one = |s: &Samples| s.component(pictures.size, pictures.channels, basis, floor);
        let components = sets.iter().map(one).collect::<Result<Vec<_>>>()?;
        Self::new(pictures, components)
    }

    /// The best Gaussian: mean and full covariance of pictures, what trained priors have to beat. Variances are at least that
    /// of rounding to 8 bits.
    pub fn best_gaussian(pictures: Pictures, samples: Vec<Vec<f32>>) -> Result<Self> {
        let d = pictures.size[0] * pictures.size[1] * pictures.channels;
        let samples = Samples { pictures: samples, ..Default::default() };
        let rounding = FLOOR / 12.0 * (pictures.range[1] - pictures.range[0]).powi(2);
        let component = samples.component(pictures.size, pictures.channels, Basis::Principal(d), rounding)?;
        Self::new(pictures, vec![component])
    }
}
