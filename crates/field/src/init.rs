//! Starting values of networks.

use crate::{Activation, Mlp};
use lumigrad_core::ops::random::uniform;

/// How the frequency ω of sine networks enters: it is folded into weights, so that gradients and steps of weights are ω
/// times those of the usual notation sin(ω(Wx + b)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Omega {
    /// Of the first layer.
    pub first: f64,
    /// Of the hidden layers.
    pub hidden: f64,
}

impl Default for Omega {
    fn default() -> Self {
        Self { first: 30.0, hidden: 30.0 }
    }
}

/// Starting values of a network's arrays, in the order of [`Mlp::shapes`], and the factor of each one's learning rate.
///
/// **Sine** (Sitzmann et al. 2020, §3.2): with ω folded in, first weights U(±ω/n), others U(±√(6/n)), the last, linear
/// layer U(±√(6/n)/ω); biases ω·U(±1/√n). With biases at zero, numbers before hidden activations have standard deviation
/// about 1 at every depth. Rates of layers before a sine are ω times as large, which is the usual rate of W.
/// **Others**: weights U(±√(6/n)) for rectifiers (He et al. 2015), U(±√(3/n)) else; biases zero.
pub fn start(mlp: &Mlp, omega: Omega, seed: u64) -> Vec<(Vec<f64>, f64)> {
    let mut counter = 0;
    let mut draw = |n: usize, bound: f64| -> Vec<f64> {
        (0..n)
            .map(|_| {
                counter += 1;
                bound * (2.0 * uniform(seed, counter) - 1.0)
            })
            .collect()
    };
    let mut arrays = vec![];
    for layer in 0..mlp.n_layers() {
        let (takes, makes) = (mlp.takes(layer), mlp.widths[layer + 1]);
        let n = takes as f64;
        let after = mlp.activation_after(layer);
        let sines = mlp.activation == Activation::Sine;
        let w = if layer == 0 { omega.first } else { omega.hidden };
        let (bound, bias, rate) = match after {
            Activation::Sine if layer == 0 => (w / n, w / n.sqrt(), w),
            Activation::Sine => ((6.0 / n).sqrt(), w / n.sqrt(), w),
            _ if sines => ((6.0 / n).sqrt() / w, 1.0 / n.sqrt(), 1.0),
            Activation::Relu | Activation::LeakyRelu | Activation::Mish | Activation::Softplus => {
                ((6.0 / n).sqrt(), 0.0, 1.0)
            }
            _ => ((3.0 / n).sqrt(), 0.0, 1.0),
        };
        arrays.push((draw(takes * makes, bound), rate));
        if mlp.bias {
            arrays.push((draw(makes, bias), rate));
        }
        let coefficients = after.coefficients();
        if !coefficients.is_empty() {
            arrays.push((coefficients, 1.0));
        }
    }
    arrays
}
