//! The steps of an edit.

use super::crops::Crops;
use super::measure::{self, Seen};
use super::model::Model;
use super::region::Region;
use super::{EDIT, EditVoxelsJob, attention, pages};
use crate::fit::drive::{Output, Setup, Task, drive};
use crate::fit::given;
use crate::guiding::Guide;
use crate::run::job::Document;
use crate::run::{Observer, Stop, Summary, background, fixed, require_memory};
use crate::{Error, Result};
use lumigrad_core::map::Expr;
use lumigrad_core::ops::random::{hash, uniform};
use lumigrad_core::ops::{self, pointwise, slice_tensor};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_field::{Parameter, Rates};
use lumigrad_guidance::Capability;
use lumigrad_guidance::distill::{Distiller, Options, Times, Verdict, pull};
use lumigrad_optim::{Schedule, correlation};
use lumigrad_scene::camera::{Framing, View, sphere_views};
use lumigrad_splat::Background;
use std::path::Path;

/// Steps where the job does not say.
const ITERATIONS: usize = 400;
/// Part of the run after which the largest time falls, by how much it then falls over the whole run, and its least value:
/// Vox-E's 4000 of 8000 steps, ×0.75 every 600, 0.22.
const FALLS_AFTER: f64 = 0.5;
const FALL: f64 = 0.75;
const FALLS: f64 = 8000.0 / 600.0;
const LEAST_TIME: f64 = 0.22;
/// Corners that are aimed at have at least this opacity along a cell.
const SOLID: f64 = 0.2;
/// Pixels along a side of views, where the prior does not care.
const SIDE: usize = 64;
/// Cameras at most.
const MOST_VIEWS: usize = 1 << 12;
/// Bytes of a ray with its samples and their gradients.
const RAY_BYTES: u64 = 32 << 10;
/// Views over time on the page.
const MOMENTS: [f64; 4] = [0.0, 0.1, 0.3, 0.6];

pub(super) fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: EditVoxelsJob = document.parse()?;
    let device = Device::from_name(&job.run.common.device)?;
    let path = given(&job.model, &EDIT, "MODEL", "give a grid or a mesh: lumigrad edit voxels runs/voxels")?;
    let mut task = Edit::new(&job, &path, &device)?;
    let stem = path.file_stem().map_or("model".into(), |s| s.to_string_lossy().into_owned());
    let setup = Setup {
        keys: &job.run,
        title: format!("Edit of {stem}: {}", job.guide.prompt.as_deref().unwrap_or("anything that the prior knows")),
        name: format!("edit-{stem}"),
        parameters: task.parameters()?,
        rates: Rates { rate: job.lr, table_rate: job.lr, clip: None },
        schedule: Schedule::Exponential { end: 0.1 },
        warm_up: 0.0,
        iterations: ITERATIONS,
    };
    drive(setup, &mut task, document, stop, observer)
}

/// An edit in progress.
pub(super) struct Edit<'a> {
    pub job: &'a EditVoxelsJob,
    pub guide: Guide,
    pub model: Model,
    /// As it was given.
    pub original: Model,
    pub region: Region,
    pub crops: Crops,
    /// The same of the views that are compared.
    pub compared: Crops,
    pub device: Device,
    /// The size of the cotangent in each step.
    pub norms: Vec<f32>,
    /// Pictures on the way: how much was done, and the first compared view.
    pub moments: Vec<(f64, Seen)>,
    distiller: Distiller,
    /// Words of the edit and of the object, where the extent is found by attention.
    words: Option<[String; 2]>,
    behind: Background,
    /// For each row the number of its parameters, u32, and 1 where it has some.
    rows: (Tensor, Tensor),
    /// Densities before, of the rows that may change.
    densities: Tensor,
    progress: f64,
}

