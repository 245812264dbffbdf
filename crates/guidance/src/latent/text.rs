//! CLIP's text transformer (Radford et al. 2021), which diffusion models are told texts by.

use super::config::Config;
use super::layers::{Kind, LayerNorm, Layout, Linear, join_heads, split_heads};
use super::lora::{LowRank, Network};
use super::{Tokenizer, Weights};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var, ops};
use serde_json::json;
use std::path::Path;

/// Added before softmax to what a word must not see.
const HIDDEN: f32 = -1e9;

struct Layer {
    norms: [LayerNorm; 2],
    queries: Linear,
    keys: Linear,
    values: Linear,
    out: Linear,
    wide: Linear,
    narrow: Linear,
}

/// Tokeniser and text transformer.
///
/// ```no_run
/// # use lumigrad_guidance::latent::TextEncoder;
/// # fn main() -> lumigrad_guidance::Result<()> {
/// let device = lumigrad_core::Device::cpu();
/// let encoder = TextEncoder::open("stable-diffusion-v1-5".as_ref(), &device)?;
/// let states = encoder.encode(&["a red chair", ""], &device)?;
/// assert_eq!(states.shape(), [2, 77, 768]);
/// # Ok(()) }
/// ```
pub struct TextEncoder {
    tokenizer: Tokenizer,
    layout: Layout,
    parameters: Vec<Tensor>,
    embeddings: [usize; 2],
    layers: Vec<Layer>,
    last: LayerNorm,
    width: usize,
    heads: usize,
    /// Whether gelu is the rougher one.
    quick: bool,
}

impl TextEncoder {
    /// The folders `tokenizer` and `text_encoder` of a model's folder.
    ///
    /// # Errors
    /// Missing, truncated or unknown files; what was expected is said.
    pub fn open(folder: &Path, device: &Device) -> Result<Self> {
        let tokenizer = Tokenizer::open(&folder.join("tokenizer"))?;
        let folder = folder.join("text_encoder");
        let mut encoder = Self::new(tokenizer, Config::open(&folder.join("config.json"))?)?;
        encoder.parameters = encoder.layout.load(&Weights::open(&folder, "model")?, device)?;
        Ok(encoder)
    }

    /// Adds low-rank changes of a file to the weights.
    pub(super) fn merge(&mut self, changes: &mut LowRank) -> Result<()> {
        changes.merge(Network::Text, &self.layout, &mut self.parameters)
    }

    /// Keys of the configuration that do not change the network are many, and not looked at.
    fn new(tokenizer: Tokenizer, mut c: Config) -> Result<Self> {
        c.only("model_type", &[json!("clip_text_model")])?;
        let gelu = c.or("hidden_act", String::from("quick_gelu"))?;
        if !["gelu", "quick_gelu"].contains(&gelu.as_str()) {
            return Err(c.wrong(format!("hidden_act is {gelu:?}, expected gelu or quick_gelu")));
        }
        let width = c.count("hidden_size", 512, [1, 8192])?;
        let wide = c.count("intermediate_size", 2048, [1, 65_536])?;
        let depth = c.count("num_hidden_layers", 12, [1, 64])?;
        let heads = c.count("num_attention_heads", 8, [1, 256])?;
        let words = c.count("vocab_size", 49_408, [1, 1 << 20])?;
        let places = c.count("max_position_embeddings", 77, [1, 4096])?;
        let epsilon = c.or("layer_norm_eps", 1e-5)?;
        if width % heads != 0 {
            return Err(c.wrong(format!("hidden_size {width} is no multiple of its {heads} attention heads")));
        }
        if tokenizer.length() > places || tokenizer.size() > words {
            return Err(c.wrong(format!(
                "it knows {words} tokens at {places} places, but its tokenizer has {} at {}",
                tokenizer.size(),
                tokenizer.length()
            )));
        }
        let mut l = Layout::default();
        let [tokens, positions] = [("token_embedding", words), ("position_embedding", places)]
            .map(|(name, n)| l.array(format!("text_model.embeddings.{name}.weight"), &[n, width], Kind::Plain));
        let mut layer = |k: usize| {
            let name = |part: &str| format!("text_model.encoder.layers.{k}.{part}");
            Layer {
                norms: ["layer_norm1", "layer_norm2"].map(|part| l.layer_norm(&name(part), width, epsilon)),
                queries: l.projection(&name("self_attn.q_proj"), width, width, true),
                keys: l.projection(&name("self_attn.k_proj"), width, width, true),
                values: l.projection(&name("self_attn.v_proj"), width, width, true),
                out: l.projection(&name("self_attn.out_proj"), width, width, true),
                wide: l.linear(&name("mlp.fc1"), width, wide),
                narrow: l.linear(&name("mlp.fc2"), wide, width),
            }
        };
        let layers = (0..depth).map(&mut layer).collect();
        let last = l.layer_norm("text_model.final_layer_norm", width, epsilon);
        let (embeddings, quick) = ([tokens, positions], gelu == "quick_gelu");
        Ok(Self { tokenizer, layout: l, parameters: vec![], embeddings, layers, last, width, heads, quick })
    }

