//! What pulls at a creation: one prior at its renders, or two whose pulls are composed, and one at its normals.

use super::asked::Asked;
use super::keys::CreateKeys;
use super::learnt::Recorded;
use super::plan::Plan;
use super::reference::front;
use crate::run::{Array, Checkpoint};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_guidance::distill::{AngularBounds, Distiller, Guided, composed};
use lumigrad_guidance::{Capability, View as Direction, combine};

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

/// All that pulls.
pub struct Pulls {
    first: Pull,
    aware: Option<Aware>,
    /// At normals, with its weight.
    normals: Option<(Pull, f64)>,
}

impl Pulls {
    /// What a job asks for, with the prior of its plan.
    ///
    /// # Errors
    /// A second prior that cannot be used, knows of no views, or has pictures of another size; capabilities that are lacking.
    pub fn new(plan: &Plan, job: &CreateKeys) -> Result<Self> {
        let seed = job.common.seed;
        let normals = match &plan.normals {
            Some((asked, weight, _)) => {
                Some((Pull::new(asked.clone(), "normal_student", random::hash(seed, 25))?, *weight))
            }
            None => None,
        };
        Ok(Self { first: Pull::new(plan.asked.clone(), "student", seed)?, aware: Aware::new(job, plan.side)?, normals })
    }

    /// The pull at a step's renders from some directions, and at its normals where there are any.
    ///
    /// # Errors
    /// Those of the priors.
    pub fn guide(
        &mut self,
        recorded: &Recorded,
        from: &[Direction],
        step: u64,
        progress: f64,
    ) -> Result<(Guided, Option<Tensor>)> {
        let renders = recorded.renders.tensor();
        let mut guided = self.first.guide(renders, from, step, progress)?;
        if let Some(Aware { pull, front, bounds }) = &mut self.aware {
            let aware = pull.guide(renders, from, step, progress)?;
            let cosines: Vec<f64> = from.iter().map(|d| d.cosine(*front)).collect();
            guided = composed(&aware, &guided, bounds, &cosines, progress)?;
        }
        let (Some((pull, weight)), Some(normals)) = (&mut self.normals, &recorded.normals) else {
            return Ok((guided, None));
        };
        let polished = pull.guide(normals.tensor(), from, step, progress)?;
        guided.verdict = guided.verdict.max(polished.verdict);
        Ok((guided, Some(combine(&[(&polished.cotangent.into(), &[*weight])])?.tensor().clone())))
    }

    fn all(&self) -> impl Iterator<Item = &Pull> {
        let others = [self.aware.as_ref().map(|a| &a.pull), self.normals.as_ref().map(|n| &n.0)];
        std::iter::once(&self.first).chain(others.into_iter().flatten())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Pull> {
        let others = [self.aware.as_mut().map(|a| &mut a.pull), self.normals.as_mut().map(|n| &mut n.0)];
        std::iter::once(&mut self.first).chain(others.into_iter().flatten())
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
        let asked = match &job.view_subject {
            Some(words) => Asked::new(path, words, (job, &[]))?,
            None => Asked::named(path, job)?,
        };
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
