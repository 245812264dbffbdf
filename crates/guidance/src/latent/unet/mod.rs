//! The conditioned U-Net of Stable Diffusion 1 and 2 (Rombach et al. 2022), `UNet2DConditionModel` of diffusers.

mod config;
mod transformer;

pub use config::DenoiserConfig;

use super::Weights;
use super::layers::{Convolution, GroupNorm, Layout, Linear, Residual};
use super::lora::{LowRank, Network};
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor, Var, ops};
use std::path::Path;
use std::sync::Mutex;
use transformer::Transformer;

/// Longest wave of the step's embedding over its shortest.
const LONGEST_WAVE: f64 = 10_000.0;

/// Size of a grid, and how much each of its pixels sees of each token: [n, h·w, T], the mean over heads.
pub type Seen = ([usize; 2], Tensor);

/// What is asked of the denoiser beside its result.
#[derive(Default)]
pub struct Ask {
    together: bool,
    kept: Option<Mutex<Vec<Seen>>>,
}

impl Ask {
    /// Pixels see those of all pictures of the batch in self-attention, so that pictures agree.
    pub fn together() -> Self {
        Self { together: true, kept: None }
    }

    /// Weights of attention to the context are kept. **Cost**: all weights of a layer exist at once.
    pub fn attention() -> Self {
        Self { together: false, kept: Some(Mutex::default()) }
    }

