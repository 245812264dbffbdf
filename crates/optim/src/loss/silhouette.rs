//! Soft intersection over union of silhouettes.

use crate::Result;
use lumigrad_core::{Map, Tensor, Var};

/// 1 − Σ ab / Σ (a + b − ab) over the last channel; 0 for two empty silhouettes.
pub fn iou(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    with_channels!(picture.shape()[2], channels(picture, target, weight))
}

/// √(2(1 − IoU)), guarded at 0: one residual.
pub fn residuals(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    Ok(iou(picture, target, weight)?.scale(2.0)?.offset(2e-5)?.sqrt()?.reshape(&[1])?)
}

fn channels<const C: usize>(picture: &Var, target: &Tensor, weight: Option<&Tensor>) -> Result<Var> {
    let masked = weight.is_some();
    let map = Map::cached(&format!("optim/iou {C} {masked}"), |m| {
        let (a, b) = (m.item::<C>("picture")[C - 1], m.item::<C>("target")[C - 1]);
        let w = if masked { m.item::<1>("weight")[0] } else { 1.0.into() };
        m.sum("areas", &[w * a * b, w * (a + b - a * b)]);
    });
    let ratio = Map::cached("optim/iou_ratio", |m| {
        let [both, either] = m.item("areas");
        let some = either.greater(1e-12);
        m.output("loss", &[some.select(1.0 - both / some.select(either, 1.0), 0.0)]);
    });
    let target = Var::from(target.clone());
    let weight = weight.cloned().map(Var::from);
    let inputs: Vec<&Var> = [picture, &target].into_iter().chain(&weight).collect();
    Ok(ratio.apply(&[&map.apply(&inputs)?[0]])?.remove(0).reshape(&[])?)
}
