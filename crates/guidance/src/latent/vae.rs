//! The autoencoder of Stable Diffusion 1 and 2 (Rombach et al. 2022), `AutoencoderKL` of diffusers.

use super::Weights;
use super::config::Config;
use super::layers::{Convolution, GroupNorm, Layout, Linear, Norm, Residual};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var, checkpoint, ops};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Zeros before and after rows and columns where pictures get half the size.
const ZEROS: [usize; 2] = [0, 1];
/// Added to variances: fixed in diffusers.
const EPSILON: f64 = 1e-6;

/// Pixels of a batch from which on blocks are run again for derivatives. With widths like Stable Diffusion's and 512 × 512
/// pixels on the CPU, that takes 1.4 of 6.1 GB away and adds a fifth of the time.
const MANY: usize = 1 << 17;

/// x + means of values of all pixels, by how well they fit, with one head.
struct Attention {
    norm: GroupNorm,
    queries: Linear,
    keys: Linear,
    values: Linear,
    out: Linear,
}

impl Attention {
    fn new(l: &mut Layout, name: &str, channels: usize, norm: Norm) -> Self {
        let groups = l.group_norm(&format!("{name}.group_norm"), channels, norm.groups, norm.epsilon);
        let mut part = |part: &str| l.projection(&format!("{name}.{part}"), channels, channels, true);
        let [queries, keys, values, out] = ["to_q", "to_k", "to_v", "to_out.0"].map(&mut part);
        Self { norm: groups, queries, keys, values, out }
    }

    fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        let &[n, h, w, c] = x.shape() else { unreachable!("pictures were checked") };
        let y = self.norm.apply(p, x)?.reshape(&[n, h * w, c])?;
        let seen = ops::attention(&self.queries.apply(p, &y)?, &self.keys.apply(p, &y)?, &self.values.apply(p, &y)?)?;
        Ok(x.add(&self.out.apply(p, &seen)?.reshape(x.shape())?)?)
    }
}

/// What is at the coarsest level of both halves.
struct Middle {
    before: Residual,
    attention: Option<Attention>,
    after: Residual,
}

impl Middle {
    fn new(l: &mut Layout, name: &str, channels: usize, norm: Norm, sees: bool) -> Self {
        Self {
            before: l.residual(&format!("{name}.resnets.0"), [channels; 2], None, norm),
            attention: sees.then(|| Attention::new(l, &format!("{name}.attentions.0"), channels, norm)),
            after: l.residual(&format!("{name}.resnets.1"), [channels; 2], None, norm),
        }
    }

    fn apply(&self, p: &[Var], x: &Var) -> Result<Var> {
        let mut y = self.before.apply(p, x, None)?;
        if let Some(attention) = &self.attention {
            y = attention.apply(p, &y)?;
        }
        Ok(self.after.apply(p, &y, None)?)
    }
}

/// A level: residual blocks, then another size.
struct Level {
    blocks: Vec<Arc<Residual>>,
    resize: Option<Convolution>,
}

impl Level {
    /// All blocks, which run again for the derivative by a large `x` where parameters are not recorded.
    fn blocks(&self, p: &[Var], x: Var, pixels: usize) -> Result<Var> {
        let again = pixels >= MANY && x.is_recorded() && !p.iter().any(Var::is_recorded);
        self.blocks.iter().try_fold(x, |x, block| {
            if !again {
                return Ok(block.apply(p, &x, None)?);
            }
            let (block, p) = (block.clone(), p.to_vec());
            Ok(checkpoint(&[&x], move |x| Ok(vec![block.apply(&p, &x[0], None)?]))?.remove(0))
        })
    }
}

/// One half: the encoder goes down and through the middle, the decoder through the middle and up.
struct Half {
    first: Convolution,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    last: Convolution,
}

/// Pictures to latents of a fraction of their size, and back.
pub struct Autoencoder {
    layout: Layout,
    parameters: Vec<Tensor>,
    encoder: Half,
    decoder: Half,
    /// After the encoder, and before the decoder.
    mixed: [Option<Linear>; 2],
    levels: usize,
    pictures: usize,
    channels: usize,
    scale: f64,
    shift: f64,
}

