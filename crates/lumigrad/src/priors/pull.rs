//! Score distillation as a loss.

use super::Guide;
use crate::{Error, Result};
use lumigrad_core::ops::{pointwise, random_normal};
use lumigrad_core::{DType, Tensor, Var};
use lumigrad_guidance::{Level, combine};
use lumigrad_scene::camera::View;

/// Steps in a row whose guidance may be unusable.
const MOST_BROKEN: u32 = 10;

/// What pulls renders towards what a prior is asked for (SDS, Poole et al. 2022, with w = 1 − ᾱ).
pub struct Pull {
    clamp: f64,
    broken: u32,
}

impl Pull {
    /// Numbers of the cotangent are cut off at `clamp` times their mean size; 0: never.
    pub fn new(clamp: f64) -> Self {
        Self { clamp, broken: 0 }
    }

    /// A loss whose gradient by pictures [n, h, w, 3], in the prior's range, is the cotangent w·(ε̂ − ε)/n, times `weights`
    /// [n, h, w, 1]; and the cotangent's root mean square.
    ///
    /// The noise is of a seed, its times one per picture. A cotangent that is not finite counts as 0.
    ///
    /// # Errors
    /// As the prior's; the tenth cotangent in a row that is not finite.
    pub fn loss(
        &mut self,
        guide: &Guide,
        pictures: &Var,
        (times, seed): (&[f64], u64),
        (views, centre): (&[&View], [f64; 3]),
        weights: Option<&Var>,
    ) -> Result<(Var, f64)> {
        let x = pictures.tensor();
        let levels: Vec<Level> = times.iter().map(|t| guide.info().schedule.level(*t)).collect();
        let noise = Var::from(random_normal(x.device(), DType::F32, x.shape(), seed)?);
        let (a, sigma): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let noisy = combine(&[(&x.clone().into(), &a), (&noise, &sigma)])?;
        let conditions = [&guide.wanted, &guide.other].map(|c| guide.seen_from(c, views, centre));
        let found = guide.predict_for(noisy.tensor(), &levels, [&conditions[0], &conditions[1]])?;
        let w: Vec<f64> = levels.iter().map(|l| (1.0 - l.alpha_bar()) / levels.len() as f64).collect();
        let minus: Vec<f64> = w.iter().map(|w| -w).collect();
        let mut cotangent = combine(&[(&found.into(), &w), (&noise, &minus)])?;
        if let Some(weights) = weights {
            cotangent = cotangent.mul(weights)?;
        }
        let size = cotangent.abs()?.mean()?;
        let norm = cotangent.square()?.mean()?.tensor().item()?.sqrt();
        if !norm.is_finite() {
            self.broken += 1;
            if self.broken >= MOST_BROKEN {
                let message = format!("the prior's prediction was not finite in {MOST_BROKEN} steps in a row");
                return Err(Error::job(format!("{message}; lower --guidance-scale or raise the least of --times")));
            }
            return Ok((pictures.scale(0.0)?.sum()?, 0.0));
        }
        self.broken = 0;
        if self.clamp > 0.0 {
            let bound = size.scale(self.clamp)?;
            let cut = |x: &[lumigrad_core::map::Expr]| x[0].min(x[1]).max(-x[1]);
            cotangent = pointwise("priors/clamp", &[&cotangent, &bound], cut)?;
        }
        Ok((surrogate(pictures, cotangent.tensor())?, norm))
    }
}

/// ½‖g‖², with the gradient g by x: x·g less the same without gradient is 0.
fn surrogate(pictures: &Var, cotangent: &Tensor) -> Result<Var> {
    let g = Var::from(cotangent.clone());
    let along = pictures.mul(&g)?.sum()?;
    Ok(along.sub(&along.stop_gradient())?.add(&g.square()?.sum()?.scale(0.5)?)?)
}
