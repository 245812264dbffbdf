//! The stages of a training, one after the other.

use super::super::dataset::{Dataset, Shot};
use super::super::splats::unusable;
use super::super::views::{camera, scores};
use super::shape::{self, Shape};
use super::texture::{Painted, unwrapped, visible};
use super::{TrainMeshJob, nothing, pages, splats};
use crate::fields::surface::Extracted;
use crate::fields::textured::{Photographs, Target, Textured, pictures, shuffled};
use crate::fit::drive::{Output, Task};
use crate::run::{background, fixed};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::Parameter;
use lumigrad_optim::Schedule;
use lumigrad_scene::Scene;
use lumigrad_splat::{Background, Gaussians, Image, RenderOptions, Train, TrainState, render_views};

/// Parts of a run at whose ends Gaussians become a shape, and the shape gets its texture.
const ENDS: [f64; 2] = [0.6, 0.75];
/// How rates fall within a stage.
const SCHEDULE: Schedule = Schedule::Exponential { end: 0.1 };
/// Photographs of a step of the shape, whose surface is made anew for it.
const VIEWS: usize = 4;
/// Held-out pictures that are scored while the run goes on.
const SCORED: usize = 8;

/// What is trained at present.
enum Stage {
    Splats(Box<dyn Train>),
    Shape(Box<Shape>),
    Texture(Box<Painted>),
}

/// A training of a mesh.
pub struct Mesher<'a> {
    job: &'a TrainMeshJob,
    pub photographs: Photographs,
    targets: Vec<Target>,
    pub device: Device,
    progress: f64,
    stage: Stage,
    /// The Gaussians of the first stage, and the surface that they show, once it is done.
    gaussians: Option<Gaussians>,
    fused: Option<Extracted>,
}

/// Results of the stages so far.
pub struct Results {
    pub gaussians: Gaussians,
    /// What the Gaussians show.
    pub fused: Extracted,
    /// What became of it through the rasteriser.
    pub optimised: Option<Extracted>,
    /// With its texture.
    pub mesh: Textured,
}

