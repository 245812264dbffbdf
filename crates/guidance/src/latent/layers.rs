//! Layers as places of their parameters, under the names of diffusers.

use super::weights::Weights;
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var, ops};

/// How an array is kept in files.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// As here.
    Plain,
    /// Ours are [I, O] or [K, K, I, O], those of files [O, I] or [O, I, K, K].
    Weights,
}

/// One parameter.
pub struct Array {
    /// What files call it; some have the later ones.
    pub names: Vec<String>,
    pub shape: Vec<usize>,
    pub kind: Kind,
}

impl Array {
    /// Shapes that it may have in files: those of linear layers may be convolutions of single pixels.
    pub fn shapes_in_files(&self) -> Vec<Vec<usize>> {
        match (self.kind, self.shape.as_slice()) {
            (Kind::Weights, &[i, o]) => vec![vec![o, i], vec![o, i, 1, 1]],
            (Kind::Weights, &[k, l, i, o]) => vec![vec![o, i, k, l]],
            (_, shape) => vec![shape.to_vec()],
        }
    }
}

/// Parts of names, and what they are in other files: attention of autoencoders of 2022, text encoders of 2026.
const OTHER_NAMES: [(&str, &str); 5] = [
    (".to_q.", ".query."),
    (".to_k.", ".key."),
    (".to_v.", ".value."),
    (".to_out.0.", ".proj_attn."),
    ("text_model.", ""),
];

/// Parameters in order.
#[derive(Default)]
pub struct Layout {
    pub arrays: Vec<Array>,
    /// Weights of attention's linear layers.
    pub projections: Vec<usize>,
}

impl Layout {
    pub fn array(&mut self, name: String, shape: &[usize], kind: Kind) -> usize {
        let others = OTHER_NAMES.iter().filter(|(part, _)| name.contains(part)).map(|(a, b)| name.replace(a, b));
        let names = std::iter::once(name.clone()).chain(others).collect();
        self.arrays.push(Array { names, shape: shape.to_vec(), kind });
        self.arrays.len() - 1
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> usize {
        self.array(format!("{name}.weight"), shape, Kind::Weights)
    }

    fn bias(&mut self, name: &str, width: usize) -> usize {
        self.array(format!("{name}.bias"), &[width], Kind::Plain)
    }

    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        Linear { weight: self.weight(name, &[inputs, outputs]), bias: Some(self.bias(name, outputs)) }
    }

    /// A linear layer of attention, which low-rank changes may be added to.
    pub fn projection(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Linear {
        let weight = self.weight(name, &[inputs, outputs]);
        self.projections.push(weight);
        Linear { weight, bias: bias.then(|| self.bias(name, outputs)) }
    }

    pub fn convolution(&mut self, name: &str, inputs: usize, outputs: usize) -> Convolution {
        Convolution { weight: self.weight(name, &[3, 3, inputs, outputs]), bias: self.bias(name, outputs) }
    }

    fn scale_and_shift(&mut self, name: &str, channels: usize) -> [usize; 2] {
        [self.array(format!("{name}.weight"), &[channels], Kind::Plain), self.bias(name, channels)]
    }

    pub fn group_norm(&mut self, name: &str, channels: usize, groups: usize, epsilon: f64) -> GroupNorm {
        GroupNorm { places: self.scale_and_shift(name, channels), groups, epsilon }
    }

    pub fn layer_norm(&mut self, name: &str, channels: usize, epsilon: f64) -> LayerNorm {
        LayerNorm { places: self.scale_and_shift(name, channels), epsilon }
    }

    /// A residual block; `told` is the width of what it is told, if anything.
    pub fn residual(&mut self, name: &str, [inputs, outputs]: [usize; 2], told: Option<usize>, norm: Norm) -> Residual {
        Residual {
            norms: [("norm1", inputs), ("norm2", outputs)]
                .map(|(part, c)| self.group_norm(&format!("{name}.{part}"), c, norm.groups, norm.epsilon)),
            convolutions: [("conv1", inputs), ("conv2", outputs)]
                .map(|(part, c)| self.convolution(&format!("{name}.{part}"), c, outputs)),
            told: told.map(|width| self.linear(&format!("{name}.time_emb_proj"), width, outputs)),
            past: (inputs != outputs).then(|| self.linear(&format!("{name}.conv_shortcut"), inputs, outputs)),
        }
    }

    /// All parameters on a device.
    pub fn load(&self, weights: &Weights, device: &Device) -> Result<Vec<Tensor>> {
        self.arrays.iter().map(|array| weights.load(array, device)).collect()
    }

    /// Fails where parameters are not as many.
    pub fn check(&self, network: &str, p: &[Var]) -> Result<()> {
        match p.len() == self.arrays.len() {
            true => Ok(()),
            false => {
                let expected = format!("{} arrays", self.arrays.len());
                Err(Error::shape(&format!("the {network}'s parameters"), &[p.len()], expected))
            }
        }
    }

    /// The name of each parameter.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.iter().map(|a| a.names[0].as_str())
    }
}