impl<'a> Edit<'a> {
    pub fn new(job: &'a EditVoxelsJob, path: &Path, device: &Device) -> Result<Self> {
        let [from, to] = job.times;
        if !(0.0 < from && from < to && to <= 1.0) {
            return Err(Error::usage(
                "--times",
                format!("from {from} to {to}"),
                "two numbers above 0 and up to 1, the smaller first",
            ));
        }
        for (flag, n, most) in [("--cameras", job.cameras, MOST_VIEWS), ("--views", job.views, MOST_VIEWS)] {
            if n > most {
                return Err(Error::usage(flag, format!("{n} views"), format!("at most {most}")));
            }
        }
        let guide = Guide::new(&job.guide, "edit voxels")?;
        let options = Options {
            times: Times { least: from, most: to, most_at_end: LEAST_TIME.clamp(from, to) },
            guidance: guide.guidance.clone(),
            clip_norm: job.clip.unwrap_or(f64::INFINITY),
            ..Options::default()
        };
        let distiller = Distiller::new(guide.prior.clone(), options, job.run.common.seed)?;
        let words = words(job, &guide)?;
        let model = Model::load(path, job.resolution, device)?;
        let original = model.again(device)?;
        let region = Region::new(job, &model, device)?;
        // Of a prior of any size, crops are whole views.
        let asked = job.size.filter(|_| guide.info().size.is_none()).map(|s| [s.height, s.width]);
        let side = guide.info().pictures(asked, SIDE).map_err(|e| Error::usage("--size", e.to_string(), ""))?;
        let size = job.size.map_or((side[1], side[0]), |s| (s.width, s.height));
        if size.0 < side[1] || size.1 < side[0] {
            let message = format!("{}x{} is smaller than the prior's {}x{}", size.0, size.1, side[1], side[0]);
            return Err(Error::usage("--size", message, "take larger views"));
        }
        let pixels = (job.pictures as u64).saturating_mul((side[0] * side[1]) as u64);
        require_memory(pixels.saturating_mul(RAY_BYTES), "--pictures", "take fewer pictures in a step")?;
        let numbers = region.numbers();
        let aims = aims(&model, &region, device)?;
        if words.is_some() && size != (side[1], side[0]) {
            let message = format!("attention is that of whole views, {}x{}", side[1], side[0]);
            return Err(Error::usage("--size", message, "leave --size or the words out"));
        }
        let framing = Framing::of_sphere(model.domain.centre, model.domain.unit(), size);
        let crops = |n: usize| Crops { views: sphere_views(n, &framing), side, aims: aims.clone() };
        let mut rows = vec![0u32; region.rows.len()];
        numbers.iter().enumerate().for_each(|(k, &row)| rows[row as usize] = k as u32);
        let changes: Vec<f32> = region.rows.iter().map(|r| if *r { 1.0 } else { 0.0 }).collect();
        let rows = (
            Tensor::from_slice(device, &rows, &[rows.len()])?,
            Tensor::from_slice(device, &changes, &[changes.len(), 1])?,
        );
        let picked =
            Var::from(model.values[0].clone()).gather(&Tensor::from_slice(device, &numbers, &[numbers.len()])?)?;
        let densities = model.grids.activate(&picked)?.tensor().clone();
        Ok(Self {
            crops: crops(job.cameras),
            // Another number of views on the sphere: none of them is one of those that the edit saw.
            compared: crops(if job.views == job.cameras { job.views + 1 } else { job.views }),
            distiller,
            words,
            behind: background(&job.background)?,
            norms: vec![],
            moments: vec![],
            progress: 0.0,
            device: device.clone(),
            job,
            guide,
            model,
            original,
            region,
            rows,
            densities,
        })
    }

    /// Rows that may change: of the density where it may, and of the colour's three logits.
    fn parameters(&self) -> Result<Vec<Parameter>> {
        let numbers = self.region.numbers();
        let numbers = Tensor::from_slice(&self.device, &numbers, &[numbers.len()])?;
        let part = |name: &str, table: Tensor| -> Result<Parameter> {
            let value = Var::from(table).gather(&numbers)?.tensor().clone();
            Ok(Parameter { name: name.into(), value, rate: 1.0, sparse: true })
        };
        let colours = part("colours", slice_tensor(&self.model.values[1], 1, 0, 3)?)?;
        Ok(match self.job.change.as_str() {
            "colour" => vec![colours],
            _ => vec![part("densities", self.model.values[0].clone())?, colours],
        })
    }

