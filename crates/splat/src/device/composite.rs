//! Compositing as an operator: splats in, picture out.

use super::Listed;
use super::kernels::{Composite, CompositeMoments, CompositePulls, CompositeTangent, Params, Ranks, SplatGradient};
use super::lists::Lists;
use super::project::SPLAT;
use crate::strategy::Pulls;
use lumigrad_core::map::Expr;
use lumigrad_core::{CallParams, Map, Operator, Result, Tensor, Var, apply};
use std::sync::Arc;

/// Finds, on the way back, what pulls at means.
pub(super) struct Watch {
    /// Zeros [N, 2], recorded. In the place of their gradient come, in units of half the picture, how hard means are pulled
    /// at, and 1 where a pixel shows the splat.
    pub zeros: Var,
    /// What is summed.
    pub pulls: Pulls,
}

impl Listed {
    /// The picture [H·W, 5].
    pub fn composite(&self, watch: Option<&Watch>) -> Result<Var> {
        let pulls = watch.map(|w| w.pulls);
        let operator = CompositeOperator { lists: self.lists.clone(), params: self.params, pulls };
        let inputs: Vec<&Var> = std::iter::once(&self.splats).chain(watch.map(|w| &w.zeros)).collect();
        Ok(apply(Arc::new(operator), &inputs)?.remove(0))
    }
}

/// Splats [N, 10] → picture [H·W, 5].
struct CompositeOperator {
    lists: Arc<Lists>,
    params: Params,
    /// What the second input, if there is one, watches.
    pulls: Option<Pulls>,
}

impl CompositeOperator {
    fn picture(&self, like: &Tensor) -> Result<Tensor> {
        Tensor::uninit(like.device(), like.dtype(), &[(self.params.width * self.params.height) as usize, 5])
    }
}

impl CompositeOperator {
    /// By the splats [N, 10].
    fn gradient(&self, splats: &Tensor, picture: &Tensor, grads: &Tensor) -> Result<Tensor> {
        let Lists { ids, starts, slots, offsets, order, entries } = &*self.lists;
        let mut moments = Tensor::zeros(splats.device(), splats.dtype(), &[*entries, SPLAT])?;
        CompositeMoments { splats, ids, starts, slots, picture, grads, moments: &mut moments }
            .launch(&self.params, self.params.tiles as usize)?;
        let mut gradient = Tensor::uninit(splats.device(), splats.dtype(), splats.shape())?;
        let ranks = order.len();
        SplatGradient { splats, order, offsets, moments: &moments, gradient: &mut gradient }
            .launch(&Ranks { ranks: ranks as u32, unused: [0; 3] }, ranks)?;
        Ok(gradient)
    }

    /// Lengths of the derivatives by means, and whether a pixel shows the splat, [N, 2].
    fn pulls_of_pictures(&self, gradient: &Tensor) -> Result<Tensor> {
        let map = Map::cached("splat/pulls", |m| {
            let by = m.item::<SPLAT>("gradient");
            let [half_width, half_height] = std::array::from_fn(|_| m.param());
            let length = ((by[0] * half_width).square() + (by[1] * half_height).square()).max(1e-30).sqrt();
            m.output("pulls", &[length, shown(by[5])]);
        });
        let real = [self.params.width, self.params.height].map(|n| 0.5 * n as f64).to_vec();
        Ok(map.run(&[gradient], &CallParams { items: 0, real, int: vec![] })?.remove(0))
    }

    /// Sums of the lengths of the pixels' shares of these derivatives, likewise.
    fn pulls_of_pixels(&self, splats: &Tensor, picture: &Tensor, grads: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let Lists { ids, starts, slots, offsets, order, entries } = &*self.lists;
        let mut pulls = Tensor::zeros(splats.device(), splats.dtype(), &[*entries, 1])?;
        CompositePulls { splats, ids, starts, slots, picture, grads, pulls: &mut pulls }
            .launch(&self.params, self.params.tiles as usize)?;
        let by_rank = Var::from(pulls).segment_sum(offsets)?;
        let map = Map::cached("splat/pulls of pixels", |m| {
            let ([pull], [splat]) = (m.item("pulls"), m.item_int("order"));
            let gradients = m.table::<SPLAT>("gradients");
            let seen = shown(gradients.fetch(splat)[5]);
            m.scatter("pulls", gradients, &[(splat, [pull, seen])]);
        });
        Ok(map.run(&[by_rank.tensor(), order, gradient], &CallParams::default())?.remove(0))
    }
}

/// Splats that reach no pixel have no derivative by their opacity.
fn shown(by_opacity: Expr) -> Expr {
    by_opacity.abs().less_eq(0.0).select(0.0, 1.0)
}

impl Operator for CompositeOperator {
    fn name(&self) -> &str {
        "splat/composite"
    }

    fn forward(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut picture = self.picture(&inputs[0])?;
        let Lists { ids, starts, .. } = &*self.lists;
        Composite { splats: &inputs[0], ids, starts, picture: &mut picture }
            .launch(&self.params, self.params.tiles as usize)?;
        Ok(vec![picture])
    }

    fn vjp(
        &self,
        inputs: &[Tensor],
        outputs: &[Tensor],
        cotangents: &[Option<Tensor>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let Some(grads) = &cotangents[0] else { return Ok(vec![None; inputs.len()]) };
        let gradient = self.gradient(&inputs[0], &outputs[0], grads)?;
        let mut found = vec![Some(gradient.clone())];
        if let (Some(pulls), Some(true)) = (self.pulls, wanted.get(1)) {
            found.push(Some(match pulls {
                Pulls::OfPictures => self.pulls_of_pictures(&gradient)?,
                Pulls::OfPixels => self.pulls_of_pixels(&inputs[0], &outputs[0], grads, &gradient)?,
            }));
        }
        found.resize(inputs.len(), None);
        Ok(found)
    }

    fn jvp(&self, inputs: &[Tensor], _outputs: &[Tensor], tangents: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
        let Some(tangents) = &tangents[0] else { return Ok(vec![None]) };
        let mut change = self.picture(&inputs[0])?;
        let Lists { ids, starts, .. } = &*self.lists;
        CompositeTangent { splats: &inputs[0], ids, starts, tangents, change: &mut change }
            .launch(&self.params, self.params.tiles as usize)?;
        Ok(vec![Some(change)])
    }
}
