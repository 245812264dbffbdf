//! Pictures drawn from a prior.

use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor, ops};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::sample::{Method, annealed_langevin, ratio_levels, sample};
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, Level, Schedule};

/// Pictures that are drawn at once; one of a prior with latents.
const AT_ONCE: usize = 64;
/// Levels of Langevin dynamics, and η of the last one (Song & Ermon 2019).
const LEVELS: usize = 10;
const RATE: f64 = 2e-5;

/// Noise over picture at the first and the last step, and how steps are spaced between (Karras et al. 2022). Equal steps of α are
/// too long near pictures, where smooth patches have contrasts of a hundredth.
const RATIOS: [f64; 2] = [80.0, 0.002];
const RHO: f64 = 7.0;

/// How pictures are drawn.
pub struct Drawing<'a> {
    /// A method of [`lumigrad_guidance::sample::METHODS`].
    pub method: &'a str,
    /// Steps from noise to a picture.
    pub steps: usize,
    /// What pictures show.
    pub condition: Condition,
    /// What is done with predictions.
    pub guidance: Guidance,
    /// Of the noise.
    pub seed: u64,
}

/// `n` pictures [n, height, width, channels] of a prior, of so many rows and columns.
///
/// # Errors
/// A method that does not exist; what the prior does not know.
pub fn pictures(
    prior: &dyn DiffusionPrior,
    (size, n): ([usize; 2], usize),
    drawing: &Drawing,
    device: &Device,
) -> Result<Tensor> {
    let conditions = [drawing.condition.clone()];
    let wrong = |e: lumigrad_guidance::Error| Error::usage("--method", e.to_string(), "choose another one");
    let mut parts = vec![];
    let at_once = if prior.info().can(Capability::Decode) { 1 } else { AT_ONCE };
    for first in (0..n).step_by(at_once) {
        let count = at_once.min(n - first);
        let seed = ops::random::hash(drawing.seed, first as u64);
        let noise = ops::random_normal(device, DType::F32, &prior.info().denoised(count, size), seed)?;
        let mut predict = |x: &Tensor, level: Level, _: usize| {
            Ok(drawing.guidance.predict(prior, x, &[level], &conditions, 0.0)?.guided)
        };
        let drawn = if drawing.method == "langevin" {
            let range = match prior.info().schedule {
                known @ Schedule::Geometric { .. } => known,
                _ => Schedule::Geometric { min: 0.01, max: 1.0 },
            };
            let levels = range.levels(1.0, 0.0, LEVELS - 1);
            let steps = drawing.steps.div_ceil(LEVELS);
            annealed_langevin(&levels, steps, RATE, true, &noise, seed, &mut predict)?
        } else {
            let method = Method::from_name(drawing.method, 0.0, 2.0).map_err(wrong)?;
            let levels = ratio_levels(RATIOS[0], RATIOS[1], RHO, drawing.steps.max(2))?;
            let start = ops::scale_tensor(&noise, levels[0].sigma)?;
            sample(method, &levels, &start, seed, &mut predict, &mut |_, _, _| Ok(()))?
        };
        parts.push(prior.left(&drawn)?);
    }
    Ok(ops::concat_tensors(&parts.iter().collect::<Vec<_>>(), 0)?)
}
