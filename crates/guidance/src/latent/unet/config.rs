//! `unet/config.json` of diffusers.

use crate::Result;
use crate::latent::config::Config;
use crate::latent::layers::Norm;
use serde::Deserialize;
use serde_json::json;
use std::path::Path;

/// Sizes of a [`Denoiser`](super::Denoiser).
#[derive(Clone, Debug)]
pub struct DenoiserConfig {
    /// Height and width of the latents that it was trained on, if that is known.
    pub sample_size: Option<usize>,
    /// Channels of latents that come in.
    pub inputs: usize,
    /// Channels of latents that go out.
    pub outputs: usize,
    /// Channels of each level, the finest first.
    pub widths: Vec<usize>,
    /// Residual blocks of a level on the way down; on the way up there is one more.
    pub blocks: usize,
    /// Whether a level on the way down has attention.
    pub attention_down: Vec<bool>,
    /// Whether a level on the way up has attention, the coarsest first.
    pub attention_up: Vec<bool>,
    /// Heads of attention of each level on the way down.
    pub heads: Vec<usize>,
    /// Numbers that tell a token of the context.
    pub context: usize,
    pub(super) norm: Norm,
    /// Zeros before and after rows and columns, where pictures get half the size.
    pub(super) zeros: [usize; 2],
    /// Whether cosines of the step come before sines.
    pub(super) cosines_first: bool,
    /// What is taken from the number of frequencies, where their exponents are told.
    pub(super) frequency_shift: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

impl DenoiserConfig {
    /// Sides of latents must be multiples of it.
    pub fn multiple(&self) -> usize {
        1 << (self.widths.len() - 1)
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut c = Config::open(path)?;
        c.only("_class_name", &[json!("UNet2DConditionModel")])?;
        let widths = c.widths("block_out_channels")?;
        let levels = widths.len();
        let mut kinds = |key: &str, plain: &str, attention: &str| -> Result<Vec<bool>> {
            let names: Vec<String> = c.required(key)?;
            let known: Option<Vec<bool>> = names
                .iter()
                .map(|name| (name == attention).then_some(true).or((name == plain).then_some(false)))
                .collect();
            known.filter(|k| k.len() == levels).ok_or_else(|| {
                c.wrong(format!(
                    "{key} is {names:?}, expected {levels} (from block_out_channels) of {attention} or {plain}"
                ))
            })
        };
        let attention_down = kinds("down_block_types", "DownBlock2D", "CrossAttnDownBlock2D")?;
        let attention_up = kinds("up_block_types", "UpBlock2D", "CrossAttnUpBlock2D")?;
        // What diffusers calls the dimension of heads is their number here (a name that stayed for old files' sake).
        let heads = match c.or("attention_head_dim", OneOrMany::One(8))? {
            OneOrMany::One(heads) => vec![heads; levels],
            OneOrMany::Many(heads) => heads,
        };
        let groups = c.count("norm_num_groups", 32, [1, 8192])?;
        let odd = |(w, h): (&usize, &usize)| *h == 0 || w % h != 0;
        if heads.len() != levels || widths.iter().zip(&heads).any(odd) {
            let expected = format!("{levels} numbers of heads that divide block_out_channels {widths:?}");
            return Err(c.wrong(format!("attention_head_dim is {heads:?}, expected {expected}")));
        }
        if let Some(width) = widths.iter().find(|&&w| w % groups != 0) {
            return Err(c.wrong(format!("block_out_channels has {width}, no multiple of norm_num_groups {groups}")));
        }
        let padding = c.count("downsample_padding", 1, [0, 1])?;
        let config = Self {
            sample_size: c.optional("sample_size")?,
            inputs: c.count("in_channels", 4, [1, 64])?,
            outputs: c.count("out_channels", 4, [1, 64])?,
            blocks: c.count("layers_per_block", 2, [1, 16])?,
            attention_down,
            attention_up,
            heads,
            context: c.count("cross_attention_dim", 1280, [1, 65_536])?,
            norm: Norm { groups, epsilon: c.or("norm_eps", 1e-5)? },
            zeros: if padding == 0 { [0, 1] } else { [1, 1] },
            cosines_first: c.or("flip_sin_to_cos", true)?,
            frequency_shift: c.or("freq_shift", 0.0)?,
            widths,
        };
        // Both kinds of these are the same network here.
        let _: Option<bool> = c.optional("use_linear_projection")?;
        let _: Option<bool> = c.optional("upcast_attention")?;
        let _: Option<f64> = c.optional("dropout")?;
        // Without an embedding added, this is not used.
        let _: Option<usize> = c.optional("addition_embed_type_num_heads")?;
        for (key, known) in [
            ("act_fn", vec![json!("silu"), json!("swish")]),
            ("mid_block_type", vec![json!("UNetMidBlock2DCrossAttn")]),
            ("mid_block_scale_factor", vec![json!(1), json!(1.0)]),
            ("time_embedding_type", vec![json!("positional")]),
            ("resnet_time_scale_shift", vec![json!("default")]),
            ("resnet_out_scale_factor", vec![json!(1), json!(1.0)]),
            ("attention_type", vec![json!("default")]),
            ("transformer_layers_per_block", vec![json!(1)]),
            ("conv_in_kernel", vec![json!(3)]),
            ("conv_out_kernel", vec![json!(3)]),
            ("center_input_sample", vec![json!(false)]),
            ("dual_cross_attention", vec![json!(false)]),
            ("only_cross_attention", vec![json!(false)]),
            ("mid_block_only_cross_attention", vec![json!(false)]),
            ("resnet_skip_time_act", vec![json!(false)]),
            ("class_embeddings_concat", vec![json!(false)]),
        ] {
            c.only(key, &known)?;
        }
        c.finish()?;
        Ok(config)
    }
}
