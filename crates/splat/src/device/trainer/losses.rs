//! The loss of a step and its parts.

use super::super::surfels::{depth_distortion, normal_consistency};
use super::{CameraLeaves, DeviceTrainer, Drawn, GaussianVars, Plan, Result, Shot, core, optim};
use lumigrad_core::map::{Expr, vector};
use lumigrad_core::{Map, Var};

/// Parts of the run after which the losses of surfels count: distortion, and consistency of normals.
const SURFELS_FROM: [f64; 2] = [0.1, 0.25];

impl DeviceTrainer {
    /// Loss of a picture, and the same with regularisers, recorded for some arrays.
    pub(in crate::device) fn losses(&self, arrays: &[Var], plan: &Plan, picture: usize) -> Result<[Var; 2]> {
        let (vars, still) = (GaussianVars::from_all(arrays.to_vec()), CameraLeaves::default());
        let drawn = self.drawn(&vars, (&still, None, None), picture, plan.background, plan.sh_degree)?;
        self.losses_of(&vars, &drawn, &drawn.colour, (picture, plan.progress))
    }

    /// Loss of what is drawn, of `colour` in the place of its own, and the same with regularisers and known depths.
    pub(in crate::device) fn losses_of(
        &self,
        vars: &GaussianVars,
        drawn: &Drawn,
        colour: &Var,
        (picture, progress): (usize, f64),
    ) -> Result<[Var; 2]> {
        let shot = &self.shots[picture];
        let loss = self.loss.evaluate(colour, &drawn.target, shot.mask.as_ref()).map_err(optim)?;
        let total = self.regularised(&loss, vars).map_err(core)?;
        let terms = [
            self.depth_loss(&drawn.pixels, shot),
            self.normal_loss(drawn, shot),
            self.surfel_losses(drawn, shot, progress),
        ];
        let mut total = total;
        for term in terms {
            if let Some(term) = term.map_err(core)? {
                total = total.add(&term).map_err(core)?;
            }
        }
        Ok([loss, total])
    }

    /// The loss with the regularisers.
    fn regularised(&self, loss: &Var, vars: &GaussianVars) -> lumigrad_core::Result<Var> {
        let (opacity, scale) = (self.options.opacity_weight as f64, self.options.scale_weight as f64);
        let mut total = loss.clone();
        if opacity > 0.0 {
            total = total.add(&vars.opacity_logits.sigmoid()?.mean()?.scale(opacity)?)?;
        }
        if scale > 0.0 {
            total = total.add(&vars.log_scales.exp()?.mean()?.scale(scale)?)?;
        }
        Ok(total)
    }

    /// The mean over known depths d of |Σ wᵢ (zᵢ − d)|, in units of the extent, weighted.
    fn depth_loss(&self, pixels: &Var, shot: &Shot) -> lumigrad_core::Result<Option<Var>> {
        let (weight, Some((depth, known))) = (self.options.depth_weight, &shot.depth) else { return Ok(None) };
        if weight <= 0.0 {
            return Ok(None);
        }
        let map = Map::cached("splat/depth loss", |m| {
            let ([_, _, _, sum, left], [depth]) = (m.item("picture"), m.item("depth"));
            let known = Expr::from(0.0).less(depth);
            m.sum("loss", &[known.select((sum - (1.0 - left) * depth).abs(), 0.0)]);
        });
        let sum = map.apply(&[pixels, &depth.clone().into()])?.remove(0).reshape(&[])?;
        Ok(Some(sum.scale(f64::from(weight) / (*known as f64 * f64::from(self.extent)))?))
    }

    /// The mean over known normals n̂ of Σ wᵢ (1 − nᵢ · n̂) + |Σ wᵢ (nᵢ − n̂)|₁, weighted: what is transparent counts less.
    ///
    /// **Source**: Turkulainen et al. 2024, "DN-Splatter" (L1); Yu et al. 2022, "MonoSDF" (both terms).
    fn normal_loss(&self, drawn: &Drawn, shot: &Shot) -> lumigrad_core::Result<Option<Var>> {
        let (Some(normals), Some((expected, known))) = (&drawn.normals, &shot.normals) else { return Ok(None) };
        let map = Map::cached("splat/normal loss", |m| {
            let (found, expected) = (m.item::<3>("normals"), m.item::<3>("expected"));
            let alpha = 1.0 - m.item::<5>("picture")[4];
            let known = Expr::from(0.25).less(vector::dot(expected, expected));
            let off = [0, 1, 2].map(|k| (found[k] - alpha * expected[k]).abs());
            let turned = alpha - vector::dot(found, expected);
            m.sum("loss", &[known.select(turned + off[0] + off[1] + off[2], 0.0)]);
        });
        let sum = map.apply(&[normals, &expected.clone().into(), &drawn.pixels])?.remove(0).reshape(&[])?;
        Ok(Some(sum.scale(f64::from(self.options.normal_map_weight) / *known as f64)?))
    }

    /// What brings surfels together, weighted; a part of the loss.
    fn surfel_losses(&self, drawn: &Drawn, shot: &Shot, progress: f64) -> lumigrad_core::Result<Option<Var>> {
        let Some(picture) = &drawn.surfels else { return Ok(None) };
        let weights = [self.options.distortion_weight, self.options.normal_weight];
        let counts = |k: usize| weights[k] > 0.0 && progress >= SURFELS_FROM[k];
        let mut sum: Option<Var> = None;
        if counts(0) {
            sum = Some(depth_distortion(picture, f64::from(self.extent))?.scale(f64::from(weights[0]))?);
        }
        if counts(1) {
            let loss = normal_consistency(picture, &shot.camera)?.scale(f64::from(weights[1]))?;
            sum = Some(sum.map_or(Ok(loss.clone()), |sum| sum.add(&loss))?);
        }
        Ok(sum)
    }
}
