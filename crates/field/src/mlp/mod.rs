//! Multi-layer perceptrons on jets.
//!
//! On the CPU a whole network is one operator: a block of points goes through all layers while it is in the cache, and
//! what the backward pass needs of it, the numbers before each activation, is kept. So it is on GPUs for networks of at most
//! 128 units, whose activations stay in a workgroup's memory. For wider ones, skips on GPUs, and activations with learnt
//! coefficients, layers are matrix products and maps one by one.

mod blocks;
mod cpu;
mod gpu;

use crate::jet::Activate;
use crate::{Activation, Derivatives, Jet, Result};
use blocks::{Plan, count};
use lumigrad_core::{DType, Error, Operator, Tape, Tensor, Var, apply, profile};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How fused networks on GPUs store weights and what they keep for the backward pass; sums are always of f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits: half the memory, values to 5·10⁻⁴ of their size. Numbers before an activation must stay below 65 504.
    F16,
}

impl Precision {
    /// True for f32, which files do not mention.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Shape of a multi-layer perceptron.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// Components of the input, of each hidden layer, and of the output.
    pub widths: Vec<usize>,
    /// After every layer but the last.
    pub activation: Activation,
    /// After the last layer.
    pub output: Activation,
    /// Whether layers have a bias.
    pub bias: bool,
    /// Hidden layers, from 1, that take the network's input beside the previous layer.
    pub skips: Vec<usize>,
    /// How a GPU stores what it keeps; the CPU always uses the parameters' type.
    pub precision: Precision,
}

impl Mlp {
    /// Its layers.
    pub fn n_layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// Components that a layer takes: those of the layer before, and of the input where it is one of `skips`.
    pub fn takes(&self, layer: usize) -> usize {
        let skipped = if self.skips.contains(&layer) { self.widths[0] } else { 0 };
        self.widths[layer] + skipped
    }

    /// The activation after a layer.
    pub fn activation_after(&self, layer: usize) -> Activation {
        if layer + 1 == self.n_layers() { self.output } else { self.activation }
    }

    /// Shapes of its parameters in order: for each layer weight [in, out], bias \[out\], coefficients of the activation.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = vec![];
        for layer in 0..self.n_layers() {
            let out = self.widths[layer + 1];
            shapes.push((format!("layers.{layer}.weight"), vec![self.takes(layer), out]));
            if self.bias {
                shapes.push((format!("layers.{layer}.bias"), vec![out]));
            }
            let coefficients = self.activation_after(layer).coefficients().len();
            if coefficients > 0 {
                shapes.push((format!("layers.{layer}.coefficients"), vec![coefficients]));
            }
        }
        shapes
    }

    /// The network of a jet.
    ///
    /// **Shapes**: input [N, C] per stream with C the first width; `parameters` as [`Mlp::shapes`] says; output [N, D] per
    /// stream. **Gradients**: to the input's streams and all parameters. **Determinism**: the same bits for any number of
    /// threads. **Cost**: 2·N·S·Σ in·out operations for S streams, three times that with the backward pass, which keeps
    /// N·S numbers per unit. GPUs run networks of at most 128 units without skips as one launch, where the adapter's memory for
    /// workgroups has room for 8 rows of four points twice; software adapters, whose compilers take long, run layers.
    pub fn forward(&self, input: &Jet, parameters: &[Var]) -> Result<Jet> {
        // Software adapters take longer to compile a whole network than to run it.
        match input.value().device().is_software() {
            true => {
                self.check(input, parameters)?;
                self.forward_by_layers(input, parameters)
            }
            false => self.forward_in_one(input, parameters),
        }
    }

    /// The same as one operator on software adapters too.
    #[doc(hidden)]
    pub fn forward_in_one(&self, input: &Jet, parameters: &[Var]) -> Result<Jet> {
        self.check(input, parameters)?;
        let learnt = (0..self.n_layers()).any(|l| !self.activation_after(l).coefficients().is_empty());
        // Streams that the input lacks must come last, for skips to add the others in one piece.
        let present = input.present();
        let gaps = !self.skips.is_empty() && !present.is_sorted_by(|a, b| a >= b);
        if learnt || gaps || input.n() == 0 {
            return self.forward_by_layers(input, parameters);
        }
        let inputs: Vec<&Var> = input.streams().iter().flatten().chain(parameters).collect();
        let keep = inputs.iter().any(|v| v.is_recorded());
        let device = input.value().device();
        let network = match device.is_cpu() {
            true => None,
            false => {
                let limits = device.limits();
                let fits = |n: &Arc<gpu::Network>| !keep || n.kept_bytes(input.n()) <= limits.buffer_bytes;
                match gpu::Network::new(self, input.derivatives(), &present, &limits).filter(fits) {
                    None => return self.forward_by_layers(input, parameters),
                    found => found,
                }
            }
        };
        let plan = Plan::new(self, input.derivatives(), &present);
        let results = plan.results().to_vec();
        let fused = Fused { mlp: self.clone(), derivatives: input.derivatives().clone(), plan, keep, network };
        let mut found = apply(Arc::new(fused), &inputs)?.into_iter();
        let streams = results.iter().map(|&p| p.then(|| found.next().expect("one output per stream"))).collect();
        Ok(Jet::new(input.derivatives().clone(), streams))
    }

    /// The same, layer by layer.
    #[doc(hidden)]
    pub fn forward_by_layers(&self, input: &Jet, parameters: &[Var]) -> Result<Jet> {
        let mut parameters = parameters.iter();
        let mut next = || parameters.next().expect("check counted them");
        let mut jet = input.clone();
        for layer in 0..self.n_layers() {
            if self.skips.contains(&layer) {
                jet = Jet::join(&[&jet, input])?;
            }
            let weight = next();
            let bias = self.bias.then(&mut next);
            let activation = self.activation_after(layer);
            let coefficients = (!activation.coefficients().is_empty()).then(&mut next);
            jet = jet.linear(weight, bias)?.activate(activation, coefficients)?;
        }
        Ok(jet)
    }

    fn check(&self, input: &Jet, parameters: &[Var]) -> Result<()> {
        let shapes = self.shapes();
        if input.channels() != self.widths[0] {
            let expected = format!("{} components (the network's first width)", self.widths[0]);
            return Err(Error::shape("the network's input", input.value().shape(), expected).into());
        }
        if parameters.len() != shapes.len() {
            return Err(Error::shape("the parameters", &[parameters.len()], format!("{} arrays", shapes.len())).into());
        }
        for (parameter, (name, shape)) in parameters.iter().zip(&shapes) {
            if parameter.shape() != shape {
                return Err(Error::shape(name, parameter.shape(), format!("{shape:?}")).into());
            }
        }
        Ok(())
    }
}

