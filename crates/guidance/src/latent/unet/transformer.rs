//! Blocks of self-attention, attention to the context, and a gated layer.

use super::Ask;
use crate::latent::layers::{GroupNorm, LayerNorm, Layout, Linear, join_heads, split_heads};
use lumigrad_core::{Result, Var, ops};

/// Added to variances of layer norms, and of the group norm before a block: fixed in diffusers.
const LAYER_EPSILON: f64 = 1e-5;
const GROUP_EPSILON: f64 = 1e-6;

struct Attention {
    queries: Linear,
    keys: Linear,
    values: Linear,
    out: Linear,
}

impl Attention {
    fn new(l: &mut Layout, name: &str, channels: usize, context: usize) -> Self {
        let mut part =
            |part: &str, inputs: usize, bias: bool| l.projection(&format!("{name}.{part}"), inputs, channels, bias);
        Self {
            queries: part("to_q", channels, false),
            keys: part("to_k", context, false),
            values: part("to_v", context, false),
            out: part("to_out.0", channels, true),
        }
    }
}

/// What pixels see of each other and of the context.
pub struct Transformer {
    norm: GroupNorm,
    first: Linear,
    norms: [LayerNorm; 3],
    own: Attention,
    cross: Attention,
    wide: Linear,
    narrow: Linear,
    last: Linear,
    heads: usize,
}

impl Transformer {
    pub fn new(l: &mut Layout, name: &str, channels: usize, heads: usize, context: usize, groups: usize) -> Self {
        let norm = l.group_norm(&format!("{name}.norm"), channels, groups, GROUP_EPSILON);
        let first = l.linear(&format!("{name}.proj_in"), channels, channels);
        let block = |part: &str| format!("{name}.transformer_blocks.0.{part}");
        Self {
            norm,
            first,
            norms: ["norm1", "norm2", "norm3"].map(|part| l.layer_norm(&block(part), channels, LAYER_EPSILON)),
            own: Attention::new(l, &block("attn1"), channels, channels),
            cross: Attention::new(l, &block("attn2"), channels, context),
            wide: l.linear(&block("ff.net.0.proj"), channels, 8 * channels),
            narrow: l.linear(&block("ff.net.2"), 4 * channels, channels),
            last: l.linear(&format!("{name}.proj_out"), channels, channels),
            heads,
        }
    }

    /// x [N, H, W, C] and context [N or 1, T, width]: [N, H, W, C].
    pub fn apply(&self, p: &[Var], x: &Var, context: &Var, ask: &Ask) -> Result<Var> {
        let &[n, h, w, c] = x.shape() else { unreachable!("the denoiser has checked it") };
        let rows = [n, h * w, c];
        let mut y = self.first.apply(p, &self.norm.apply(p, x)?)?.reshape(&rows)?;
        let seen = self.own(p, &self.norms[0].apply(p, &y)?, ask)?;
        y = y.add(&seen.reshape(&rows)?)?;
        let told = self.cross(p, &self.norms[1].apply(p, &y)?, context, [h, w], ask)?;
        y = y.add(&told.reshape(&rows)?)?;
        let gated = gate(&self.wide.apply(p, &self.norms[2].apply(p, &y)?)?, 4 * c)?;
        y = y.add(&self.narrow.apply(p, &gated)?)?;
        x.add(&self.last.apply(p, &y.reshape(x.shape())?)?)
    }

    fn own(&self, p: &[Var], x: &Var, ask: &Ask) -> Result<Var> {
        let &[n, pixels, c] = x.shape() else { unreachable!("rows of pixels") };
        // All pictures as one, or each for itself.
        let rows = if ask.together { [1, n * pixels, c] } else { [n, pixels, c] };
        let part = |layer: &Linear| split_heads(&layer.apply(p, x)?.reshape(&rows)?, self.heads);
        let seen = ops::attention(&part(&self.own.queries)?, &part(&self.own.keys)?, &part(&self.own.values)?)?;
        self.own.out.apply(p, &join_heads(&seen, self.heads)?)
    }

    fn cross(&self, p: &[Var], x: &Var, context: &Var, size: [usize; 2], ask: &Ask) -> Result<Var> {
        let &[n, pixels, c] = x.shape() else { unreachable!("rows of pixels") };
        // One context for all pictures sees their pixels as those of one.
        let rows = if context.shape()[0] == 1 { [1, n * pixels, c] } else { [n, pixels, c] };
        let queries = split_heads(&self.cross.queries.apply(p, x)?.reshape(&rows)?, self.heads)?;
        let part = |layer: &Linear| split_heads(&layer.apply(p, context)?, self.heads);
        let (keys, values) = (part(&self.cross.keys)?, part(&self.cross.values)?);
        let seen = match &ask.kept {
            Some(kept) => {
                let weights = ops::attention_weights(&queries, &keys, None)?;
                let t = context.shape()[1];
                let by_head = weights.stop_gradient().reshape(&[rows[0], self.heads, rows[1], t])?;
                let mean = by_head.mean_axis(1)?.reshape(&[n, pixels, t])?;
                kept.lock().expect("no thread panics while it pushes").push((size, mean.tensor().clone()));
                weights.matmul(&values)?
            }
            None => ops::attention(&queries, &keys, &values)?,
        };
        self.cross.out.apply(p, &join_heads(&seen, self.heads)?)
    }
}

/// The first half of the channels times gelu of the second (Shazeer 2020): [.., 2C] → [.., C].
fn gate(x: &Var, channels: usize) -> Result<Var> {
    let axis = x.shape().len() - 1;
    let [open, by] = [x.slice(axis, 0, channels)?, x.slice(axis, channels, 2 * channels)?];
    ops::pointwise("geglu", &[&open, &by], |x| x[0] * (x[1] * x[1].normal_cdf()))
}
