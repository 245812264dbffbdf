//! The `create mesh` command: Gaussians, then a signed distance with colours, pulled towards a prior's subject, as a mesh with
//! a texture.

use super::cameras::camera;
use super::drive::drive;
use super::keys::CreateMeshJob;
use super::learnt::Learnt;
use super::model::Model;
use super::plan::Plan;
use super::splats::Cloud;
use crate::fields::mesh::tell;
use crate::fields::textured::picture;
use crate::optimize::over;
use crate::run::job::Document;
use crate::run::{CELL_BYTES, Checkpoint, Observer, RunFolder, Stop, Summary, require_memory};
use crate::train::mesh::{Shape, fused, unwrapped};
use crate::{Error, Result};
use lumigrad_core::ops::concat;
use lumigrad_core::{Device, Var};
use lumigrad_guidance::View as Direction;
use lumigrad_optim::Group;

/// The logits of colours, among the arrays.
const COLOURS: usize = 3;
/// What checkpoints of a surface have.
const SURFACE: &str = "surface";

/// Creates, and writes the run folder.
///
/// # Errors
/// Priors, subjects or settings that cannot be used; Gaussians that show no surface, or one that vanishes; guidance that
/// diverges again and again; files that cannot be written.
pub fn mesh(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: CreateMeshJob = document.parse()?;
    if !(0.0..1.0).contains(&job.coarse) {
        let message = format!("{} is no part of the steps", job.coarse);
        return Err(Error::usage("--coarse", message, "at least 0 and less than 1, as 0.5"));
    }
    let mut model = |plan: &Plan, device: &Device| -> Result<Box<dyn Model>> {
        let needed = (job.resolution as u64).saturating_pow(3).saturating_mul(CELL_BYTES);
        require_memory(needed, "--resolution", "a coarser grid")?;
        let cloud = Cloud::new(&job.cloud, &job.create, plan.side, device)?;
        Ok(Box::new(CoarseToFine { job: job.clone(), cloud, surface: None }))
    };
    drive("create mesh", &job.create, document, &mut model, stop, observer)
}

/// Gaussians, and the surface that they become.
struct CoarseToFine {
    job: CreateMeshJob,
    cloud: Cloud,
    surface: Option<Surface>,
}

impl CoarseToFine {
    fn now(&self) -> &dyn Model {
        match &self.surface {
            Some(surface) => surface,
            None => &self.cloud,
        }
    }

    fn now_mut(&mut self) -> &mut dyn Model {
        match &mut self.surface {
            Some(surface) => surface,
            None => &mut self.cloud,
        }
    }

    /// What the Gaussians show, before the first step.
    fn start(&self) -> Result<Surface> {
        Surface::new(&self.job, &self.cloud)
    }
}

impl Model for CoarseToFine {
    fn learnt(&self) -> &Learnt {
        self.now().learnt()
    }

    fn learnt_mut(&mut self) -> &mut Learnt {
        self.now_mut().learnt_mut()
    }

    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, progress: f64) -> Result<(Var, Option<Var>)> {
        self.now().drawn(arrays, from, side, self.share(progress))
    }

    fn damp(&mut self, factor: f64) -> Result<()> {
        self.now_mut().damp(factor)
    }

    fn refine(&mut self, progress: f64) -> Result<bool> {
        let due = self.surface.is_none() && progress >= self.job.coarse;
        if due {
            self.surface = Some(self.start()?);
        }
        Ok(due)
    }

    fn share(&self, progress: f64) -> f64 {
        let coarse = self.job.coarse;
        let [from, to] = if self.surface.is_some() { [coarse, 1.0] } else { [0.0, coarse] };
        ((progress - from) / (to - from).max(1e-9)).clamp(0.0, 1.0)
    }

    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        if self.surface.is_some() {
            checkpoint.facts.insert(SURFACE.into(), String::new());
            self.cloud.learnt().save_arrays(checkpoint)?;
        }
        self.learnt().save(checkpoint)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.facts.contains_key(SURFACE) {
            self.cloud.learnt_mut().restore_arrays(checkpoint)?;
            self.surface = Some(self.start()?);
        }
        self.learnt_mut().restore(checkpoint)
    }

    fn write(&self, folder: &RunFolder, summary: &mut Summary) -> Result<Vec<(&'static str, &'static str)>> {
        let mut files = self.cloud.write(folder, summary)?;
        if let Some(surface) = &self.surface {
            files.extend(surface.write(folder, summary)?);
        } else {
            summary.warnings.push("there is no mesh yet: the run ended while Gaussians were pulled; --resume".into());
        }
        Ok(files)
    }
}

/// A signed distance on a grid, with colours in its cells.
struct Surface {
    learnt: Learnt,
    shape: Shape,
    /// Weight of the part of the pictures that it covers.
    cover_weight: f64,
    texture_size: Option<usize>,
}

impl Surface {
    /// What Gaussians show.
    fn new(job: &CreateMeshJob, cloud: &Cloud) -> Result<Self> {
        let device = cloud.learnt().device();
        let shape = Shape::new(fused(&cloud.gaussians()?, job.resolution)?, job.resolution, device)?;
        let (mut arrays, mut groups) = (vec![], vec![]);
        for parameter in shape.start()? {
            let rate = job.surface_rate * parameter.rate;
            groups.push(Group { epsilon: 1e-15, masked: parameter.sparse, ..Group::new(&parameter.name, rate) });
            arrays.push(parameter.value);
        }
        let learnt = Learnt::new(arrays, groups, device);
        Ok(Self { learnt, shape, cover_weight: job.cover_weight, texture_size: job.texture_size })
    }
}

impl Model for Surface {
    fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    fn learnt_mut(&mut self) -> &mut Learnt {
        &mut self.learnt
    }

    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, progress: f64) -> Result<(Var, Option<Var>)> {
        let (pictures, kept) = self.shape.seen(arrays, progress, |frame, positions| {
            let mut pictures = vec![];
            for direction in from {
                let encoded = picture(frame, &camera(*direction, side)?, positions, self.learnt.device())?;
                pictures.push(over(&encoded, [1.0; 3], false)?.reshape(&[1, side, side, 4])?);
            }
            Ok(concat(&pictures.iter().collect::<Vec<_>>(), 0)?)
        })?;
        let cover = pictures.slice(3, 3, 4)?.mean()?.scale(self.cover_weight)?;
        Ok((pictures.slice(3, 0, 3)?, Some(kept.add(&cover)?)))
    }

    fn damp(&mut self, factor: f64) -> Result<()> {
        let logits = &mut self.learnt.arrays[COLOURS];
        *logits = Var::from(logits.clone()).scale(factor)?.tensor().clone();
        Ok(())
    }

    fn write(&self, folder: &RunFolder, summary: &mut Summary) -> Result<Vec<(&'static str, &'static str)>> {
        let mesh = unwrapped(&self.shape.surface(&self.learnt.arrays)?, self.texture_size)?;
        tell(&mesh.positions, &mesh.atlas.uncut(), summary)?;
        mesh.save(&folder.path("mesh.glb"))?;
        Ok(vec![("mesh", "mesh.glb")])
    }
}
