//! Mip chains: level 0 and its repeated 2×2 box reductions in one table.

use lumigrad_core::map::{CallParams, IntExpr, Map};
use lumigrad_core::{DType, Device, Error, Operator, Result, Tensor, Var, apply};
use std::sync::Arc;

/// Sizes and places of the levels of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// (first row, width, height) of each level, finest first.
    pub levels: Vec<(usize, usize, usize)>,
}

impl Levels {
    /// Levels of a picture down to 1×1; odd sizes round up, so that every texel has a parent.
    pub fn new(width: usize, height: usize) -> Self {
        let (mut w, mut h, mut first) = (width.max(1), height.max(1), 0);
        let mut levels = vec![(0, w, h)];
        while w > 1 || h > 1 {
            first += w * h;
            (w, h) = (w.div_ceil(2), h.div_ceil(2));
            levels.push((first, w, h));
        }
        Self { levels }
    }

    /// Only level 0.
    pub fn single(width: usize, height: usize) -> Self {
        Self { levels: vec![(0, width, height)] }
    }

    /// Texels in all levels.
    pub fn texels(&self) -> usize {
        self.levels.last().map_or(0, |&(first, w, h)| first + w * h)
    }

    /// The table [n_levels, 3] of (first row, width, height) that sampling reads.
    pub fn table(&self, device: &Device) -> Result<Tensor> {
        let rows: Vec<u32> = self.levels.iter().flat_map(|&(f, w, h)| [f as u32, w as u32, h as u32]).collect();
        Tensor::from_slice(device, &rows, &[self.levels.len(), 3])
    }
}

/// A level's texel number → (x, y).
fn split(texel: IntExpr, width: IntExpr) -> (IntExpr, IntExpr) {
    let y = texel.quotient(width);
    (texel - y * width, y)
}

/// One reduction: coarse texel = mean of its 2×2 parents (the border repeats at odd sizes).
fn down_map() -> Map {
    Map::cached("texture/mip_down", |m| {
        let fine = m.table::<4>("fine");
        let (w, h, coarse_w) = (m.int_param(), m.int_param(), m.int_param());
        let (x, y) = split(m.index(), coarse_w);
        let (x0, y0) = (x * 2, y * 2);
        let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
        let rows = [y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1].map(|r| fine.fetch(r));
        let mean: Vec<_> = (0..4).map(|c| (rows[0][c] + rows[1][c] + (rows[2][c] + rows[3][c])) * 0.25).collect();
        m.output("coarse", &mean);
    })
}

/// Its transpose, as a gather: the fine texel's own gradient plus its share of the coarse one.
fn up_map() -> Map {
    Map::cached("texture/mip_up", |m| {
        let own = m.item::<4>("own gradient");
        let coarse = m.table::<4>("coarse gradient");
        let (w, h, coarse_w) = (m.int_param(), m.int_param(), m.int_param());
        let (x, y) = split(m.index(), w);
        let parent = coarse.fetch(y.quotient(2) * coarse_w + x.quotient(2));
        // The last texel of an odd row stands in for its missing neighbour, hence counts twice.
        let twice = |k: IntExpr, n: IntExpr| k.equals(n - 1).and(n.modulo(2).equals(1)).select(2.0, 1.0);
        let weight = 0.25 * twice(x, w) * twice(y, h);
        let sum: Vec<_> = (0..4).map(|c| own[c] + weight * parent[c]).collect();
        m.output("gradient", &sum);
    })
}

struct MipChain(Levels);

impl MipChain {
    fn reduce(&self, finest: &Tensor) -> Result<Tensor> {
        let (_, w0, h0) = self.0.levels[0];
        let mut parts = vec![finest.reshape(&[w0 * h0, 4])?];
        for pair in self.0.levels.windows(2) {
            let [(_, w, h), (_, cw, ch)] = [pair[0], pair[1]];
            let params = CallParams { items: cw * ch, real: vec![], int: vec![w as i32, h as i32, cw as i32] };
            let coarse = down_map().run(&[&parts[parts.len() - 1]], &params)?.remove(0);
            parts.push(coarse);
        }
        lumigrad_core::ops::concat_tensors(&parts.iter().collect::<Vec<_>>(), 0)
    }
}

impl Operator for MipChain {
    fn name(&self) -> &str {
        "texture/mip_chain"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.reduce(&inputs[0])?])
    }

    fn jvp(&self, _: &[Tensor], _: &[Tensor], t: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![t[0].as_ref().map(|t| self.reduce(t)).transpose()?])
    }

    fn vjp(&self, inputs: &[Tensor], _: &[Tensor], c: &[Option<Tensor>], _: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let Some(gradient) = &c[0] else { return Ok(vec![None]) };
        let part = |k: usize| {
            let (first, w, h) = self.0.levels[k];
            lumigrad_core::ops::slice_tensor(gradient, 0, first, first + w * h)
        };
        let last = self.0.levels.len() - 1;
        let mut coarse = part(last)?;
        for k in (0..last).rev() {
            let ((_, w, h), (_, cw, _)) = (self.0.levels[k], self.0.levels[k + 1]);
            let params = CallParams { items: w * h, real: vec![], int: vec![w as i32, h as i32, cw as i32] };
            coarse = up_map().run(&[&part(k)?, &coarse], &params)?.remove(0);
        }
        Ok(vec![Some(coarse.reshape(inputs[0].shape())?)])
    }
}

/// The mip chain of a texture.
///
/// **Shapes**: texture [H, W, 4] → [texels, 4], levels one after the other as in [`Levels::new`].
/// **Gradients**: exact (the chain is linear). **Cost**: 4/3 of the texture, read and written once.
pub fn mip_chain(texture: &Var) -> Result<(Var, Levels)> {
    let &[h, w, 4] = texture.shape() else {
        return Err(Error::shape("texture", texture.shape(), "[H, W, 4]"));
    };
    debug_assert!(texture.dtype() != DType::U32);
    let levels = Levels::new(w, h);
    Ok((apply(Arc::new(MipChain(levels.clone())), &[texture])?.remove(0), levels))
}
