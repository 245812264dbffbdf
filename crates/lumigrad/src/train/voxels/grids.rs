//! Voxel grids of density and colour (DVGO, Sun et al. 2022).

use super::super::radiance::Medium;
use crate::Result;
use lumigrad_core::{CallParams, DType, Device, Map, Tensor, Var, ops};
use lumigrad_field::{Activation, Derivatives, Description, Encoding, Jet, Mlp, Omega, Parameter, init};
use lumigrad_voxel::Lattice;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A grid of densities before their activation, and one of features, of which the first three are a colour's logits that
/// a small network, if there is one, adds to by what it sees of all features and of the direction.
///
/// σ = scale · ln(1 + exp(d + shift)) of interpolated d (post-activation): one cell can hold a sharp surface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grids {
    /// The corners that both grids have.
    pub lattice: Lattice,
    /// Numbers at a corner beside the density: 3 at least.
    pub features: usize,
    /// Units of a hidden layer of the network, and hidden layers; 0: there is none.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Degree of the spherical harmonics of directions.
    pub degree: usize,
    /// Added to the density before its activation.
    pub shift: f64,
    /// Factor of the density, per unit of the cube.
    pub scale: f64,
    /// Samples of less weight are not looked at.
    pub least_weight: f64,
}

/// Names of its arrays.
pub const DENSITY: &str = "density";
const FEATURES: &str = "features";
const NETWORK: &str = "colour.";

impl Grids {
    fn directions(&self) -> Encoding {
        Encoding::SphericalHarmonics { degree: self.degree }
    }

    fn network(&self) -> Option<Mlp> {
        let mut widths = vec![self.features + self.directions().width(3)];
        widths.extend(vec![self.width; self.depth]);
        widths.push(3);
        let (activation, output) = (Activation::Relu, Activation::Identity);
        (self.width > 0).then_some(Mlp { widths, activation, output, bias: true, skips: vec![] })
    }

    /// Parameters: these grids, and the network at its start.
    ///
    /// # Errors
    /// Memory.
    pub fn parameters(&self, density: Tensor, features: Tensor, seed: u64) -> Result<Vec<Parameter>> {
        let device = density.device().clone();
        let grid = |name: &str, value: Tensor| Parameter { name: name.into(), value, rate: 1.0, sparse: true };
        let mut list = vec![grid(DENSITY, density), grid(FEATURES, features)];
        if let Some(network) = self.network() {
            let shapes = network.shapes().into_iter().map(|(name, shape)| (format!("{NETWORK}{name}"), shape));
            for ((values, rate), array) in init::start(&network, Omega::default(), seed).into_iter().zip(shapes) {
                list.push(Parameter::new(array, &values, rate, &device)?);
            }
        }
        Ok(list)
    }

    /// Empty grids.
    ///
    /// # Errors
    /// Memory.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        let zeros = |n: usize| Tensor::zeros(device, DType::F32, &[self.lattice.len(), n]);
        self.parameters(zeros(1)?, zeros(self.features)?, seed)
    }

    /// Densities of numbers from the grid.
    ///
    /// # Errors
    /// Memory.
    pub fn activate(&self, raw: &Var) -> Result<Var> {
        let map = Map::cached("voxels/density", |m| {
            let [d] = m.item("raw");
            let (shift, scale) = (m.param(), m.param());
            m.output("density", &[(d + shift).softplus() * scale]);
        });
        let call = CallParams { items: 0, real: vec![self.shift, self.scale], int: vec![] };
        Ok(map.apply_with(&[raw], call)?.remove(0))
    }
}

impl Medium for Grids {
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        self.activate(&self.lattice.sample(points, &parameters[0])?)
    }

    fn encode_directions(&self, directions: &Var) -> Result<Var> {
        Ok(self.directions().encode(directions, &[], &Arc::new(Derivatives::none()))?.value().clone())
    }

    fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)> {
        let features = self.lattice.sample(points, &parameters[1])?;
        let mut logits = features.slice(1, 0, 3)?;
        if let Some(network) = self.network() {
            let input = ops::concat(&[&features, directions], 1)?;
            let jet = Jet::new(Arc::new(Derivatives::none()), vec![Some(input)]);
            logits = logits.add(network.forward(&jet, &parameters[2..])?.value())?;
        }
        Ok((self.densities(parameters, points)?, logits.sigmoid()?))
    }

    fn least_weight(&self) -> f64 {
        self.least_weight
    }
}

impl Description for Grids {
    const KEY: &'static str = "lumigrad.grids";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let grid = |name: &str, n: usize| (name.to_owned(), vec![self.lattice.len(), n]);
        let mut shapes = vec![grid(DENSITY, 1), grid(FEATURES, self.features)];
        if let Some(network) = self.network() {
            shapes.extend(network.shapes().into_iter().map(|(name, shape)| (format!("{NETWORK}{name}"), shape)));
        }
        shapes
    }

    fn check(&self) -> lumigrad_field::Result<()> {
        let fails = |what: String| Err(lumigrad_field::Error::Description(what));
        if let Err(e) = Lattice::new(self.lattice.size) {
            return fails(e.to_string());
        }
        let sizes = (3..=256).contains(&self.features) && self.width <= 1 << 12 && self.depth <= 32 && self.degree <= 8;
        let numbers = self.shift.is_finite() && self.scale.is_finite() && self.scale > 0.0;
        if !sizes || !numbers || self.lattice.len().saturating_mul(self.features) > 1 << 31 {
            return fails(format!(
                "voxel grids of {} features with a network of {} layers of {} units",
                self.features, self.depth, self.width
            ));
        }
        Ok(())
    }
}