impl Autoencoder {
    /// The folder `vae` of a model's folder.
    ///
    /// # Errors
    /// Missing or truncated files, tensors that are missing or of other shapes, and autoencoders of other kinds; what was
    /// expected is said.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let folder = folder.join("vae");
        let mut network = Self::new(Config::open(&folder.join("config.json"))?)?;
        network.parameters = network.layout.load(&Weights::open(&folder, "diffusion_pytorch_model")?, device)?;
        Ok(network)
    }

    fn new(mut c: Config) -> Result<Self> {
        c.only("_class_name", &[json!("AutoencoderKL")])?;
        let widths = c.widths("block_out_channels")?;
        let levels = widths.len();
        for (key, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            c.only(key, &[json!(vec![kind; levels])])?;
        }
        let norm = Norm { groups: c.count("norm_num_groups", 32, [1, 8192])?, epsilon: EPSILON };
        if let Some(width) = widths.iter().find(|&&w| w % norm.groups != 0) {
            let reason = format!("block_out_channels has {width}, no multiple of norm_num_groups {}", norm.groups);
            return Err(c.wrong(reason));
        }
        let pictures = c.count("in_channels", 3, [1, 64])?;
        c.only("out_channels", &[json!(pictures)])?;
        let channels = c.count("latent_channels", 4, [1, 64])?;
        let blocks = c.count("layers_per_block", 1, [1, 16])?;
        let scale: f64 = c.or("scaling_factor", 0.18215)?;
        let shift: f64 = c.or("shift_factor", 0.0)?;
        if !(scale.is_finite() && scale > 0.0 && shift.is_finite()) {
            return Err(
                c.wrong(format!("scaling_factor is {scale} and shift_factor {shift}, expected above 0 and finite"))
            );
        }
        let sees = c.or("mid_block_add_attention", true)?;
        let mixes = [c.or("use_quant_conv", true)?, c.or("use_post_quant_conv", true)?];
        let _: Option<usize> = c.optional("sample_size")?;
        let _: Option<bool> = c.optional("force_upcast")?;
        c.only("act_fn", &[json!("silu")])?;
        c.finish()?;

        let mut layout = Layout::default();
        let l = &mut layout;
        let half = |l: &mut Layout, name: &str, up: bool, [inputs, outputs]: [usize; 2], blocks: usize| {
            let kind = if up { ("up_blocks", "upsamplers") } else { ("down_blocks", "downsamplers") };
            let order: Vec<usize> = if up { widths.iter().rev().copied().collect() } else { widths.clone() };
            let (coarsest, mut channels) = (widths[levels - 1], order[0]);
            let first = l.convolution(&format!("{name}.conv_in"), inputs, channels);
            let mut all = vec![];
            for (k, &width) in order.iter().enumerate() {
                let mut of_level = vec![];
                for b in 0..blocks {
                    let block = format!("{name}.{}.{k}.resnets.{b}", kind.0);
                    of_level.push(Arc::new(l.residual(&block, [channels, width], None, norm)));
                    channels = width;
                }
                let resize = format!("{name}.{}.{k}.{}.0.conv", kind.0, kind.1);
                let resize = (k + 1 < levels).then(|| l.convolution(&resize, width, width));
                all.push(Level { blocks: of_level, resize });
            }
            let middle = Middle::new(l, &format!("{name}.mid_block"), coarsest, norm, sees);
            let last = l.group_norm(&format!("{name}.conv_norm_out"), channels, norm.groups, norm.epsilon);
            let end = l.convolution(&format!("{name}.conv_out"), channels, outputs);
            Half { first, levels: all, middle, norm: last, last: end }
        };
        let encoder = half(l, "encoder", false, [pictures, 2 * channels], blocks);
        let decoder = half(l, "decoder", true, [channels, pictures], blocks + 1);
        let mixed = [
            mixes[0].then(|| l.linear("quant_conv", 2 * channels, 2 * channels)),
            mixes[1].then(|| l.linear("post_quant_conv", channels, channels)),
        ];
        Ok(Self { layout, parameters: vec![], encoder, decoder, mixed, levels, pictures, channels, scale, shift })
    }

    /// Pixels of a picture along a side of a latent's pixel.
    pub fn factor(&self) -> usize {
        1 << (self.levels - 1)
    }

    /// Channels of latents.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The weights, in a fixed order: those of linear layers are [I, O], those of convolutions [K, K, I, O].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// Latents [n, h, w, channels] of pictures [n, H, W, 3] in [−1, 1]: the mean of the posterior, scaled so that latents
    /// have a deviation of about one.
    ///
    /// **Gradients**: to pictures and parameters. **Errors**: shapes; sides that are no multiples of
    /// [`Autoencoder::factor`]. **Cost**: from 131 072 pixels on, derivatives run residual blocks again, which then keep
    /// nothing.
    pub fn encode(&self, p: &[Var], pictures: &Var) -> Result<Var> {
        self.check(p, "pictures to encode", pictures, self.pictures, self.factor())?;
        let half = &self.encoder;
        let pixels = pictures.len() / self.pictures;
        let mut x = half.first.apply(p, pictures)?;
        for level in &half.levels {
            x = level.blocks(p, x, pixels)?;
            if let Some(resize) = &level.resize {
                x = resize.halve(p, &x, ZEROS)?;
            }
        }
        x = half.middle.apply(p, &x)?;
        x = half.last.apply(p, &half.norm.apply(p, &x)?.silu()?)?;
        if let Some(layer) = &self.mixed[0] {
            x = layer.apply(p, &x)?;
        }
        // The other half of the channels is the logarithm of the posterior's variance.
        let mean = x.slice(3, 0, self.channels)?;
        Ok(mean.offset(-self.shift)?.scale(self.scale)?)
    }

    /// Pictures [n, H, W, 3] of latents [n, h, w, channels]: about [−1, 1], not clamped.
    ///
    /// **Gradients**: to latents and parameters. **Errors**: shapes.
    pub fn decode(&self, p: &[Var], latents: &Var) -> Result<Var> {
        self.check(p, "latents to decode", latents, self.channels, 1)?;
        let half = &self.decoder;
        let mut x = latents.scale(1.0 / self.scale)?.offset(self.shift)?;
        if let Some(layer) = &self.mixed[1] {
            x = layer.apply(p, &x)?;
        }
        let pixels = latents.len() / self.channels * self.factor().pow(2);
        x = half.middle.apply(p, &half.first.apply(p, &x)?)?;
        for level in &half.levels {
            x = level.blocks(p, x, pixels)?;
            if let Some(resize) = &level.resize {
                x = resize.apply(p, &x.nearest_up()?)?;
            }
        }
        Ok(half.last.apply(p, &half.norm.apply(p, &x)?.silu()?)?)
    }

    fn check(&self, p: &[Var], what: &str, x: &Var, channels: usize, multiple: usize) -> Result<()> {
        self.layout.check("autoencoder", p)?;
        match *x.shape() {
            [n, h, w, c] if c == channels && n * h * w > 0 && h % multiple == 0 && w % multiple == 0 => Ok(()),
            _ => {
                let sides = if multiple > 1 { format!(", sides multiples of {multiple}") } else { String::new() };
                Err(Error::shape(what, x.shape(), format!("[n, height, width, {channels}]{sides}")))
            }
        }
    }
}
