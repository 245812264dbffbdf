//! Voxel grids of density and colour (DVGO, Sun et al. 2022).

use super::super::radiance::Medium;
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lumigrad_core::{CallParams, DType, Device, Map, Tensor, Var, ops};
use lumigrad_field::{Activation, Derivatives, Description, Encoding, Jet, Mlp, Omega, Parameter, Precision, init};
use lumigrad_voxel::{Lattice, Sparse};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// A grid of densities before their activation, and one of features, of which the first three are a colour's logits that
/// a small network, if there is one, adds to by what it sees of all features and of the direction.
///
/// σ = scale · ln(1 + exp(sharpness · (d + shift − p) + p)) of interpolated d (post-activation): one cell can hold a sharp surface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grids {
    /// The corners that both grids have.
    pub lattice: Lattice,
    /// Which of them have rows, eight to a byte in base64; all where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// The same, ready for use.
    #[serde(skip)]
    sparse: OnceLock<Sparse>,
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
    /// Factor of the number before its activation: the steeper, the more opacity jumps from 0 to 1 within a cell.
    #[serde(default = "one")]
    pub sharpness: f64,
    /// Rays of a pixel, whose mean it is.
    #[serde(default = "single")]
    pub rays: usize,
}

fn one() -> f64 {
    1.0
}

fn single() -> usize {
    1
}

/// Hidden layers of the network, and degree of the directions' harmonics.
const DEPTH: usize = 2;
/// The number before the activation that stays where it is however sharp that is: some eight samples of it stop half of
/// the light, which is where surfaces are taken out.
const PIVOT: f64 = -1.67;
/// Rays of a pixel at most.
pub const MOST_RAYS: usize = 64;
const DEGREE: usize = 3;
/// Names of its arrays.
pub const DENSITY: &str = "density";
const FEATURES: &str = "features";
const NETWORK: &str = "colour.";

impl Grids {
    /// Whole grids on a lattice, with a colour at each corner and no network.
    pub fn plain(lattice: Lattice, (shift, scale): (f64, f64), least_weight: f64) -> Self {
        let (features, width, depth, degree) = (3, 0, DEPTH, DEGREE);
        let (kept, sparse) = (None, OnceLock::new());
        let (sharpness, rays) = (1.0, 1);
        Self { lattice, kept, sparse, features, width, depth, degree, shift, scale, least_weight, sharpness, rays }
    }

    /// The same on another lattice, of which some corners have rows, or all.
    pub fn settle(&mut self, lattice: Lattice, sparse: Option<Sparse>) {
        self.lattice = lattice;
        self.kept = sparse.as_ref().map(|s| BASE64.encode(s.to_bits()));
        self.sparse = sparse.map_or_else(OnceLock::new, OnceLock::from);
    }

    /// The corners that have rows, where not all do.
    ///
    /// # Errors
    /// Memory.
    pub fn sparse(&self, device: &Device) -> Result<Option<&Sparse>> {
        let Some(text) = &self.kept else { return Ok(None) };
        if self.sparse.get().is_none() {
            let bits = BASE64.decode(text).unwrap_or_default();
            let wrong = || Error::job("which corners of the voxel grid are kept cannot be read");
            let found = Sparse::from_bits(self.lattice, &bits, device)?.ok_or_else(wrong)?;
            let _ = self.sparse.set(found);
        }
        Ok(self.sparse.get())
    }

    /// Rows of the tables.
    pub fn rows(&self) -> usize {
        let ones = |text: &String| BASE64.decode(text).map(|b| b.iter().map(|b| b.count_ones() as usize).sum());
        match (&self.kept, self.sparse.get()) {
            (None, _) => self.lattice.len(),
            (_, Some(sparse)) => sparse.len(),
            (Some(text), None) => ones(text).unwrap_or(0),
        }
    }

    /// A table at points of the cube.
    ///
    /// # Errors
    /// A table of another size.
    pub fn sample(&self, points: &Var, table: &Var) -> Result<Var> {
        Ok(match self.sparse(points.device())? {
            Some(sparse) => sparse.sample(points, table)?,
            None => self.lattice.sample(points, table)?,
        })
    }

    /// A table at the corners of another lattice, whose cube lies in this one's by `to_here`.
    ///
    /// # Errors
    /// Memory.
    pub fn resample(&self, table: &Tensor, other: &Lattice, to_here: impl Fn([f64; 3]) -> [f64; 3]) -> Result<Tensor> {
        Ok(match self.sparse(table.device())? {
            Some(sparse) => sparse.resample(table, other, to_here)?,
            None => self.lattice.resample(table, other, to_here)?,
        })
    }

    fn directions(&self) -> Encoding {
        Encoding::SphericalHarmonics { degree: self.degree }
    }

    fn network(&self) -> Option<Mlp> {
        let mut widths = vec![self.features + self.directions().width(3)];
        widths.extend(vec![self.width; self.depth]);
        widths.push(3);
        let (activation, output) = (Activation::Relu, Activation::Identity);
        (self.width > 0).then_some(Mlp {
            widths,
            activation,
            output,
            bias: true,
            skips: vec![],
            precision: Precision::F32,
        })
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
        let zeros = |n: usize| Tensor::zeros(device, DType::F32, &[self.rows(), n]);
        self.parameters(zeros(1)?, zeros(self.features)?, seed)
    }

    /// Densities of numbers from the grid.
    ///
    /// # Errors
    /// Memory.
    pub fn activate(&self, raw: &Var) -> Result<Var> {
        let map = Map::cached("voxels/density", |m| {
            let [d] = m.item("raw");
            let [shift, scale, sharpness] = std::array::from_fn(|_| m.param());
            m.output("density", &[((d + (shift - PIVOT)) * sharpness + PIVOT).softplus() * scale]);
        });
        let call = CallParams { items: 0, real: vec![self.shift, self.scale, self.sharpness], int: vec![] };
        Ok(map.apply_with(&[raw], call)?.remove(0))
    }
}

impl Medium for Grids {
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        self.activate(&self.sample(points, &parameters[0])?)
    }

    fn encode_directions(&self, directions: &Var) -> Result<Var> {
        Ok(self.directions().encode(directions, &[], &Arc::new(Derivatives::none()))?.value().clone())
    }

    fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)> {
        let features = self.sample(points, &parameters[1])?;
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

    fn is_binary(&self) -> bool {
        self.sharpness > 1.0 && self.width == 0
    }

    fn rays_per_pixel(&self) -> usize {
        self.rays
    }
}

impl Description for Grids {
    const KEY: &'static str = "lumigrad.grids";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let grid = |name: &str, n: usize| (name.to_owned(), vec![self.rows(), n]);
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
        let bits = self.lattice.len().div_ceil(8);
        if self.kept.as_ref().is_some_and(|text| BASE64.decode(text).map_or(0, |b| b.len()) != bits) {
            return fails(format!("which corners of the grid are kept: expected {bits} bytes in base64"));
        }
        let sizes = (3..=256).contains(&self.features) && self.width <= 1 << 12 && self.depth <= 32 && self.degree <= 8;
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let numbers = self.shift.is_finite() && positive(self.scale) && positive(self.sharpness);
        if !(1..=MOST_RAYS).contains(&self.rays) {
            return fails(format!("{} rays of a pixel, expected 1 to {MOST_RAYS}", self.rays));
        }
        if !sizes || !numbers || self.lattice.len().saturating_mul(self.features) > 1 << 31 {
            return fails(format!(
                "voxel grids of {} features with a network of {} layers of {} units",
                self.features, self.depth, self.width
            ));
        }
        Ok(())
    }
}
