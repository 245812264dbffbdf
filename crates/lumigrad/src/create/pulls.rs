//! What pulls at the renders of a creation: one prior, or two whose pulls are composed.

use super::asked::Asked;
use super::keys::CreateKeys;
use super::plan::Plan;
use super::reference::front;
use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_guidance::distill::{AngularBounds, Distiller, Guided, composed};
use lumigrad_guidance::{Capability, View as Direction};

/// A prior's distillation.
struct Pull {
    distiller: Distiller,
    asked: Asked,
    /// What checkpoints call its student.
    name: &'static str,
}

/// The second prior, and how its pull is composed with the first one's (Shen et al. 2024, Vista3D).
struct Aware {
    pull: Pull,
    front: Direction,
    bounds: AngularBounds,
}

/// All that pulls at renders.
pub struct Pulls {
    first: Pull,
    aware: Option<Aware>,
}

impl Pulls {
    /// What a job asks for, with the prior of its plan.
    ///
    /// # Errors
    /// A second prior that cannot be used, knows of no views, or has pictures of another size; capabilities that are lacking.
    pub fn new(plan: &Plan, job: &CreateKeys) -> Result<Self> {
        let seed = job.common.seed;
        Ok(Self { first: Pull::new(plan.asked.clone(), "student", seed)?, aware: Aware::new(job, plan.side)? })
    }

    /// The pull at renders [n, side, side, 3] from some directions, display-encoded.
    ///
    /// # Errors
    /// Those of the priors.
    pub fn guide(&mut self, renders: &Tensor, from: &[Direction], step: u64, progress: f64) -> Result<Guided> {
        let guided = self.first.guide(renders, from, step, progress)?;
        let Some(Aware { pull, front, bounds }) = &mut self.aware else { return Ok(guided) };
        let aware = pull.guide(renders, from, step, progress)?;
        let cosines: Vec<f64> = from.iter().map(|d| d.cosine(*front)).collect();
        Ok(composed(&aware, &guided, bounds, &cosines, progress)?)
    }

    fn all(&self) -> impl Iterator<Item = &Pull> {
        [Some(&self.first), self.aware.as_ref().map(|a| &a.pull)].into_iter().flatten()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Pull> {
        [Some(&mut self.first), self.aware.as_mut().map(|a| &mut a.pull)].into_iter().flatten()
    }

    /// How many pulls were not finite, and how many exploded.
    pub fn counts(&self) -> [u64; 2] {
        self.all().fold([0; 2], |[a, b], p| [a + p.distiller.watch().not_finite, b + p.distiller.watch().exploded])
    }

    /// Forgets what went wrong in a row, after a run went back to a good state.
    pub fn forget(&mut self) {
        self.all_mut().for_each(|p| p.distiller.forget());
    }

    /// Writes students into a checkpoint.
    ///
    /// # Errors
    /// Those of the device.
    pub fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        self.all().try_for_each(|p| p.save(checkpoint))
    }

    /// Takes up the students of a checkpoint.
    ///
    /// # Errors
    /// Students of another size.
    pub fn restore(&mut self, checkpoint: &Checkpoint, device: &Device) -> Result<()> {
        self.all_mut().try_for_each(|p| p.restore(checkpoint, device))
    }
}

impl Aware {
    fn new(job: &CreateKeys, side: usize) -> Result<Option<Self>> {
        let Some(path) = &job.view_prior else {
            return match &job.view_subject {
                Some(_) => {
                    Err(Error::usage("--view-subject", "asks a second prior, and there is none", "--view-prior FILE"))
                }
                None => Ok(None),
            };
        };
        let bounds = AngularBounds { upper: job.view_upper, lower: job.view_lower };
        bounds.check().map_err(|e| Error::usage("--view-upper, --view-lower", e.to_string(), "100,10 and 10,1"))?;
        let speaks = |asked: &Asked| asked.info().can(Capability::Labels) || asked.info().can(Capability::Text);
        let mut asked = Asked::new(path, job.view_subject.as_deref().unwrap_or_default(), job)?;
        if job.view_subject.is_none() && speaks(&asked) {
            asked = Asked::new(path, &job.subject, job)?;
        }
        let info = asked.info();
        if !info.can(Capability::Views) && !info.can(Capability::Text) {
            let help = "take one that is trained on views, or leave it out: --prior alone";
            return Err(Error::file(path.display(), "the prior knows of no views", help));
        }
        info.pictures(Some([side; 2]), side).map_err(|e| {
            Error::usage(
                "--view-prior",
                e.to_string(),
                "two priors must see pictures of one size: take another, or another --side",
            )
        })?;
        // Noise of its own.
        let pull = Pull::new(asked, "view_student", random::hash(job.common.seed, 24))?;
        Ok(Some(Self { pull, front: front(job)?, bounds }))
    }
}

impl Pull {
    fn new(asked: Asked, name: &'static str, seed: u64) -> Result<Self> {
        let distiller = Distiller::new(asked.prior.clone(), asked.options.clone(), seed)?;
        Ok(Self { distiller, asked, name })
    }

    fn guide(&mut self, renders: &Tensor, from: &[Direction], step: u64, progress: f64) -> Result<Guided> {
        let views: Vec<u64> = (0..from.len() as u64).collect();
        Ok(self.distiller.guide(renders, &self.asked.conditions(from), &views, step, progress)?)
    }

    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        for (k, (name, tensor)) in
            self.distiller.student().map(|s| s.state()).unwrap_or_default().into_iter().enumerate()
        {
            let key = format!("{}.{k:05}", self.name);
            checkpoint.facts.insert(key.clone(), name);
            checkpoint.insert(key, tensor.shape(), Array::F64(tensor.to_f64_vec()?));
        }
        Ok(())
    }

    fn restore(&mut self, found: &Checkpoint, device: &Device) -> Result<()> {
        let Some(student) = self.distiller.student_mut() else { return Ok(()) };
        let mut state = vec![];
        let prefix = format!("{}.", self.name);
        for (key, name) in found.facts.iter().filter(|(k, _)| k.starts_with(&prefix)) {
            if let Some((shape, Array::F64(data))) = found.tensors.get(key) {
                let host = Tensor::from_slice(&Device::cpu(), data, shape)?;
                let own = if name.starts_with("facts") { host } else { host.cast(DType::F32)?.to_device(device)? };
                state.push((name.clone(), own));
            }
        }
        Ok(student.restore(&state)?)
    }
}
