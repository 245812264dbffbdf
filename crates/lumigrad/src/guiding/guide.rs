//! A prior that is asked for something.

use super::PriorKeys;
use crate::{Error, Result};
use lumigrad_core::{Tensor, Var};
use lumigrad_guidance::modify::Guidance;
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, Level, PriorInfo, View, one_by_one};
use lumigrad_scene::camera;
use std::sync::Arc;

/// A prior with what it is asked for.
#[derive(Clone)]
pub struct Guide {
    /// The prior.
    pub prior: Arc<dyn DiffusionPrior>,
    /// What pictures should show.
    pub wanted: Condition,
    /// What is done with its predictions.
    pub guidance: Guidance,
}

impl Guide {
    /// Reads the prior and what is asked of it; `command` is who needs it.
    ///
    /// # Errors
    /// No prior, one that cannot be read, has no colours or knows nothing of the prompt.
    pub fn new(keys: &PriorKeys, command: &str) -> Result<Self> {
        let path = keys.prior.as_ref().ok_or_else(|| {
            let help = "give a prior: --prior assets/materials.safetensors, or one of lumigrad prior train";
            Error::usage("--prior", "the prior is missing", help)
        })?;
        let prior: Arc<dyn DiffusionPrior> = lumigrad_guidance::open_changed(path, &keys.changes.lora)?.into();
        let info = prior.info();
        if !info.is_colour() {
            let message =
                format!("{} has {} channels; {command} needs a prior of colour pictures", info.name, info.channels);
            return Err(Error::usage("--prior", message, "train one on pictures: lumigrad prior train FOLDER"));
        }
        let asked = |flag: &str, words: &Option<String>| {
            let found = info.condition(words.as_deref().unwrap_or_default());
            found.map_err(|e| Error::usage(flag, e.to_string(), ""))
        };
        let wanted = asked("--prompt", &keys.prompt)?;
        let negative = match &keys.negative_prompt {
            Some(_) => Some(asked("--negative-prompt", &keys.negative_prompt)?),
            None => None,
        };
        let guidance = Guidance { scale: keys.guidance_scale, negative, ..Guidance::default() };
        Ok(Self { wanted, guidance, prior })
    }

    /// What the prior is.
    pub fn info(&self) -> &PriorInfo {
        self.prior.info()
    }

    /// What is wanted as cameras around a centre see it, one condition for each, in words for priors that read texts; one for all where
    /// the prior knows of no views.
    pub fn seen_from(&self, views: &[&camera::View], centre: [f64; 3]) -> Vec<Condition> {
        let can = |capability| self.info().can(capability);
        if !can(Capability::Views) && !can(Capability::Text) {
            return vec![self.wanted.clone()];
        }
        let seen = |view: &&camera::View| {
            let eye = view.centre();
            let [x, y, z] = [0, 1, 2].map(|a| eye[a] - centre[a]);
            let view = View { azimuth: x.atan2(z), elevation: y.atan2(x.hypot(z)) };
            self.info().seen_from(&self.wanted, view)
        };
        views.iter().map(seen).collect()
    }

    /// ε̂ of noisy pictures at a level, whatever view they show.
    ///
    /// # Errors
    /// As the prior's.
    pub fn predict(&self, noisy: &Tensor, level: Level) -> lumigrad_guidance::Result<Tensor> {
        self.predict_seen(noisy, level, std::slice::from_ref(&self.wanted))
    }

    /// ε̂ of noisy pictures at a level, under conditions of [`Self::seen_from`].
    ///
    /// # Errors
    /// As the prior's.
    pub fn predict_seen(&self, noisy: &Tensor, level: Level, seen: &[Condition]) -> lumigrad_guidance::Result<Tensor> {
        Ok(self.guidance.predict(&*self.prior, noisy, &[level], seen, 0.0)?.guided)
    }

    /// Whether one picture is predicted, encoded or decoded at a time: where there are latents, whose networks are large.
    pub fn is_slow(&self) -> bool {
        self.info().can(Capability::Decode)
    }

    /// Pictures of what was denoised.
    ///
    /// # Errors
    /// As the prior's.
    pub fn pictures(&self, denoised: &Tensor) -> lumigrad_guidance::Result<Tensor> {
        match self.is_slow() {
            true => one_by_one(denoised, |_, z| self.prior.left(z)),
            false => self.prior.left(denoised),
        }
    }

    /// Pictures of values from 0 to 1 in the prior's range.
    ///
    /// # Errors
    /// Memory.
    pub fn to_range(&self, pictures: &Tensor) -> Result<Tensor> {
        let [lo, hi] = self.info().range;
        Ok(Var::from(pictures.clone()).scale(hi - lo)?.offset(lo)?.tensor().clone())
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