    /// Numbers that tell a token: the last dimension of [`TextEncoder::encode`].
    pub fn width(&self) -> usize {
        self.width
    }

    /// The weights, in a fixed order, those of linear layers [I, O].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// The numbers of a text: start, words as far as they fit, end, padding. Always as many.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        self.tokenizer.padded(text)
    }

    /// At which places of [`TextEncoder::tokens`] a word (or several) stands, in all its occurrences; none where it does not.
    pub fn words(&self, text: &str, word: &str) -> Vec<usize> {
        let (all, word) = (self.tokens(text), self.tokenizer.plain(word));
        let end = 1 + self.tokenizer.plain(text).len().min(all.len() - 2);
        if word.is_empty() {
            return vec![];
        }
        let starts = (1..end).filter(|&k| all[k..end].starts_with(&word));
        let mut places: Vec<usize> = starts.flat_map(|k| k..k + word.len()).collect();
        places.dedup();
        places
    }

    /// What the denoiser is told of texts: the last hidden states [n, T, width].
    pub fn encode(&self, texts: &[&str], device: &Device) -> Result<Tensor> {
        let p = self.parameters.iter().map(|t| Ok(Var::from(t.to_device(device)?))).collect::<Result<Vec<_>>>()?;
        let tokens: Vec<Vec<u32>> = texts.iter().map(|text| self.tokens(text)).collect();
        Ok(self.apply(&p, &tokens)?.tensor().clone())
    }

    /// Last hidden states [n, T, width] of tokens, all of one length T, by other parameters.
    ///
    /// **Gradients**: to the parameters. **Errors**: tokens that do not exist or are too many, parameters of other shapes.
    pub fn apply(&self, p: &[Var], tokens: &[Vec<u32>]) -> Result<Var> {
        self.layout.check("text encoder", p)?;
        let (n, t) = (tokens.len(), tokens.first().map_or(0, Vec::len));
        let [words, places] = self.embeddings.map(|k| &p[k]);
        let known = |row: &Vec<u32>| row.len() == t && row.iter().all(|&k| (k as usize) < words.shape()[0]);
        if n == 0 || t == 0 || t > places.shape()[0] || !tokens.iter().all(known) {
            let expected = format!("at least one text of 1 to {} known tokens, all as long", places.shape()[0]);
            return Err(Error::shape("the text encoder's tokens", &[n, t], expected));
        }
        let device = words.device();
        let ids = Tensor::from_slice(device, &tokens.concat(), &[n, t])?;
        let mut x = words.gather(&ids)?.add(&places.slice(0, 0, t)?)?;
        let hidden: Vec<f32> = (0..t * t).map(|k| if k % t > k / t { HIDDEN } else { 0.0 }).collect();
        let mask = Var::from(Tensor::from_slice(device, &hidden, &[t, t])?.cast(words.dtype())?);
        for layer in &self.layers {
            let y = layer.norms[0].apply(p, &x)?;
            let part = |projection: &Linear| split_heads(&projection.apply(p, &y)?, self.heads);
            let weights = ops::attention_weights(&part(&layer.queries)?, &part(&layer.keys)?, Some(&mask))?;
            let seen = join_heads(&weights.matmul(&part(&layer.values)?)?, self.heads)?;
            x = x.add(&layer.out.apply(p, &seen)?)?;
            let y = layer.wide.apply(p, &layer.norms[1].apply(p, &x)?)?;
            let y = if self.quick { y.quick_gelu()? } else { y.gelu()? };
            x = x.add(&layer.narrow.apply(p, &y)?)?;
        }
        Ok(self.last.apply(p, &x)?)
    }
}