/// A network as one operator. Inputs: the streams that are there, then the parameters. Outputs: the streams that come out,
/// then what is kept.
struct Fused {
    mlp: Mlp,
    derivatives: Arc<Derivatives>,
    plan: Plan,
    keep: bool,
    /// On a GPU.
    network: Option<Arc<gpu::Network>>,
}

impl Fused {
    fn n_streams_in(&self) -> usize {
        count(&self.plan.layers[0].present)
    }
}

impl Operator for Fused {
    fn name(&self) -> &str {
        "field/mlp"
    }

    fn forward(&self, inputs: &[Tensor]) -> lumigrad_core::Result<Vec<Tensor>> {
        let (streams, parameters) = inputs.split_at(self.n_streams_in());
        if let Some(network) = &self.network {
            return network.forward(streams, parameters, self.keep);
        }
        let bytes = inputs.iter().map(Tensor::byte_len).sum();
        profile::record("field/mlp", bytes, || match inputs[0].dtype() {
            DType::F64 => cpu::forward::<f64>(&self.plan, streams, parameters, self.keep),
            _ => cpu::forward::<f32>(&self.plan, streams, parameters, self.keep),
        })
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let (streams, parameters) = inputs.split_at(self.n_streams_in());
        let n_results = count(self.plan.results());
        let kept = &outputs[n_results..];
        let cotangents = &cotangents[..n_results];
        if let Some(network) = &self.network {
            return network.vjp(streams, parameters, kept, cotangents, wanted);
        }
        let bytes = inputs.iter().chain(kept).map(Tensor::byte_len).sum();
        profile::record("field/mlp.vjp", bytes, || match inputs[0].dtype() {
            DType::F64 => cpu::vjp::<f64>(&self.plan, streams, parameters, kept, cotangents, wanted),
            _ => cpu::vjp::<f32>(&self.plan, streams, parameters, kept, cotangents, wanted),
        })
    }

    fn jvp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        tangents: &[Option<Tensor>],
    ) -> lumigrad_core::Result<Vec<Option<Tensor>>> {
        let tape = Tape::new();
        let vars: Vec<Var> = inputs
            .iter()
            .zip(tangents)
            .map(|(t, moving)| if moving.is_some() { tape.variable(t.clone()) } else { t.clone().into() })
            .collect();
        let mut given = vars[..self.n_streams_in()].iter().cloned();
        let streams = self.plan.layers[0].present.iter().map(|&p| p.then(|| given.next().expect("counted"))).collect();
        let jet = Jet::new(self.derivatives.clone(), streams);
        let found = self.mlp.forward_by_layers(&jet, &vars[self.n_streams_in()..]).map_err(core_error)?;
        let moving: Vec<&Var> = vars.iter().filter(|v| v.is_recorded()).collect();
        let along: Vec<Tensor> = tangents.iter().flatten().cloned().collect();
        let mut results = vec![];
        for stream in found.streams().iter().flatten() {
            results.push(match stream.is_recorded() {
                true => Some(tape.linearize(stream, &moving)?.apply(&along)?),
                false => None,
            });
        }
        results.resize(outputs.len(), None);
        Ok(results)
    }
}

fn core_error(e: crate::Error) -> Error {
    match e {
        crate::Error::Core(e) => e,
        e => Error::shape("a network's tangent", &[], e.to_string()),
    }
}

/// Streams after an activation, of those before it.
fn after(activation: Activation, derivatives: &Derivatives, present: &[bool]) -> Vec<bool> {
    match activation {
        Activation::Identity => present.to_vec(),
        _ => Activate::new(activation, derivatives, present).results(),
    }
}
