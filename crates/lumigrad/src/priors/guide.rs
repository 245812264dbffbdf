//! A prior that is asked for something.

use super::PriorKeys;
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, Level, PriorInfo, View, combine};
use lumigrad_scene::camera;
use std::sync::Arc;

/// A prior with what it is asked for.
#[derive(Clone)]
pub struct Guide {
    /// The prior.
    pub prior: Arc<dyn DiffusionPrior>,
    /// What pictures should show.
    pub wanted: Condition,
    /// What the wanted is told from: anything, or what is not wanted.
    pub other: Condition,
    /// Exaggeration of the difference.
    pub scale: f64,
}

impl Guide {
    /// Reads the prior and what is asked of it; `command` is who needs it.
    ///
    /// # Errors
    /// No prior, one that cannot be read, works on latents or knows nothing of the prompt.
    pub fn new(keys: &PriorKeys, command: &str, device: &Device) -> Result<Self> {
        let path = keys.prior.as_ref().ok_or_else(|| {
            let help = "give a prior: --prior assets/materials.safetensors, or one of lumigrad prior train";
            Error::usage("--prior", "the prior is missing", help)
        })?;
        let prior = super::load(path, device)?;
        let info = prior.info();
        if info.channels != 3 || info.can(Capability::Encode) {
            let message = format!("{} has {} channels; {command} needs a prior of colour pictures", info.name, info.channels);
            return Err(Error::usage("--prior", message, "train one on pictures: lumigrad prior train FOLDER"));
        }
        let asked = |flag: &str, words: &Option<String>| {
            let found = info.condition(words.as_deref().unwrap_or_default());
            found.map_err(|e| Error::usage(flag, e.to_string(), ""))
        };
        let (wanted, other) = (asked("--prompt", &keys.prompt)?, asked("--negative-prompt", &keys.negative_prompt)?);
        Ok(Self { wanted, other, scale: keys.guidance_scale, prior })
    }

    /// What the prior is.
    pub fn info(&self) -> &PriorInfo {
        self.prior.info()
    }

    /// The same prior, asked for what is seen from some cameras around a centre, where it knows of views: a condition for each.
    pub fn seen_from(&self, condition: &Condition, views: &[&camera::View], centre: [f64; 3]) -> Vec<Condition> {
        if !self.info().can(Capability::Views) {
            return vec![condition.clone()];
        }
        let seen = |view: &&camera::View| {
            let eye = view.centre();
            let [x, y, z] = [0, 1, 2].map(|a| eye[a] - centre[a]);
            let view = View { azimuth: x.atan2(z), elevation: y.atan2(x.hypot(z)) };
            condition.seen_from(view)
        };
        views.iter().map(seen).collect()
    }

    /// ε̂ of noisy pictures, with guidance; `wanted` and `other` have a condition for each picture or one for all.
    ///
    /// # Errors
    /// As the prior's.
    pub fn predict_for(
        &self,
        noisy: &Tensor,
        levels: &[Level],
        [wanted, other]: [&[Condition]; 2],
    ) -> lumigrad_guidance::Result<Tensor> {
        let found = self.prior.predict(noisy, levels, wanted)?;
        if self.scale == 1.0 {
            return Ok(found);
        }
        let against = self.prior.predict(noisy, levels, other)?;
        let terms: [(&Var, &[f64]); 2] = [(&found.into(), &[self.scale]), (&against.into(), &[1.0 - self.scale])];
        Ok(combine(&terms)?.tensor().clone())
    }

    /// ε̂ of noisy pictures, whatever view they show.
    ///
    /// # Errors
    /// As the prior's.
    pub fn predict(&self, noisy: &Tensor, levels: &[Level]) -> lumigrad_guidance::Result<Tensor> {
        self.predict_for(noisy, levels, [&[self.wanted.clone()], &[self.other.clone()]])
    }

    /// Pictures of values from 0 to 1 in the prior's range.
    ///
    /// # Errors
    /// Memory.
    pub fn to_range(&self, pictures: &Tensor) -> Result<Tensor> {
        Ok(self.ranged(&pictures.clone().into())?.tensor().clone())
    }

    /// The same, with gradients.
    ///
    /// # Errors
    /// Memory.
    pub fn ranged(&self, pictures: &Var) -> Result<Var> {
        let [lo, hi] = self.info().range;
        Ok(pictures.scale(hi - lo)?.offset(lo)?)
    }

    /// Pictures of the prior's range as values from 0 to 1; what is beyond is cut off.
    ///
    /// # Errors
    /// Memory.
    pub fn shown(&self, pictures: &Tensor) -> Result<Vec<f32>> {
        let [lo, hi] = self.info().range;
        let value = |x: f32| ((x as f64 - lo) / (hi - lo)).clamp(0.0, 1.0) as f32;
        Ok(pictures.to_vec::<f32>()?.into_iter().map(value).collect())
    }
}