    /// The model's tables with these rows in them.
    fn tables(&self, parameters: &[Var]) -> Result<Vec<Var>> {
        let mut all: Vec<Var> = self.original.values.iter().cloned().map(Var::from).collect();
        let changes = Var::from(self.rows.1.clone());
        let placed =
            |rows: &Var, before: &Var| -> Result<Var> { chosen(&changes, &rows.gather(&self.rows.0)?, before) };
        let (colours, densities) = match parameters {
            [densities, colours] => (colours, Some(densities)),
            _ => (&parameters[0], None),
        };
        if let Some(densities) = densities {
            all[0] = placed(densities, &all[0])?;
        }
        let width = self.model.grids.features;
        let logits = placed(colours, &all[1].slice(1, 0, 3)?)?;
        all[1] = if width > 3 { ops::concat(&[&logits, &all[1].slice(1, 3, width)?], 1)? } else { logits };
        Ok(all)
    }

    /// The model's values with these rows.
    pub fn settled(&self, values: &[Tensor]) -> Result<Vec<Tensor>> {
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        Ok(self.tables(&vars)?.into_iter().map(|v| v.tensor().clone()).collect())
    }

    /// The progress at which a distiller, whose largest time falls with its root, has the largest time of Vox-E now.
    fn fallen(&self) -> f64 {
        let [from, to] = self.job.times;
        let least = LEAST_TIME.clamp(from, to);
        let time = (to * FALL.powf((self.progress - FALLS_AFTER).max(0.0) * FALLS)).clamp(least, to);
        if to > least { ((to - time) / (to - least)).powi(2) } else { 0.0 }
    }

    /// Half of the squared pull, whose derivative by the render is the pull.
    fn pulled(&mut self, tables: &[Var], (seed, step): (u64, u64)) -> Result<Var> {
        let crops = self.crops.draw(self.job.pictures, hash(seed, 1));
        let colour = |k: u64| match self.behind {
            Background::Random => [0, 1, 2].map(|c| uniform(hash(seed, 2), 3 * k + c) as f32),
            plain => fixed(plain),
        };
        let behind: Vec<[f32; 3]> = (0..crops.len() as u64).map(colour).collect();
        let scene = self.model.scene(self.model.background);
        let rendered = self.crops.render(&scene, tables, (&crops, &behind), Some(hash(seed, 3)), &self.device)?;
        let views: Vec<&View> = crops.iter().map(|c| &self.crops.views[c.view]).collect();
        let conditions = self.guide.seen_from(&views, self.model.domain.centre);
        let numbers: Vec<u64> = (0..crops.len() as u64).collect();
        let (renders, progress) = (rendered.colours.tensor(), self.fallen());
        let guided = self.distiller.guide(renders, &conditions, &numbers, step, progress)?;
        let mean = guided.norms.iter().sum::<f64>() / guided.norms.len().max(1) as f64;
        self.norms.push(mean as f32);
        let mut cotangent = guided.cotangent;
        if guided.verdict == Verdict::RollBack {
            // A loss that is no number takes the training back to its last good state.
            self.distiller.forget();
            cotangent = Tensor::full(&self.device, cotangent.dtype(), cotangent.shape(), f64::NAN)?;
        } else if !self.crops.whole() {
            // Of a patch only what the model covers counts: what is behind it is no picture of anything, and haze must not grow.
            let covered = |x: &[Expr]| x[0] * (2.0 * x[1] - 1.0).max(0.0);
            let inputs = [&cotangent.into(), &rendered.opacities.stop_gradient()];
            cotangent = pointwise("edit/covered", &inputs, covered)?.tensor().clone();
        }
        Ok(pull(&rendered.colours, cotangent)?)
    }
}

