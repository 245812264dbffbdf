//! Normals and curvatures of solids: by differentiation, and by polynomials fitted around each point.

use super::solid::Solid;
use crate::Result;
use lumigrad_core::{Tensor, Var, ops};
use lumigrad_field::{Derivatives, Encoding, PolyFit, surface};
use std::sync::Arc;

/// Evaluations at a time.
const CHUNK: usize = 1 << 18;
/// Samples of the operator that gives normals alone.
const SLOPE_SAMPLES: usize = 64;
/// Samples of the operator that gives curvatures, where nothing else is said.
pub const SAMPLES: usize = 64;

/// Deviation of the fitted operator in the domain, for fields that are smooth.
pub const SMOOTH: f64 = 0.01;

/// Deviation that suits an encoding: about a cell of the finest grid.
pub fn usual_sigma(encoding: &Encoding) -> f64 {
    if let Encoding::Grid(grid) = encoding { 2.0 / grid.finest_resolution() } else { SMOOTH }
}

/// How derivatives are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivation {
    /// By the chain rule.
    Ad,
    /// By the fitted operator (Chetan et al. 2025), which sees through the roughness of grids.
    PolyFit,
}

/// Derivations by the words of jobs.
pub const DERIVATIONS: &[&str] = &["polyfit", "ad"];

impl Derivation {
    /// By its word.
    pub fn from_name(name: &str) -> Self {
        if name == "ad" { Self::Ad } else { Self::PolyFit }
    }
}

/// The operators of a deviation.
pub struct Operators {
    /// Of degree 2.
    fit: PolyFit,
    samples: usize,
    /// Of degree 1, for normals alone.
    slope: PolyFit,
    sigma: f64,
}

impl Operators {
    /// With fitted operators of this deviation in the domain, the one of degree 2 with so many samples.
    ///
    /// # Errors
    /// A deviation that is not positive, too few samples.
    pub fn new(sigma: f64, samples: usize, seed: u64) -> Result<Self> {
        let slope = PolyFit::new(3, 1, sigma, SLOPE_SAMPLES, seed)?;
        Ok(Self { fit: PolyFit::new(3, 2, sigma, samples, seed)?, samples, slope, sigma })
    }

    /// Deviation of the offsets.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// Gradients [N, 3] and mean curvatures [N, 1], in the domain's units, at points [N, 3].
    pub fn both(&self, solid: &Solid, how: Derivation, points: &Var) -> Result<[Tensor; 2]> {
        let (gradient, hessian) = match how {
            Derivation::Ad => {
                let jet = solid.jet(points, &Arc::new(Derivatives::hessian(3)))?;
                (surface::gradient(&jet)?, surface::hessian(&jet)?)
            }
            Derivation::PolyFit => {
                let found = self.fit.apply(|p| value(solid, p), points)?;
                (found.gradient, found.hessian.expect("of degree 2"))
            }
        };
        let curvature = surface::mean_curvature(&gradient, &hessian)?;
        Ok([gradient.tensor().clone(), curvature.tensor().clone()])
    }

    /// Unit normals at points of three numbers each.
    pub fn normals(&self, solid: &Solid, how: Derivation, points: &[f32]) -> Result<Vec<[f32; 3]>> {
        if how == Derivation::Ad {
            return differentiated(solid, points);
        }
        let gradients = chunked(solid, points, SLOPE_SAMPLES, |points| {
            Ok(self.slope.apply(|p| value(solid, p), points)?.gradient.tensor().to_vec()?)
        })?;
        Ok(gradients.chunks_exact(3).map(unit).collect())
    }

    /// Mean curvatures at points of three numbers each, in one over the world's units.
    pub fn curvatures(&self, solid: &Solid, how: Derivation, points: &[f32]) -> Result<Vec<f32>> {
        let cost = if how == Derivation::Ad { 10 } else { self.samples };
        let found = chunked(solid, points, cost, |points| Ok(self.both(solid, how, points)?[1].to_vec()?))?;
        Ok(found.into_iter().map(|h| (f64::from(h) / solid.place.scale) as f32).collect())
    }
}

/// Unit normals by differentiation at points of three numbers each.
pub fn differentiated(solid: &Solid, points: &[f32]) -> Result<Vec<[f32; 3]>> {
    let gradient = Arc::new(Derivatives::gradient(3));
    let gradients = chunked(solid, points, gradient.n_streams(), |points| {
        Ok(surface::gradient(&solid.jet(points, &gradient)?)?.tensor().to_vec()?)
    })?;
    Ok(gradients.chunks_exact(3).map(unit).collect())
}

/// The field and its gradient, (f, ∂x, ∂y, ∂z), by differentiation at points of three numbers each.
pub fn tangents(solid: &Solid, points: &[f32]) -> Result<Vec<[f32; 4]>> {
    let gradient = Arc::new(Derivatives::gradient(3));
    let found = chunked(solid, points, gradient.n_streams(), |points| {
        let jet = solid.jet(points, &gradient)?;
        Ok(ops::concat(&[jet.value(), &surface::gradient(&jet)?], 1)?.tensor().to_vec()?)
    })?;
    Ok(found.as_chunks().0.to_vec())
}

fn value(solid: &Solid, points: &Var) -> lumigrad_field::Result<Var> {
    Ok(solid.jet(points, &Arc::new(Derivatives::none()))?.value().clone())
}

/// What `of` gives at points of three numbers each, as many at a time as `cost` evaluations of each allow.
fn chunked(
    solid: &Solid,
    points: &[f32],
    cost: usize,
    mut of: impl FnMut(&Var) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let mut found = vec![];
    for chunk in points.chunks(3 * (CHUNK / cost).max(1)) {
        found.extend(of(&Tensor::from_slice(solid.device(), chunk, &[chunk.len() / 3, 3])?.into())?);
    }
    Ok(found)
}

/// A vector of length one.
pub fn unit(v: &[f32]) -> [f32; 3] {
    let length = v.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-20);
    [v[0] / length, v[1] / length, v[2] / length]
}
