//! A convolutional U-Net for noisy pictures (Ho et al. 2020, after Ronneberger et al. 2015), small enough for CPUs.
//!
//! Level l has pictures of 1/2ˡ the size. On the way down, residual blocks and averages of 2 × 2 pixels; on the way up, every
//! pixel four times, plus what the level had on the way down. Blocks are SiLU and 3 × 3 convolutions; what the network is
//! told (level of noise, labels, view) scales and shifts the channels between them. Nothing is normalised by what is in the picture
//! but what attention looks at: how strong contrasts are tells pictures from noise, and a norm would hide it.

mod features;
mod layers;
mod points;
#[cfg(test)]
mod tests;

pub use features::{FEATURES, features};
pub use points::{PointConfig, PointNet};

use crate::{Error, Result};
use layers::{Attention, Block, Convolution, Layout, Linear};
use lumigrad_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Sizes of a [`UNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UNetConfig {
    /// Channels of pictures that come in.
    pub inputs: usize,
    /// Channels of pictures that go out.
    pub outputs: usize,
    /// Pixels along a side that become channels of one before the first level: 1 or 2.
    pub fold: usize,
    /// Channels of each level, the finest first.
    pub widths: Vec<usize>,
    /// Residual blocks of a level on the way down, and on the way up.
    pub blocks: usize,
    /// Width of what blocks are told.
    pub embedding: usize,
    /// Self-attention at the coarsest level.
    pub attention: bool,
    /// Labels that pictures may have.
    pub labels: usize,
}

/// Bounds of the sizes, which files could otherwise set to anything.
const MOST: [(&str, usize); 5] = [("levels", 6), ("width", 2048), ("blocks", 16), ("labels", 4096), ("channels", 64)];

impl UNetConfig {
    /// A small network for pictures of `size` pixels along a side.
    pub fn small(inputs: usize, outputs: usize, labels: usize) -> Self {
        Self { inputs, outputs, fold: 2, widths: vec![64, 96], blocks: 1, embedding: 64, attention: true, labels }
    }

    /// Sides of pictures must be multiples of it.
    pub fn multiple(&self) -> usize {
        self.fold << (self.widths.len() - 1)
    }

    /// Refuses sizes that no network has.
    pub fn check(&self) -> Result<()> {
        let widest = self.widths.iter().copied().max().unwrap_or(0).max(self.embedding);
        let sizes = [self.widths.len(), widest, self.blocks, self.labels, self.inputs.max(self.outputs)];
        for ((what, most), size) in MOST.into_iter().zip(sizes) {
            if size > most {
                return Err(Error::Setting(format!("a network of {size} {what}, expected at most {most}")));
            }
        }
        if !matches!(self.fold, 1 | 2) {
            return Err(Error::Setting(format!("fold is {}, expected 1 or 2", self.fold)));
        }
        if self.widths.is_empty() || self.widths.contains(&0) {
            return Err(Error::Setting(format!("widths are {:?}, expected at least one, all above 0", self.widths)));
        }
        if self.blocks * self.embedding * self.inputs * self.outputs == 0 {
            return Err(Error::Setting("a network without blocks, embedding or channels".into()));
        }
        Ok(())
    }
}

/// The network: which parameter is used where. Parameters are arrays in a fixed order.
pub struct UNet {
    config: UNetConfig,
    layout: Layout,
    told: [Linear; 2],
    first: Convolution,
    down: Vec<Vec<Block>>,
    attention: Option<Attention>,
    /// From the coarsest level but one to the finest: what changes the width, and blocks.
    up: Vec<(Convolution, Vec<Block>)>,
    middle: Block,
    last: Convolution,
}

impl UNet {
    /// A network of these sizes.
    ///
    /// # Errors
    /// Sizes that no network has.
    pub fn new(config: UNetConfig) -> Result<Self> {
        config.check()?;
        let mut layout = Layout::default();
        let l = &mut layout;
        let (told, widths) = (config.embedding, &config.widths);
        let pixels = config.fold * config.fold;
        let known =
            [l.linear("told.0", FEATURES + config.labels + 1 + features::VIEW, told), l.linear("told.1", told, told)];
        let first = l.convolution("first", 3, config.inputs * pixels, widths[0], 1.0);
        let mut down = vec![];
        for (level, &width) in widths.iter().enumerate() {
            let before = if level == 0 { width } else { widths[level - 1] };
            let block = |b| l.block(&format!("down.{level}.{b}"), [if b == 0 { before } else { width }, width], told);
            down.push((0..config.blocks).map(block).collect());
        }
        let coarsest = widths[widths.len() - 1];
        let attention = config.attention.then(|| l.attention("attention", coarsest));
        let middle = l.block("middle", [coarsest, coarsest], told);
        let mut up = vec![];
        for level in (0..widths.len() - 1).rev() {
            let width = widths[level];
            let narrow = l.convolution(&format!("up.{level}"), 1, widths[level + 1], width, 1.0);
            let block = |b| l.block(&format!("up.{level}.{b}"), [width, width], told);
            up.push((narrow, (0..config.blocks).map(block).collect()));
        }
        let last = l.convolution("last", 3, widths[0], config.outputs * pixels, 0.0);
        Ok(Self { told: known, first, down, attention, middle, up, last, layout, config })
    }

    /// Its sizes.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// Name and shape of each parameter.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.layout.arrays.iter().map(|a| (a.name.as_str(), a.shape.as_slice()))
    }

    /// Parameters at their start: the network's result is 0. The same on every device.
    pub fn start(&self, seed: u64, device: &Device) -> Result<Vec<Tensor>> {
        self.layout.start(seed, device)
    }

    /// Multiplications of one picture of `size` pixels along a side, by the shapes of convolutions and products.
    pub fn multiplications(&self, size: usize) -> usize {
        let side = |level: usize| (size / self.config.fold) >> level;
        let finest = |c: &Convolution| c.multiplications() * side(0) * side(0);
        let blocks = |blocks: &[Block], level: usize| {
            blocks.iter().map(|b| b.multiplications()).sum::<usize>() * side(level) * side(level)
        };
        let coarsest = self.config.widths.len() - 1;
        let down: usize = self.down.iter().enumerate().map(|(level, b)| blocks(b, level)).sum();
        let up: usize = (self.up.iter().zip((0..coarsest).rev()))
            .map(|((narrow, b), level)| blocks(b, level) + narrow.multiplications() * side(level + 1).pow(2))
            .sum();
        let attention = self.attention.as_ref().map_or(0, |a| a.multiplications(side(coarsest).pow(2)));
        finest(&self.first)
            + down
            + attention
            + blocks(std::slice::from_ref(&self.middle), coarsest)
            + up
            + finest(&self.last)
    }

    /// The result for pictures [N, H, W, inputs], told [`features()`] [N, F]: [N, H, W, outputs].
    ///
    /// **Gradients**: to pictures, features and parameters. **Errors**: shapes; sides that are no multiples of
    /// [`UNetConfig::multiple`].
    pub fn forward(&self, parameters: &[Var], pictures: &Var, features: &Var) -> Result<Var> {
        let c = &self.config;
        match *pictures.shape() {
            [_, h, w, i] if i == c.inputs && h % c.multiple() == 0 && w % c.multiple() == 0 => {}
            _ => {
                let expected = format!("[N, H, W, {}] with sides that are multiples of {}", c.inputs, c.multiple());
                return Err(Error::shape("the U-Net's input", pictures.shape(), expected));
            }
        }
        if parameters.len() != self.layout.arrays.len() {
            let expected = format!("{} arrays", self.layout.arrays.len());
            return Err(Error::shape("the U-Net's parameters", &[parameters.len()], expected));
        }
        let p = parameters;
        let told = self.told[1].apply(p, &self.told[0].apply(p, features)?.silu()?)?.silu()?;
        let mut x = self.first.apply(p, &fold(pictures, c.fold)?)?;
        let mut seen = vec![];
        for (level, blocks) in self.down.iter().enumerate() {
            if level > 0 {
                x = x.average_down()?;
            }
            for block in blocks {
                x = block.apply(p, &x, &told)?;
            }
            seen.push(x.clone());
        }
        if let Some(attention) = &self.attention {
            x = attention.apply(p, &x)?;
        }
        x = self.middle.apply(p, &x, &told)?;
        seen.pop();
        for (narrow, blocks) in &self.up {
            let before = seen.pop().expect("every level but the coarsest");
            x = narrow.apply(p, &x)?.nearest_up()?.add(&before)?;
            for block in blocks {
                x = block.apply(p, &x, &told)?;
            }
        }
        let x = self.last.apply(p, &x.silu()?)?;
        unfold(&x, c.fold)
    }
}

/// Squares of `by` × `by` pixels as channels of one: [N, H, W, C] → [N, H/by, W/by, by²·C].
fn fold(x: &Var, by: usize) -> Result<Var> {
    let (&[n, h, w, c], true) = (x.shape(), by > 1) else { return Ok(x.clone()) };
    let squares = x.reshape(&[n, h / by, by, w / by, by, c])?.permute(&[0, 1, 3, 2, 4, 5])?;
    Ok(squares.reshape(&[n, h / by, w / by, by * by * c])?)
}

/// The inverse of [`fold`].
fn unfold(x: &Var, by: usize) -> Result<Var> {
    let (&[n, h, w, c], true) = (x.shape(), by > 1) else { return Ok(x.clone()) };
    let c = c / (by * by);
    let pixels = x.reshape(&[n, h, w, by, by, c])?.permute(&[0, 1, 3, 2, 4, 5])?;
    Ok(pixels.reshape(&[n, h * by, w * by, c])?)
}