/// Both words where they are given and the prior has attention.
fn words(job: &EditVoxelsJob, guide: &Guide) -> Result<Option<[String; 2]>> {
    let (flag, help) = ("--edit-word", "give both --edit-word and --object-word, or none");
    match (&job.edit_word, &job.object_word) {
        (None, None) => Ok(None),
        (Some(edit), Some(object)) => {
            let asked = guide.info().require(Capability::Attention, " (needed by --edit-word)");
            asked.map_err(|e| Error::usage(flag, e.to_string(), "mark the extent by --region or --mask"))?;
            Ok(Some([edit.clone(), object.clone()]))
        }
        _ => Err(Error::usage(flag, "one of two words is missing", help)),
    }
}

/// A table with the rows that are kept, and those of before elsewhere.
fn merged(kept: &[bool], table: &Tensor, before: &Tensor) -> Result<Tensor> {
    let mask: Vec<f32> = kept.iter().map(|k| if *k { 1.0 } else { 0.0 }).collect();
    let mask = Var::from(Tensor::from_slice(table.device(), &mask, &[mask.len(), 1])?);
    Ok(chosen(&mask, &table.clone().into(), &before.clone().into())?.tensor().clone())
}

/// Rows of `a` where a mask is 1, of `b` where it is 0.
fn chosen(mask: &Var, a: &Var, b: &Var) -> Result<Var> {
    Ok(pointwise("edit/rows", &[mask, a, b], |x| x[0].greater(0.5).select(x[1], x[2]))?)
}

/// Where the model is solid within a region; where it is so nowhere, the whole region.
fn aims(model: &Model, region: &Region, device: &Device) -> Result<Vec<[f64; 3]>> {
    let corners = model.corners(device)?;
    let density = model.grids.activate(&Var::from(model.values[0].clone()))?.tensor().to_vec::<f32>()?;
    let least = -(1.0 - SOLID).ln() / model.grids.lattice.spacing()[0];
    let inside = |solid: bool| -> Vec<[f64; 3]> {
        let rows = (0..corners.len()).filter(|&k| region.rows[k] && (!solid || density[k] as f64 > least));
        rows.map(|k| model.world(corners[k] as usize)).collect()
    };
    let solid = inside(true);
    Ok(if solid.is_empty() { inside(false) } else { solid })
}

impl Task for Edit<'_> {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let seed = hash(self.job.run.common.seed ^ 0xed17, step);
        let tables = self.tables(parameters)?;
        let plain: Vec<Var> = tables.iter().map(Var::stop_gradient).collect();
        self.model.occupied.follow(&self.model.grids, &plain, step, seed)?;
        if MOMENTS.get(self.moments.len()).is_some_and(|at| self.progress >= *at) {
            let values: Vec<Tensor> = plain.iter().map(|v| v.tensor().clone()).collect();
            let view = std::slice::from_ref(&self.compared.views[0]);
            let mut seen = measure::see(&self.model, &values, &self.region, view, &self.device)?;
            self.moments.push((self.progress, seen.remove(0)));
        }
        let mut loss = self.pulled(&tables, (seed, step))?;
        if parameters.len() == 2 && self.job.correlation > 0.0 {
            let densities = self.model.grids.activate(&parameters[0])?;
            let alike = correlation(&densities, &self.densities.clone().into())?;
            loss = loss.add(&alike.scale(-self.job.correlation)?.offset(self.job.correlation)?)?;
        }
        Ok(loss)
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        vec![("occupancy", self.model.occupied.grid.densities().to_vec()), ("norms", self.norms.clone())]
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        self.norms = find("norms").unwrap_or_default();
        find("occupancy").map_or(Ok(()), |densities| self.model.occupied.restore(&densities))?;
        Ok(None)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let mut settled = self.settled(values)?;
        if let Some([edit, object]) = &self.words {
            let (words, seed) = ([&edit[..], &object[..]], self.job.run.common.seed);
            let crops = &self.crops;
            let kept = attention::extent((&self.guide, words), (&self.model, &settled), crops, (seed, &self.device))?;
            output.summary.metric("kept_corners", kept.iter().filter(|k| **k).count() as f64);
            for (table, before) in settled.iter_mut().zip(&self.original.values).take(2) {
                *table = merged(&kept, table, before)?;
            }
        }
        pages::finish(self, &settled, output)
    }
}
