//! Fields: an encoding and a network, described by what can be written in a file.

use crate::{Activation, Derivatives, Encoding, Error, Jet, Mlp, Omega, Precision, Result, init};
use lumigrad_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A neural field: points of [−1, 1]ᵈ to numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Coordinates of a point.
    pub dim: usize,
    /// Numbers at a point.
    pub channels: usize,
    /// What the network sees of a point.
    pub encoding: Encoding,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// After hidden layers.
    pub activation: Activation,
    /// After the last layer.
    pub output: Activation,
    /// Frequencies of sine networks, the first layer's and the others'.
    pub omega: [f64; 2],
    /// Whether layers have a bias.
    pub bias: bool,
    /// Hidden layers, from 1, that see the encoded point beside the layer before (all of them: mi-MLP).
    pub skips: Vec<usize>,
    /// How GPUs store what networks keep.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
}

/// An array that is learnt.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Name, in files too.
    pub name: String,
    /// Its values.
    pub value: Tensor,
    /// Factor of the learning rate.
    pub rate: f64,
    /// Rows of which a step touches some (tables of grids): others keep their moments too.
    pub sparse: bool,
}

impl Parameter {
    /// Of a network, from its starting values.
    ///
    /// # Errors
    /// Memory.
    pub fn new((name, shape): (String, Vec<usize>), values: &[f64], rate: f64, device: &Device) -> Result<Self> {
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        Ok(Self { name, value: Tensor::from_slice(device, &narrow, &shape)?, rate, sparse: false })
    }
}

/// Points that are evaluated at a time where no gradients are wanted.
const CHUNK: usize = 1 << 16;
/// Most units of a layer, layers, and parameters in all.
const MOST_UNITS: usize = 1 << 14;
const MOST_LAYERS: usize = 64;
const MOST_PARAMETERS: usize = 1 << 29;

impl Field {
    /// SIREN: sine layers on the point itself, with the usual frequency 30.
    pub fn siren(dim: usize, channels: usize, width: usize, depth: usize) -> Self {
        Self {
            dim,
            channels,
            encoding: Encoding::Identity,
            width,
            depth,
            activation: Activation::Sine,
            output: Activation::Identity,
            omega: [30.0; 2],
            bias: true,
            skips: vec![],
            precision: Precision::F32,
        }
    }

    /// Rectified layers of 64 units on an encoding.
    pub fn encoded(dim: usize, channels: usize, encoding: Encoding) -> Self {
        let relu = Activation::Relu;
        Self { encoding, activation: relu, omega: [30.0; 2], ..Self::siren(dim, channels, 64, 2) }
    }

    /// Its network.
    pub fn mlp(&self) -> Mlp {
        let mut widths = vec![self.encoding.width(self.dim)];
        widths.extend(vec![self.width; self.depth]);
        widths.push(self.channels);
        let (activation, output) = (self.activation, self.output);
        let (skips, precision) = (self.skips.clone(), self.precision);
        Mlp { widths, activation, output, bias: self.bias, skips, precision }
    }

    /// Checks the description.
    ///
    /// # Errors
    /// What no field has.
    pub fn check(&self) -> Result<()> {
        let fails = |what: String| Err(Error::Description(what));
        if !(1..=16).contains(&self.dim) || !(1..=MOST_UNITS).contains(&self.channels) {
            return fails(format!(
                "a field from {} to {} numbers: expected 1 to 16 and at least 1",
                self.dim, self.channels
            ));
        }
        if !(1..=MOST_UNITS).contains(&self.width) || !(1..=MOST_LAYERS).contains(&self.depth) {
            let (w, d) = (self.width, self.depth);
            return fails(format!("{d} layers of {w} units: expected 1 to {MOST_LAYERS} of 1 to {MOST_UNITS}"));
        }
        if self.omega.iter().any(|w| !(w.is_finite() && *w > 0.0)) {
            return fails(format!("frequencies {:?}: expected numbers above 0", self.omega));
        }
        if self.skips.iter().any(|s| !(1..=self.depth).contains(s)) {
            return fails(format!("skips into layers {:?}: expected 1 to {}", self.skips, self.depth));
        }
        self.encoding.check(self.dim)?;
        let parameters: usize = self.shapes().iter().map(|(_, s)| s.iter().product::<usize>()).sum();
        if parameters > MOST_PARAMETERS {
            return fails(format!("{parameters} parameters: at most {MOST_PARAMETERS}"));
        }
        Ok(())
    }

    /// Names and shapes of its parameters: the encoding's, then the network's.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = self.encoding.shapes(self.dim);
        shapes.extend(self.mlp().shapes());
        shapes
    }

    /// Parameters at their start.
    ///
    /// # Errors
    /// A description that makes no field; memory.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        self.check()?;
        let omega = Omega { first: self.omega[0], hidden: self.omega[1] };
        let encoding = self.encoding.start(self.dim, seed).into_iter().map(|start| (start, true));
        let network = init::start(&self.mlp(), omega, seed).into_iter().map(|start| (start, false));
        let arrays = encoding.chain(network).zip(self.shapes());
        arrays
            .map(|(((values, rate), sparse), array)| {
                Ok(Parameter { sparse, ..Parameter::new(array, &values, rate, device)? })
            })
            .collect()
    }

    /// The field at points [N, d], with derivatives.
    ///
    /// **Shapes**: `parameters` as [`Field::shapes`] says. **Gradients**: to parameters and points.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn jet(&self, parameters: &[Var], points: &Var, derivatives: &Arc<Derivatives>) -> Result<Jet> {
        let (encoding, network) = parameters.split_at(self.encoding.shapes(self.dim).len().min(parameters.len()));
        self.mlp().forward(&self.encoding.encode(points, encoding, derivatives)?, network)
    }

    /// The value at points [N, d].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn value(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        Ok(self.jet(parameters, points, &Arc::new(Derivatives::none()))?.value().clone())
    }

    /// The streams at points on the host, `d` numbers each; a stream that is zero wherever it exists is empty.
    ///
    /// **Cost**: no gradients are kept; points go through in chunks.
    ///
    /// # Errors
    /// Points that are not whole; shapes that do not fit.
    pub fn sample(&self, values: &[Tensor], points: &[f32], derivatives: &Arc<Derivatives>) -> Result<Vec<Vec<f32>>> {
        if !points.len().is_multiple_of(self.dim) {
            let expected = format!("a multiple of {}", self.dim);
            return Err(lumigrad_core::Error::shape("points", &[points.len()], expected).into());
        }
        let parameters: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let device = values.first().map_or_else(Device::cpu, |t| t.device().clone());
        let mut streams = vec![vec![]; derivatives.n_streams()];
        for chunk in points.chunks(CHUNK * self.dim) {
            let points = Tensor::from_slice(&device, chunk, &[chunk.len() / self.dim, self.dim])?;
            let jet = self.jet(&parameters, &points.into(), derivatives)?;
            for (stream, found) in streams.iter_mut().zip(jet.streams()) {
                if let Some(found) = found {
                    stream.extend(found.tensor().to_vec::<f32>()?);
                }
            }
        }
        Ok(streams)
    }
}
