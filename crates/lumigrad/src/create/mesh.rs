//! The `create mesh` command: Gaussians, then a signed distance with colours, pulled towards a prior's subject, as a mesh with
//! a texture.

use super::cameras::camera;
use super::drive::drive;
use super::keys::CreateMeshJob;
use super::learnt::Learnt;
use super::model::{Drawn, Model};
use super::plan::Plan;
use super::polish::Polish;
use super::splats::Cloud;
use crate::fields::mesh::tell;
use crate::fields::surface::Extracted;
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
/// What checkpoints of a surface have: the stage, and under its name what the surface began as.
const STAGE: &str = "stage";

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
    let polished = &job.polished;
    if !(job.coarse..=1.0).contains(&polished.polish) {
        let message = format!("{} is no part of the steps after --coarse {}", polished.polish, job.coarse);
        return Err(Error::usage("--polish", message, "as 0.8, or 1 to leave it out"));
    }
    let mut model = |plan: &Plan, device: &Device| -> Result<Box<dyn Model>> {
        for (flag, cells) in [("--resolution", job.resolution), ("--fine-resolution", polished.fine_resolution)] {
            let needed = (cells as u64).saturating_pow(3).saturating_mul(CELL_BYTES);
            require_memory(needed, flag, "a coarser grid")?;
        }
        let cloud = Cloud::new(&job.cloud, &job.create, plan.side, device)?;
        let polish = Polish::new(polished, plan.normals.as_ref().map_or(plan.side, |n| n.2));
        Ok(Box::new(CoarseToFine { job: job.clone(), polish, cloud, surface: None }))
    };
    drive("create mesh", (&job.create, Some(polished)), document, &mut model, stop, observer)
}

/// Gaussians, and the surface that they become, whose normals are polished on a finer grid at last.
struct CoarseToFine {
    job: CreateMeshJob,
    polish: Polish,
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

    /// 0: Gaussians; 1: a surface; 2: its normals are polished.
    fn stage(&self) -> usize {
        self.surface.as_ref().map_or(0, |s| 1 + s.polish.is_some() as usize)
    }

    /// Parts of the run at whose ends stages end.
    fn ends(&self) -> [f64; 3] {
        [self.job.coarse, self.job.polished.polish, 1.0]
    }

    /// A stage's surface, before its first step, out of one.
    fn start(&self, stage: usize, from: Extracted) -> Result<Surface> {
        let polish = (stage > 1).then_some(self.polish);
        let cells = if polish.is_some() { self.job.polished.fine_resolution } else { self.job.resolution };
        Surface::new(&self.job, from, cells, polish, self.cloud.learnt().device())
    }

    /// Into the next stage.
    fn advance(&mut self) -> Result<()> {
        let from = match &self.surface {
            None => fused(&self.cloud.gaussians()?, self.job.resolution)?,
            Some(surface) => surface.shape.surface(&surface.learnt.arrays)?,
        };
        self.surface = Some(self.start(self.stage() + 1, from)?);
        Ok(())
    }
}

impl Model for CoarseToFine {
    fn learnt(&self) -> &Learnt {
        self.now().learnt()
    }

    fn learnt_mut(&mut self) -> &mut Learnt {
        self.now_mut().learnt_mut()
    }

    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, progress: f64) -> Result<Drawn> {
        self.now().drawn(arrays, from, side, self.share(progress))
    }

    fn damp(&mut self, factor: f64) -> Result<()> {
        self.now_mut().damp(factor)
    }

    fn refine(&mut self, progress: f64) -> Result<bool> {
        let due = self.ends()[..2].iter().filter(|end| progress >= **end).count();
        let changes = self.stage() < due;
        while self.stage() < due {
            self.advance()?;
        }
        Ok(changes)
    }

    fn share(&self, progress: f64) -> f64 {
        let (ends, stage) = (self.ends(), self.stage());
        let from = if stage == 0 { 0.0 } else { ends[stage - 1] };
        ((progress - from) / (ends[stage] - from).max(1e-9)).clamp(0.0, 1.0)
    }

    fn save(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        if let Some(surface) = &self.surface {
            checkpoint.facts.insert(STAGE.into(), self.stage().to_string());
            self.cloud.learnt().save_arrays("cloud", checkpoint)?;
            surface.shape.fused.save(STAGE, checkpoint);
        }
        self.learnt().save(checkpoint)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if let Some(stage) = checkpoint.facts.get(STAGE).and_then(|s| s.parse().ok()) {
            self.cloud.learnt_mut().restore_arrays("cloud", checkpoint)?;
            self.surface = Some(self.start(stage, Extracted::restore(STAGE, checkpoint)?)?);
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
    polish: Option<Polish>,
}

impl Surface {
    /// On a grid of so many cells around what it begins as.
    fn new(
        job: &CreateMeshJob,
        from: Extracted,
        cells: usize,
        polish: Option<Polish>,
        device: &Device,
    ) -> Result<Self> {
        let shape = Shape::new(from, cells, device)?;
        let (mut arrays, mut groups) = (vec![], vec![]);
        for parameter in shape.start()? {
            let rate = job.surface_rate * parameter.rate;
            groups.push(Group { epsilon: 1e-15, masked: parameter.sparse, ..Group::new(&parameter.name, rate) });
            arrays.push(parameter.value);
        }
        let learnt = Learnt::new(arrays, groups, device);
        Ok(Self { learnt, shape, cover_weight: job.cover_weight, texture_size: job.texture_size, polish })
    }
}

impl Model for Surface {
    fn learnt(&self) -> &Learnt {
        &self.learnt
    }

    fn learnt_mut(&mut self) -> &mut Learnt {
        &mut self.learnt
    }

    fn drawn(&self, arrays: &[Var], from: &[Direction], side: usize, progress: f64) -> Result<Drawn> {
        // What is polished has found its place: it is kept in shape as at the end of the stage before.
        let kept_as = if self.polish.is_some() { 1.0 } else { progress };
        let (sight, kept) = self.shape.seen(arrays, kept_as)?;
        let (frame, device) = (sight.frame()?, self.learnt.device());
        let mut pictures = vec![];
        for direction in from {
            let encoded = picture(&frame, &camera(*direction, side)?, sight.positions(), device)?;
            pictures.push(over(&encoded, [1.0; 3], false)?.reshape(&[1, side, side, 4])?);
        }
        let pictures = concat(&pictures.iter().collect::<Vec<_>>(), 0)?;
        let cover = pictures.slice(3, 3, 4)?.mean()?.scale(self.cover_weight)?;
        let (mut loss, mut normals) = (kept.add(&cover)?, None);
        if let Some(polish) = &self.polish {
            let (seen, rough) = polish.seen(&sight, from, device)?;
            (loss, normals) = (loss.add(&rough)?, Some(seen));
        }
        Ok(Drawn { renders: pictures.slice(3, 0, 3)?, normals, loss: Some(loss) })
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
