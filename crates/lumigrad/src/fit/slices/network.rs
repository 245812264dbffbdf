//! The networks that slices are fitted by.

use crate::Result;
use crate::fields::residual::Residual;
use lumigrad_core::map::Expr;
use lumigrad_core::ops::pointwise;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Derivatives, Field, Jet, Model, Parameter};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Loss of OReX: slopes of the logits above this cost so much.
const STEEPEST: f64 = 100.0;
const STEEP_COST: f64 = 1e-4;

/// Points [N, 3], and labels [N, 1]: 0 inside, 1 outside.
pub struct Known {
    pub points: Var,
    pub labels: Var,
    /// Width of the change from inside to outside, for fields that are distances.
    pub softness: f64,
}

/// A network, negative inside.
pub enum Network {
    /// A field that is made to be like a distance, and smooth.
    Smooth {
        field: Field,
        /// What bending costs.
        smoothness: f64,
    },
    /// The network of OReX, whose last result is the logit of being outside.
    Orex(Residual),
}

impl Network {
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        match self {
            Network::Smooth { field, .. } => Ok(field.start(seed, device)?),
            Network::Orex(residual) => Ok(residual.start(seed, device)?),
        }
    }

    /// The loss at points whose labels are known, and at `free` points [M, 3].
    pub fn loss(&self, parameters: &[Var], known: &Known, free: &Var) -> Result<Var> {
        match self {
            Network::Smooth { field, smoothness } => {
                let found = field.value(parameters, &known.points)?.scale(1.0 / known.softness)?;
                let jet = field.jet(parameters, free, &Arc::new(Derivatives::hessian(3)))?;
                let slope = slope("fit/slices distance", &jet, |n| (n - 1.0).square())?.scale(SLOPE_COST)?;
                Ok(entropy(&found, &known.labels)?.add(&slope)?.add(&bend(&jet)?.scale(*smoothness)?)?)
            }
            Network::Orex(residual) => {
                let jets = residual.jets(parameters, &known.points, &Arc::new(Derivatives::none()))?;
                let share = 1.0 / jets.len() as f64;
                let steep = residual.jets(parameters, free, &Arc::new(Derivatives::gradient(3)))?;
                let last = steep.last().expect("there are iterations");
                let mut loss = slope("fit/slices steep", last, |n| (n - STEEPEST).max(0.0))?.scale(STEEP_COST)?;
                for jet in &jets {
                    loss = loss.add(&entropy(jet.value(), &known.labels)?.scale(share)?)?;
                }
                Ok(loss)
            }
        }
    }

    /// Streams at points [N, 3].
    pub fn jet(&self, parameters: &[Var], points: &Var, derivatives: &Arc<Derivatives>) -> lumigrad_field::Result<Jet> {
        match self {
            Network::Smooth { field, .. } => field.jet(parameters, points, derivatives),
            Network::Orex(residual) => residual.jet(parameters, points, derivatives),
        }
    }

    /// The file of it.
    pub fn to_bytes(&self, values: &[Tensor], facts: BTreeMap<String, String>) -> Result<Vec<u8>> {
        match self {
            Network::Smooth { field, .. } => {
                Ok(Model { field: field.clone(), values: values.to_vec(), facts }.to_bytes()?)
            }
            Network::Orex(residual) => Ok(residual.to_bytes(values, &facts)?),
        }
    }
}

/// What a slope other than 1 costs.
const SLOPE_COST: f64 = 0.5;

/// Mean cross-entropy of logits against labels.
fn entropy(logits: &Var, labels: &Var) -> Result<Var> {
    Ok(pointwise("fit/slices label", &[logits, labels], |x| x[0].softplus() - x[1] * x[0])?.mean()?)
}

/// Mean square of the second derivatives. The Laplacian's square would do in empty space, but draws surfaces into necks
/// between planes: minimal surfaces have none.
fn bend(jet: &Jet) -> Result<Var> {
    let pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)];
    let second = pairs.into_iter().map(|(k, l)| Ok(jet.second(k, l)?)).collect::<Result<Vec<_>>>()?;
    let second: Vec<&Var> = second.iter().collect();
    let square = |h: &[Expr]| {
        h.iter().take(3).map(|&h| h * h).sum::<Expr>() + 2.0 * h.iter().skip(3).map(|&h| h * h).sum::<Expr>()
    };
    Ok(pointwise("fit/slices bend", &second, square)?.mean()?)
}

/// Mean of a function of the gradient's length.
fn slope(name: &str, jet: &Jet, cost: fn(Expr) -> Expr) -> Result<Var> {
    let [x, y, z] = [jet.first(0)?, jet.first(1)?, jet.first(2)?];
    // The root has no derivative at 0.
    let length = |g: &[Expr]| (g[0] * g[0] + g[1] * g[1] + g[2] * g[2] + 1e-8).sqrt();
    Ok(pointwise(name, &[&x, &y, &z], |g| cost(length(g)))?.mean()?)
}