impl<'a> Mesher<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// Photographs that cannot be trained on.
    pub fn new(job: &'a TrainMeshJob, mut dataset: Dataset, device: &Device) -> Result<Self> {
        let stage = Stage::Splats(splats::trainer(job, &mut dataset, None, device)?);
        let targets = dataset.train.iter().map(|s| Target::new(s, device)).collect::<Result<Vec<_>>>()?;
        let photographs = Photographs { dataset, background: fixed(background(&job.photos.background)?) };
        let device = device.clone();
        Ok(Self { job, photographs, targets, device, progress: 0.0, stage, gaussians: None, fused: None })
    }

    /// How much of the stage is done, from 0 to 1.
    fn share(&self) -> f64 {
        let [first, second] = ENDS;
        let [from, to] = match self.stage {
            Stage::Splats(_) => [0.0, first],
            Stage::Shape(_) => [first, second],
            Stage::Texture(_) => [second, 1.0],
        };
        ((self.progress - from) / (to - from)).clamp(0.0, 1.0)
    }

    fn paint(&self, surface: Extracted) -> Result<Stage> {
        Ok(Stage::Texture(Box::new(Painted::new(surface, self.job.texture_size, &self.device)?)))
    }

    fn shaped(&self, fused: Extracted) -> Result<Stage> {
        Ok(Stage::Shape(Box::new(Shape::new(fused, self.job.resolution, &self.device)?)))
    }

    /// What photographs see of a surface.
    fn visible(&self, surface: &Extracted) -> Result<Extracted> {
        visible(surface, &self.photographs, self.job, &self.device)
    }

    /// Parameters of the stage at their start.
    fn start(&self) -> Result<Vec<Parameter>> {
        match &self.stage {
            Stage::Splats(_) => Ok(vec![nothing(&self.device)?]),
            Stage::Shape(shape) => shape.start(),
            Stage::Texture(painted) => painted.start(&self.device),
        }
    }

    /// The Gaussians as they are.
    fn gaussians(&self) -> Result<Gaussians> {
        match (&self.stage, &self.gaussians) {
            (Stage::Splats(trainer), _) => trainer.gaussians().map_err(unusable),
            (_, Some(known)) => Ok(known.clone()),
            _ => Err(Error::job("the checkpoint has no Gaussians")),
        }
    }

    /// What the stages have made so far.
    fn results(&self, values: &[Tensor]) -> Result<Results> {
        let gaussians = self.gaussians()?;
        let fused = match &self.fused {
            Some(known) => known.clone(),
            None => shape::fused(&gaussians, self.job.resolution)?,
        };
        let size = self.job.texture_size;
        let (optimised, mesh) = match &self.stage {
            Stage::Splats(_) => (None, unwrapped(&self.visible(&fused)?, size)?),
            Stage::Shape(shape) => {
                let surface = self.visible(&shape.surface(values)?)?;
                let mesh = unwrapped(&surface, size)?;
                (Some(surface), mesh)
            }
            Stage::Texture(painted) => (Some(painted.surface.clone()), painted.mesh(values)?),
        };
        Ok(Results { gaussians, fused, optimised, mesh })
    }

    /// Pictures of a scene from the views of photographs.
    pub fn pictures<'s>(&self, scene: &Scene, shots: impl IntoIterator<Item = &'s Shot>) -> Result<Vec<Image>> {
        pictures(scene, shots, self.photographs.background, &self.device)
    }

    /// PSNR of a scene from some of the held-out views.
    pub fn scene_psnr(&self, scene: &Scene) -> Result<f64> {
        self.score(&self.pictures(scene, self.some())?)
    }

    fn score(&self, images: &[Image]) -> Result<f64> {
        Ok(scores(images, self.some(), Background::Colour(self.photographs.background))?.0)
    }

    /// Some of the held-out photographs.
    fn some(&self) -> impl Iterator<Item = &Shot> {
        let all = self.photographs.dataset.scored();
        all.iter().step_by(all.len().div_ceil(SCORED).max(1))
    }
}

