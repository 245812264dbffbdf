//! Radiance fields: density at points, and colour from directions.

use crate::file::Description;
use crate::{Activation, Derivatives, Encoding, Error, Field, Jet, Mlp, Omega, Parameter, Result, init};
use lumigrad_core::{Device, Map, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A radiance field: points of [−1, 1]³ and directions to density and colour.
///
/// One network gives a density and features of a point; a second one gives the colour of features and direction
/// (Müller et al. 2022, §5.4). A separate second network sees the encoded point instead of features (mi-MLP, Zhu et al.
/// 2024): what it learns of colour cannot disturb the shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radiance {
    /// Gives the logarithm of the density, then features.
    pub density: Field,
    /// Degree of the spherical harmonics of directions.
    pub degree: usize,
    /// Units of a hidden layer of the colour's network.
    pub width: usize,
    /// Its hidden layers.
    pub depth: usize,
    /// Whether it sees the encoded point instead of features.
    pub separate: bool,
    /// Its hidden layers, from 1, that see its input beside the layer before.
    pub skips: Vec<usize>,
}

/// Names of the colour's parameters begin so.
const COLOUR: &str = "colour.";
/// Logarithm from which densities grow no faster than a line: nothing is more opaque.
const STEEPEST: f64 = 10.0;

/// The density of its logarithm: exp x, and from [`STEEPEST`] on its tangent, which keeps gradients alive and finite.
fn density_of(raw: &Var) -> Result<Var> {
    let map = Map::cached("field/density", |m| {
        let [x] = m.item("raw");
        let most = STEEPEST.exp();
        m.output("density", &[x.min(STEEPEST).exp() + most * (x - STEEPEST).max(0.0)]);
    });
    Ok(map.apply(&[raw])?.remove(0))
}

impl Radiance {
    fn encoding(&self) -> &Encoding {
        &self.density.encoding
    }

    fn directions(&self) -> Encoding {
        Encoding::SphericalHarmonics { degree: self.degree }
    }

    /// The colour's network.
    fn colour(&self) -> Mlp {
        let own = if self.separate { self.encoding().width(3) } else { self.density.channels - 1 };
        let mut widths = vec![own + self.directions().width(3)];
        widths.extend(vec![self.width; self.depth]);
        widths.push(3);
        Mlp {
            widths,
            activation: Activation::Relu,
            output: Activation::Sigmoid,
            bias: true,
            skips: self.skips.clone(),
            precision: self.density.precision,
        }
    }

    /// Checks the description.
    ///
    /// # Errors
    /// What no radiance field has.
    pub fn check(&self) -> Result<()> {
        self.density.check()?;
        self.directions().check(3)?;
        let fits = self.density.dim == 3
            && self.density.channels >= if self.separate { 1 } else { 2 }
            && (1..=1 << 12).contains(&self.width)
            && (1..=32).contains(&self.depth)
            && self.skips.iter().all(|s| (1..=self.depth).contains(s));
        match fits {
            true => Ok(()),
            false => Err(Error::Description(format!(
                "a radiance field from {} coordinates to {} numbers with a colour of {} layers of {} units",
                self.density.dim, self.density.channels, self.depth, self.width
            ))),
        }
    }

    /// Names and shapes of its parameters: the density's, then the colour's.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let colour = self.colour().shapes().into_iter().map(|(name, shape)| (format!("{COLOUR}{name}"), shape));
        self.density.shapes().into_iter().chain(colour).collect()
    }

    /// Parameters at their start.
    ///
    /// # Errors
    /// A description that makes no field; memory.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        self.check()?;
        let mut parameters = self.density.start(seed, device)?;
        let shapes = self.shapes().into_iter().skip(parameters.len());
        let start = init::start(&self.colour(), Omega::default(), seed ^ 0xc0_10c0);
        for ((values, rate), array) in start.into_iter().zip(shapes) {
            parameters.push(Parameter::new(array, &values, rate, device)?);
        }
        Ok(parameters)
    }

    /// What the density's network makes of points, and their encoding.
    fn inner(&self, parameters: &[Var], points: &Var) -> Result<(Jet, Jet)> {
        let none = Arc::new(Derivatives::none());
        let (own, _) = parameters.split_at(self.density.shapes().len().min(parameters.len()));
        let (encoding, network) = own.split_at(self.encoding().shapes(3).len().min(own.len()));
        let encoded = self.encoding().encode(points, encoding, &none)?;
        Ok((self.density.mlp().forward(&encoded, network)?, encoded))
    }

    /// Densities at points [N, 3], per unit of their coordinates: [N, 1].
    ///
    /// **Gradients**: to parameters and points.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        density_of(&self.inner(parameters, points)?.0.value().slice(1, 0, 1)?)
    }

    /// What colours see of directions, unit vectors [N, 3].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn encode_directions(&self, directions: &Var) -> Result<Var> {
        Ok(self.directions().encode(directions, &[], &Arc::new(Derivatives::none()))?.value().clone())
    }

    /// Densities [N, 1] and colours [N, 3], from 0 to 1, at points [N, 3] seen from encoded directions
    /// ([`Self::encode_directions`]).
    ///
    /// **Gradients**: to parameters, points and encoded directions.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)> {
        let (found, encoded) = self.inner(parameters, points)?;
        let n = self.density.channels;
        let raw = found.value().slice(1, 0, 1)?;
        let none = Arc::new(Derivatives::none());
        let jet = |v: Var| Jet::new(none.clone(), vec![Some(v)]);
        let seen = if self.separate { encoded } else { jet(found.value().slice(1, 1, n)?) };
        let input = Jet::join(&[&seen, &jet(directions.clone())])?;
        let colours = self.colour().forward(&input, &parameters[self.density.shapes().len()..])?;
        Ok((density_of(&raw)?, colours.value().clone()))
    }
}

impl Description for Radiance {
    const KEY: &'static str = "lumigrad.radiance";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.shapes()
    }

    fn check(&self) -> Result<()> {
        self.check()
    }
}