    /// What was kept, in the order of the layers.
    pub fn seen(self) -> Vec<Seen> {
        self.kept.map(|kept| kept.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

/// A level: residual blocks, each with attention after it where the level has any; then another size.
struct Level {
    blocks: Vec<(Residual, Option<Transformer>)>,
    resize: Option<Convolution>,
}

impl Level {
    fn apply_block(&self, k: usize, p: &[Var], x: &Var, told: &[&Var; 2], ask: &Ask) -> Result<Var> {
        let (residual, attention) = &self.blocks[k];
        let y = residual.apply(p, x, Some(told[0]))?;
        Ok(match attention {
            Some(attention) => attention.apply(p, &y, told[1], ask)?,
            None => y,
        })
    }
}

/// The denoising network: which parameter is used where, and the weights that were read.
pub struct Denoiser {
    config: DenoiserConfig,
    layout: Layout,
    parameters: Vec<Tensor>,
    told: [Linear; 2],
    first: Convolution,
    down: Vec<Level>,
    middle: (Residual, Transformer, Residual),
    /// The coarsest first.
    up: Vec<Level>,
    norm: GroupNorm,
    last: Convolution,
}

impl Denoiser {
    /// The folder `unet` of a model's folder.
    ///
    /// # Errors
    /// Missing or truncated files, tensors that are missing or of other shapes, and networks of other kinds than those of
    /// Stable Diffusion 1 and 2; what was expected is said.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let folder = folder.join("unet");
        let mut network = Self::new(DenoiserConfig::open(&folder.join("config.json"))?);
        network.parameters = network.layout.load(&Weights::open(&folder, "diffusion_pytorch_model")?, device)?;
        Ok(network)
    }

    /// Adds low-rank changes of a file to the weights.
    pub(super) fn merge(&mut self, changes: &mut LowRank) -> Result<()> {
        changes.merge(Network::Denoiser, &self.layout, &mut self.parameters)
    }

    /// A network without its weights.
    fn new(config: DenoiserConfig) -> Self {
        let (mut layout, c) = (Layout::default(), &config);
        let l = &mut layout;
        let (widths, levels) = (&c.widths, c.widths.len());
        let width = 4 * widths[0];
        let told =
            [l.linear("time_embedding.linear_1", widths[0], width), l.linear("time_embedding.linear_2", width, width)];
        let first = l.convolution("conv_in", c.inputs, widths[0]);
        let residual = |l: &mut Layout, name: &str, channels| l.residual(name, channels, Some(width), c.norm);
        let attention = |l: &mut Layout, name: &str, level: usize| {
            Transformer::new(l, name, widths[level], c.heads[level], c.context, c.norm.groups)
        };
        // Channels of what the way up sees of the way down.
        let (mut kept, mut channels) = (vec![widths[0]], widths[0]);
        let mut down = vec![];
        for level in 0..levels {
            let name = format!("down_blocks.{level}");
            let mut blocks = vec![];
            for k in 0..c.blocks {
                let block = residual(l, &format!("{name}.resnets.{k}"), [channels, widths[level]]);
                let sees = c.attention_down[level].then(|| attention(l, &format!("{name}.attentions.{k}"), level));
                blocks.push((block, sees));
                channels = widths[level];
                kept.push(channels);
            }
            let resize =
                (level + 1 < levels).then(|| l.convolution(&format!("{name}.downsamplers.0.conv"), channels, channels));
            kept.extend(resize.as_ref().map(|_| channels));
            down.push(Level { blocks, resize });
        }
        let middle = (
            residual(l, "mid_block.resnets.0", [channels; 2]),
            attention(l, "mid_block.attentions.0", levels - 1),
            residual(l, "mid_block.resnets.1", [channels; 2]),
        );
        let mut up = vec![];
        for (place, level) in (0..levels).rev().enumerate() {
            let name = format!("up_blocks.{place}");
            let mut blocks = vec![];
            for k in 0..=c.blocks {
                let inputs = channels + kept.pop().expect("as many blocks on both ways");
                let block = residual(l, &format!("{name}.resnets.{k}"), [inputs, widths[level]]);
                let sees = c.attention_up[place].then(|| attention(l, &format!("{name}.attentions.{k}"), level));
                blocks.push((block, sees));
                channels = widths[level];
            }
            let resize = (level > 0).then(|| l.convolution(&format!("{name}.upsamplers.0.conv"), channels, channels));
            up.push(Level { blocks, resize });
        }
        let norm = l.group_norm("conv_norm_out", channels, c.norm.groups, c.norm.epsilon);
        let last = l.convolution("conv_out", channels, c.outputs);
        Self { told, first, down, middle, up, norm, last, layout, parameters: vec![], config }
    }

    /// Its sizes.
    pub fn config(&self) -> &DenoiserConfig {
        &self.config
    }

    /// The weights, in a fixed order: those of linear layers are [I, O], those of convolutions [K, K, I, O].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// The name of each parameter in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layout.names()
    }

    /// Which parameters are weights [I, O] of attention's linear layers, to which low-rank changes are usually added.
    pub fn adaptable(&self) -> &[usize] {
        &self.layout.projections
    }

    /// The result for latents [n, h, w, inputs] at steps (one, or one each), told a context [n or 1, T, width]:
    /// [n, h, w, outputs]. `p` are its parameters, or others of the same shapes.
    ///
    /// **Gradients**: to parameters, latents and context. **Errors**: shapes; sides that are no multiples of
    /// [`DenoiserConfig::multiple`]. **Determinism**: the same bits for any number of threads.
    pub fn apply(&self, p: &[Var], x: &Var, steps: &[f64], context: &Var, ask: &Ask) -> Result<Var> {
        self.layout.check("denoiser", p)?;
        let c = &self.config;
        let n = match *x.shape() {
            [n, h, w, i] if i == c.inputs && n > 0 && h % c.multiple() == 0 && w % c.multiple() == 0 && h * w > 0 => n,
            _ => {
                let expected = format!("[n, h, w, {}] with sides that are multiples of {}", c.inputs, c.multiple());
                return Err(Error::shape("the denoiser's input", x.shape(), expected));
            }
        };
        if steps.len() != 1 && steps.len() != n {
            return Err(Error::shape("the denoiser's steps", &[steps.len()], format!("1 or {n} (n of the input)")));
        }
        match *context.shape() {
            [m, t, width] if (m == 1 || m == n) && t > 0 && width == c.context => {}
            _ => {
                let expected = format!("[1 or {n}, T, {}] (n of the input)", c.context);
                return Err(Error::shape("the denoiser's context", context.shape(), expected));
            }
        }
        let waves = Var::from(self.waves(steps, x.device(), x.dtype())?);
        let step = self.told[1].apply(p, &self.told[0].apply(p, &waves)?.silu()?)?.silu()?;
        let told = [&step, context];
        let mut x = self.first.apply(p, x)?;
        let mut kept = vec![x.clone()];
        for level in &self.down {
            for k in 0..level.blocks.len() {
                x = level.apply_block(k, p, &x, &told, ask)?;
                kept.push(x.clone());
            }
            if let Some(resize) = &level.resize {
                x = resize.halve(p, &x, c.zeros)?;
                kept.push(x.clone());
            }
        }
        let (before, sees, after) = &self.middle;
        x = sees.apply(p, &before.apply(p, &x, Some(&step))?, context, ask)?;
        x = after.apply(p, &x, Some(&step))?;
        for level in &self.up {
            for k in 0..level.blocks.len() {
                let past = kept.pop().expect("as many blocks on both ways");
                x = level.apply_block(k, p, &ops::concat(&[&x, &past], 3)?, &told, ask)?;
            }
            if let Some(resize) = &level.resize {
                x = resize.apply(p, &x.nearest_up()?)?;
            }
        }
        Ok(self.last.apply(p, &self.norm.apply(p, &x)?.silu()?)?)
    }

    /// Steps as waves of falling frequency: [1 or n, widths[0]].
    fn waves(&self, steps: &[f64], device: &Device, dtype: DType) -> Result<Tensor> {
        let c = &self.config;
        let width = c.widths[0];
        let half = width / 2;
        let mut rows = vec![0.0; steps.len() * width];
        for (row, step) in rows.chunks_exact_mut(width).zip(steps) {
            for k in 0..half {
                let angle = step * (-LONGEST_WAVE.ln() * k as f64 / (half as f64 - c.frequency_shift)).exp();
                let (sine, cosine) = angle.sin_cos();
                (row[k], row[half + k]) = if c.cosines_first { (cosine, sine) } else { (sine, cosine) };
            }
        }
        Ok(Tensor::from_slice(&Device::cpu(), &rows, &[steps.len(), width])?.cast(dtype)?.to_device(device)?)
    }
}
