//! Layers as places of their parameters.

use crate::Result;
use lumigrad_core::ops::{self, random};
use lumigrad_core::{Device, Tensor, Var};

/// One parameter.
pub struct Array {
    pub name: String,
    pub shape: Vec<usize>,
    start: Start,
}

/// Values at the start.
enum Start {
    Normal(f64),
    Constant(f64),
}

/// Parameters in order.
#[derive(Default)]
pub struct Layout {
    pub arrays: Vec<Array>,
}

/// Added to variances.
const EPSILON: f64 = 1e-5;
/// Groups of channels that are normalised together, at most, and channels of a group, at least.
const GROUPS: usize = 8;
const GROUP: usize = 4;

impl Layout {
    fn array(&mut self, name: String, shape: &[usize], start: Start) -> usize {
        self.arrays.push(Array { name, shape: shape.to_vec(), start });
        self.arrays.len() - 1
    }

    /// Weights whose results have `gain` times the deviation of what comes in.
    fn weights(&mut self, name: &str, shape: &[usize], gain: f64) -> usize {
        let inner: usize = shape[..shape.len() - 1].iter().product();
        self.array(format!("{name}.weight"), shape, Start::Normal(gain / (inner as f64).sqrt()))
    }

    pub fn linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Linear {
        self.linear_with(name, inputs, outputs, 1.0)
    }

    pub fn linear_with(&mut self, name: &str, inputs: usize, outputs: usize, gain: f64) -> Linear {
        let weight = self.weights(name, &[inputs, outputs], gain);
        Linear { weight, bias: self.array(format!("{name}.bias"), &[outputs], Start::Constant(0.0)) }
    }

    pub fn convolution(&mut self, name: &str, size: usize, inputs: usize, outputs: usize, gain: f64) -> Convolution {
        let weight = self.weights(name, &[size, size, inputs, outputs], gain);
        let bias = self.array(format!("{name}.bias"), &[outputs], Start::Constant(0.0));
        Convolution { weight, bias, products: size * size * inputs * outputs }
    }

    pub fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let scale = self.array(format!("{name}.scale"), &[channels], Start::Constant(1.0));
        Norm { scale, shift: self.array(format!("{name}.shift"), &[channels], Start::Constant(0.0)), channels }
    }

    pub fn block(&mut self, name: &str, [inputs, outputs]: [usize; 2], told: usize) -> Block {
        Block {
            // After SiLU numbers have about 0.6 of the deviation.
            first: self.convolution(&format!("{name}.0"), 3, inputs, outputs, 1.7),
            told: self.linear_with(&format!("{name}.told"), told, 2 * outputs, 0.0),
            second: self.convolution(&format!("{name}.1"), 3, outputs, outputs, 0.0),
            past: (inputs != outputs).then(|| self.convolution(&format!("{name}.past"), 1, inputs, outputs, 1.0)),
            channels: outputs,
        }
    }

    pub fn attention(&mut self, name: &str, channels: usize) -> Attention {
        Attention {
            norm: self.norm(&format!("{name}.norm"), channels),
            split: self.convolution(&format!("{name}.qkv"), 1, channels, 3 * channels, 1.0),
            join: self.convolution(&format!("{name}.out"), 1, channels, channels, 0.0),
            channels,
        }
    }

    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Tensor>> {
        let values = |(k, array): (usize, &Array)| -> Result<Tensor> {
            let n: usize = array.shape.iter().product();
            let stream = random::hash(seed, k as u64);
            let data: Vec<f32> = match array.start {
                Start::Normal(deviation) => {
                    (0..n as u64).map(|i| (deviation * random::normal(stream, i)) as f32).collect()
                }
                Start::Constant(x) => vec![x as f32; n],
            };
            Ok(Tensor::from_slice(device, &data, &array.shape)?)
        };
        self.arrays.iter().enumerate().map(values).collect()
    }
}

pub struct Linear {
    weight: usize,
    bias: usize,
}

impl Linear {
    pub fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        Ok(x.linear(&p[self.weight], Some(&p[self.bias]))?)
    }
}

pub struct Convolution {
    weight: usize,
    bias: usize,
    products: usize,
}

impl Convolution {
    pub fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        Ok(ops::conv2d(x, &p[self.weight], Some(&p[self.bias]), 1)?)
    }

    /// Per pixel.
    pub fn multiplications(&self) -> usize {
        self.products
    }
}

/// Groups of so many channels.
fn groups(channels: usize) -> usize {
    (1..=GROUPS.min(channels / GROUP)).rev().find(|g| channels.is_multiple_of(*g)).unwrap_or(1)
}

pub struct Norm {
    scale: usize,
    shift: usize,
    channels: usize,
}

impl Norm {
    pub fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        Ok(ops::group_norm(x, groups(self.channels), &p[self.scale], &p[self.shift], EPSILON)?)
    }
}

/// x + convolution(SiLU(s · convolution(SiLU x) + t)), where what is told gives s and t.
pub struct Block {
    first: Convolution,
    told: Linear,
    second: Convolution,
    past: Option<Convolution>,
    channels: usize,
}

impl Block {
    pub fn apply(&self, p: &[Var], x: &Var, told: &Var) -> Result<Var> {
        let y = self.first.apply(p, &x.silu()?)?;
        let told = self.told.apply(p, told)?;
        let c = self.channels;
        let (scale, shift) = (told.slice(1, 0, c)?.offset(1.0)?, told.slice(1, c, 2 * c)?);
        let y = ops::modulate(&y, &scale, &shift)?.silu()?;
        let y = self.second.apply(p, &y)?;
        let past = match &self.past {
            Some(convolution) => convolution.apply(p, x)?,
            None => x.clone(),
        };
        Ok(past.add(&y)?)
    }

    /// Per pixel.
    pub fn multiplications(&self) -> usize {
        self.first.products + self.second.products + self.past.as_ref().map_or(0, |c| c.products)
    }
}

/// x + means of values of all pixels, by how well they fit.
pub struct Attention {
    norm: Norm,
    split: Convolution,
    join: Convolution,
    channels: usize,
}

impl Attention {
    pub fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        let (n, c) = (x.shape()[0], self.channels);
        let pixels = x.shape()[1] * x.shape()[2];
        let all = self.split.apply(p, &self.norm.apply(p, x)?)?.reshape(&[n, pixels, 3 * c])?;
        let part = |k: usize| all.slice(2, k * c, (k + 1) * c);
        let mixed = ops::attention(&part(0)?, &part(1)?, &part(2)?)?.reshape(x.shape())?;
        Ok(x.add(&self.join.apply(p, &mixed)?)?)
    }

    /// For all pixels.
    pub fn multiplications(&self, pixels: usize) -> usize {
        pixels * (self.split.products + self.join.products) + 2 * pixels * pixels * self.channels
    }
}