impl Task for Mesher<'_> {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
    }

    fn factor(&self) -> f64 {
        SCHEDULE.factor(self.share())
    }

    fn regrown(&mut self, values: &[Tensor]) -> Result<Option<Vec<Parameter>>> {
        let next = match &self.stage {
            Stage::Splats(_) if self.progress >= ENDS[0] => {
                let gaussians = self.gaussians()?;
                let fused = shape::fused(&gaussians, self.job.resolution)?;
                (self.gaussians, self.fused) = (Some(gaussians), Some(fused.clone()));
                self.shaped(fused)?
            }
            Stage::Shape(shape) if self.progress >= ENDS[1] => self.paint(self.visible(&shape.surface(values)?)?)?,
            _ => return Ok(None),
        };
        self.stage = next;
        self.start().map(Some)
    }

    fn own_step(&mut self) -> Result<Option<f64>> {
        let share = self.share();
        let Stage::Splats(trainer) = &mut self.stage else { return Ok(None) };
        Ok(Some(trainer.step(share).map_err(unusable)?.loss.into()))
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let (n, seed, background) = (self.targets.len(), self.job.run.common.seed, self.photographs.background);
        let views = self.job.run.batch.unwrap_or(VIEWS).min(n);
        let target = |k: usize| &self.targets[shuffled(k, n, seed)];
        match &self.stage {
            Stage::Splats(_) => Err(Error::job("Gaussians are trained without a tape")),
            Stage::Shape(shape) => {
                let targets: Vec<&Target> = (0..views).map(|k| target(step as usize * views + k)).collect();
                shape.loss(parameters, &targets, background, self.share())
            }
            Stage::Texture(painted) => painted.loss(parameters, target(step as usize), background),
        }
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        let scene = match &self.stage {
            Stage::Splats(trainer) => {
                let background = self.photographs.background;
                let options = RenderOptions { background, ..RenderOptions::default() };
                let views: Vec<_> = self.some().map(|s| camera(&s.view)).collect();
                let gaussians = trainer.gaussians().map_err(unusable)?;
                return Ok(Some(self.score(&render_views(&gaussians, &views, &options).map_err(unusable)?)?));
            }
            Stage::Shape(own) => shape::scene(&own.surface(values)?)?,
            Stage::Texture(painted) => painted.mesh(values)?.scene()?,
        };
        Ok(Some(self.scene_psnr(&scene)?))
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let surface = |names: [&'static str; 3], s: &Extracted| {
            // Numbers of vertices by their bits: all of them, whatever a float can count to.
            let triangles = s.triangles.as_flattened().iter().map(|v| f32::from_bits(*v)).collect();
            let colours = s.colours.as_deref().unwrap_or_default().as_flattened().to_vec();
            names.into_iter().zip([s.positions.as_flattened().to_vec(), triangles, colours]).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.gaussians.iter().flat_map(splats::arrays).collect();
        all.extend(self.fused.iter().flat_map(|s| surface(FUSED, s)));
        let (number, step) = match &self.stage {
            Stage::Splats(trainer) => {
                let Ok(state) = trainer.state() else { return all };
                all.extend(splats::arrays(&state.gaussians));
                all.extend([("first", state.first), ("second", state.second)]);
                (0.0, state.step as f32)
            }
            Stage::Shape(_) => (1.0, 0.0),
            Stage::Texture(painted) => {
                all.extend(surface(OPTIMISED, &painted.surface));
                (2.0, 0.0)
            }
        };
        all.push(("stage", vec![number, step]));
        all
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        let surface = |[positions, triangles, colours]: [&str; 3]| -> Result<Extracted> {
            let missing = |name: &str| Error::file("--resume", format!("the checkpoint has no {name}"), "start anew");
            let rows = |name: &str| find(name).ok_or_else(|| missing(name));
            let three = |name: &str| Ok::<_, Error>(rows(name)?.as_chunks::<3>().0.to_vec());
            let triangles = three(triangles)?.into_iter().map(|t| t.map(f32::to_bits)).collect();
            Ok(Extracted { positions: three(positions)?, triangles, colours: Some(three(colours)?) })
        };
        let Some(&[number, step]) = find("stage").as_deref() else { return Ok(None) };
        let gaussians = splats::gaussians(find)?;
        if number == 0.0 {
            let Some(gaussians) = gaussians else { return Ok(None) };
            let [first, second] = ["first", "second"].map(|name| find(name).unwrap_or_default());
            let state = TrainState { step: step as usize, first, second, ..TrainState::new(gaussians) };
            let trainer = splats::trainer(self.job, &mut self.photographs.dataset, Some(state), &self.device)?;
            self.stage = Stage::Splats(trainer);
            return Ok(None);
        }
        let fused = surface(FUSED)?;
        (self.gaussians, self.fused) = (gaussians, Some(fused.clone()));
        self.stage = if number == 1.0 { self.shaped(fused)? } else { self.paint(surface(OPTIMISED)?)? };
        self.start().map(Some)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        match self.results(values) {
            Ok(results) => pages::write(self, &results, output),
            // Stopped too early: the checkpoint is worth more than an error.
            Err(reason) if matches!(self.stage, Stage::Splats(_)) => {
                output.summary.warnings.push(format!("there is no mesh yet: {reason}"));
                Ok(())
            }
            Err(reason) => Err(reason),
        }
    }
}

/// Arrays of the surfaces in checkpoints.
const FUSED: [&str; 3] = ["fused positions", "fused triangles", "fused colours"];
const OPTIMISED: [&str; 3] = ["optimised positions", "optimised triangles", "optimised colours"];