/// x·W + b over the last dimension; on pictures a convolution of single pixels.
pub struct Linear {
    weight: usize,
    bias: Option<usize>,
}

impl Linear {
    pub fn apply(&self, p: &[Var], x: &Var) -> lumigrad_core::Result<Var> {
        x.linear(&p[self.weight], self.bias.map(|b| &p[b]))
    }
}

/// A convolution of 3 × 3 pixels.
pub struct Convolution {
    weight: usize,
    bias: usize,
}

impl Convolution {
    pub fn apply(&self, p: &[Var], x: &Var) -> lumigrad_core::Result<Var> {
        ops::conv2d(x, &p[self.weight], Some(&p[self.bias]), 1)
    }

    /// Pictures of half the size, with so many zeros before and after rows and columns.
    pub fn halve(&self, p: &[Var], x: &Var, zeros: [usize; 2]) -> lumigrad_core::Result<Var> {
        ops::conv2d_padded(x, &p[self.weight], Some(&p[self.bias]), 2, zeros)
    }
}

/// How residual blocks normalise.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Groups of channels that are normalised together.
    pub groups: usize,
    /// Added to variances.
    pub epsilon: f64,
}

pub struct GroupNorm {
    places: [usize; 2],
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    pub fn apply(&self, p: &[Var], x: &Var) -> lumigrad_core::Result<Var> {
        let [scale, shift] = self.places.map(|k| &p[k]);
        ops::group_norm(x, self.groups, scale, shift, self.epsilon)
    }
}

pub struct LayerNorm {
    places: [usize; 2],
    epsilon: f64,
}

impl LayerNorm {
    pub fn apply(&self, p: &[Var], x: &Var) -> lumigrad_core::Result<Var> {
        let [scale, shift] = self.places.map(|k| &p[k]);
        ops::layer_norm(x, scale, shift, self.epsilon)
    }
}

/// past(x) + conv2(SiLU norm2(conv1(SiLU norm1 x) + told(SiLU t))).
pub struct Residual {
    norms: [GroupNorm; 2],
    convolutions: [Convolution; 2],
    told: Option<Linear>,
    past: Option<Linear>,
}

impl Residual {
    /// x [N, H, W, inputs]; `told` [N, width] after its SiLU; the result is [N, H, W, outputs].
    pub fn apply(&self, p: &[Var], x: &Var, told: Option<&Var>) -> lumigrad_core::Result<Var> {
        let mut y = self.convolutions[0].apply(p, &self.norms[0].apply(p, x)?.silu()?)?;
        if let (Some(layer), Some(told)) = (&self.told, told) {
            let told = layer.apply(p, told)?;
            let &[n, c] = told.shape() else { unreachable!("rows of pictures") };
            y = y.add(&told.reshape(&[n, 1, 1, c])?)?;
        }
        let y = self.convolutions[1].apply(p, &self.norms[1].apply(p, &y)?.silu()?)?;
        let past = match &self.past {
            Some(layer) => &layer.apply(p, x)?,
            None => x,
        };
        past.add(&y)
    }
}

/// Heads as batches: [N, T, heads · D] → [N · heads, T, D].
pub fn split_heads(x: &Var, heads: usize) -> lumigrad_core::Result<Var> {
    let &[n, t, c] = x.shape() else {
        return Err(lumigrad_core::Error::shape("what attention sees", x.shape(), "[N, T, C]"));
    };
    let parts = x.reshape(&[n, t, heads, c / heads])?.permute(&[0, 2, 1, 3])?;
    parts.reshape(&[n * heads, t, c / heads])
}

/// The inverse of [`split_heads`].
pub fn join_heads(x: &Var, heads: usize) -> lumigrad_core::Result<Var> {
    let &[all, t, d] = x.shape() else {
        return Err(lumigrad_core::Error::shape("what attention gives", x.shape(), "[N · heads, T, D]"));
    };
    let parts = x.reshape(&[all / heads, heads, t, d])?.permute(&[0, 2, 1, 3])?;
    parts.reshape(&[all / heads, t, heads * d])
}
