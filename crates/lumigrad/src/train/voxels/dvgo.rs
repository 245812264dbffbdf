//! Dense grids that grow (direct voxel grid optimisation, Sun et al. 2022).

use super::super::dataset::Dataset;
use super::super::radiance::{Batch, Light, Space, nearest};
use super::{BATCH, Given, Grids, NUMBER_BYTES, TrainVoxelsJob, binary, seen};
use crate::fit::drive::{Output, Task, drive};
use crate::run::job::Document;
use crate::run::{Observer, Stop, Summary, require_memory};
use crate::volume::{Domain, Mapping, March};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_field::Parameter;
use lumigrad_voxel::{Lattice, Sparse};

/// Parts of a run at whose ends the grid is made anew, and how often its corners are halved then; the box shrinks to the
/// scene at the first.
const STAGES: [(f64, u32); 4] = [(0.06, 3), (0.12, 2), (0.2, 1), (0.3, 0)];
/// The same of sparse grids, which leave out what is empty each time.
const SPARSE_STAGES: [(f64, u32); 6] = [(0.06, 3), (0.12, 2), (0.2, 1), (0.3, 0), (0.5, 0), (0.75, 0)];
/// Halvings of the first grid.
const FIRST: u32 = 4;
/// Optical length of a cell around which a sparse grid is kept.
const KEPT: f64 = 0.01;
/// Opacity of a cell of the first grid at the start: nearly nothing, for what explains one picture must not grow in front
/// of its camera before all have been seen.
const FIRST_OPACITY: f64 = 1e-3;
/// The same of a whole forward-facing box: all its planes share in the light, for nothing of it lies in front of one camera only
/// (DVGO's readers of such scenes begin so too).
const FIRST_DEPTH: f64 = 1.0;
/// Samples along a cell.
const PER_CELL: f64 = 2.0;
/// Opacity of a cell that is part of the scene, and how much larger the box around these is made.
const FULL: f64 = 1e-2;
const MARGIN: f64 = 1.05;
/// Least weights of samples: of the first grid, and later.
const LEAST: [f64; 2] = [1e-5, 1e-4];
/// Weights of total variation of densities and features where space is not a box of the world.
const TV: [f64; 2] = [1e-5, 1e-6];
/// Corners at which total variation is looked at.
const TV_CORNERS: usize = 1 << 14;

pub fn train(given: Given, document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let mut task = Dvgo::new(given.job, given.dataset, &given.device)?;
    let parameters = task.grids.start(given.job.run.common.seed, &given.device)?;
    drive(given.setup("Voxel grid", parameters), &mut task, document, stop, observer)
}

struct Dvgo<'a> {
    job: &'a TrainVoxelsJob,
    space: Space<'a>,
    grids: Grids,
    /// Corners of the last grid.
    corners: usize,
    /// How often the grid has grown.
    grown: usize,
    progress: f64,
    /// When it grows.
    stages: &'static [(f64, u32)],
    /// Rates of corners of the first grid.
    rates: Option<Var>,
}

impl<'a> Dvgo<'a> {
    fn new(job: &'a TrainVoxelsJob, dataset: &'a Dataset, device: &Device) -> Result<Self> {
        let domain = narrowed(job.space.domain(dataset)?);
        let longest = dataset.train.iter().map(|s| s.view.width.max(s.view.height)).max().unwrap_or(0);
        let side = job.resolution.unwrap_or(if domain.mapping != Mapping::Bounded {
            128
        } else {
            (longest + longest / 4).clamp(128, 160)
        });
        let corners = side.saturating_pow(3);
        let bytes = (corners as u64).saturating_mul(NUMBER_BYTES * (job.features as u64 + 1));
        require_memory(bytes, "--resolution", "choose a coarser grid")?;
        // As in a cell of the last grid, of this length.
        let scale = 1.0 / finest(&Lattice::of_box(domain.half, corners)?);
        let lattice = Lattice::of_box(domain.half, corners >> FIRST)?;
        let first = match domain.mapping {
            Mapping::Forward(_) => FIRST_DEPTH * domain.unit() / (2.0 * domain.half[2]),
            _ => FIRST_OPACITY / finest(&lattice),
        };
        let shift = ((first / scale).exp() - 1.0).ln();
        let mut grids = Grids::plain(lattice, (shift, scale), LEAST[0]);
        grids.rays = job.rays(if job.method == binary::NAME { binary::RAYS } else { 1 })?;
        let stages: &[_] = if job.method == "sparse" { &SPARSE_STAGES } else { &STAGES };
        let space = Space::new(&job.space, dataset, (domain, march(&domain, &lattice)), (job.run.common.seed, device))?;
        let mut task = Self { job, space, grids, corners, grown: 0, progress: 0.0, stages, rates: None };
        task.count()?;
        Ok(task)
    }

    /// Whether opacity becomes binary.
    fn is_binary(&self) -> bool {
        self.job.method == binary::NAME
    }

    /// Counts cameras for the rates of the first grid.
    fn count(&mut self) -> Result<()> {
        if self.space.domain.mapping == Mapping::Bounded {
            let rates = seen::rates(self.space.dataset, &self.space.domain, &self.grids.lattice);
            self.rates = Some(Tensor::from_slice(&self.space.device, &rates, &[rates.len(), 1])?.into());
        }
        Ok(())
    }

    /// Grids as the step sees them: slow where few cameras look.
    fn slowed(&self, parameters: &[Var]) -> Result<Vec<Var>> {
        let mut all = parameters.to_vec();
        if let Some(rates) = &self.rates {
            all[0] = all[0].mul(rates)?;
        }
        Ok(all)
    }

    /// The grids that these values are, without rates.
    fn settled(&self, values: &[Tensor]) -> Result<Vec<Tensor>> {
        let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        Ok(self.slowed(&vars)?.iter().map(|v| v.tensor().clone()).collect())
    }

    /// The box of what is opaque.
    fn full_box(&self, density: &Tensor) -> Result<Option<[[f64; 3]; 2]>> {
        let lattice = &self.grids.lattice;
        let found = self.grids.activate(&Var::from(density.clone()))?.tensor().to_vec::<f32>()?;
        let least = -(1.0 - FULL).ln() / lattice.spacing()[0];
        let mut around: Option<[[f64; 3]; 2]> = None;
        for (corner, _) in found.iter().enumerate().filter(|(_, d)| **d as f64 > least) {
            let p = lattice.place(corner);
            let [lo, hi] = around.get_or_insert([p, p]);
            (0..3).for_each(|a| (lo[a], hi[a]) = (lo[a].min(p[a]), hi[a].max(p[a])));
        }
        Ok(around)
    }

    /// Settles on a box and a whole lattice in it.
    fn settle(&mut self, domain: Domain, grown: usize) -> Result<()> {
        let halvings = grown.checked_sub(1).map_or(FIRST, |k| self.stages[k].1);
        let lattice = Lattice::of_box(domain.half, self.corners >> halvings)?;
        self.grids.scale *= domain.unit() / self.space.domain.unit();
        self.grids.settle(lattice, None);
        (self.space.domain, self.space.march, self.grown) = (domain, march(&domain, &lattice), grown);
        let colour = if self.is_binary() { (binary::FEATURES, 0) } else { (self.job.features, self.job.width) };
        ((self.grids.features, self.grids.width), self.grids.least_weight) = (colour, LEAST[1]);
        self.rates = None;
        self.space.fill()
    }

    /// The next grid, with the values of the one before.
    fn grow(&mut self, values: &[Tensor]) -> Result<Vec<Parameter>> {
        let seed = self.job.run.common.seed;
        let density = self.settled(values)?.remove(0);
        let (old, before) = (self.grids.clone(), self.space.domain);
        let mut domain = before;
        if self.grown == 0
            && domain.mapping == Mapping::Bounded
            && let Some([lo, hi]) = self.full_box(&density)?
        {
            let spacing = old.lattice.spacing();
            for a in 0..3 {
                let (lo, hi) = ((lo[a] - spacing[a]).max(-1.0), (hi[a] + spacing[a]).min(1.0));
                domain.centre[a] = before.centre[a] + 0.5 * (lo + hi) * before.half[a];
                domain.half[a] = 0.5 * MARGIN * (hi - lo) * before.half[a];
            }
            domain = narrowed(domain);
        }
        self.settle(domain, self.grown + 1)?;
        let back = |p: [f64; 3]| {
            [0, 1, 2].map(|a| (domain.centre[a] + p[a] * domain.half[a] - before.centre[a]) / before.half[a])
        };
        let mut density = old.resample(&density, &self.grids.lattice, back)?;
        let mut features = old.resample(&values[1], &self.grids.lattice, back)?;
        if self.job.method == "sparse" {
            let (lattice, device) = (self.grids.lattice, &self.space.device);
            let found = self.grids.activate(&density.clone().into())?.tensor().to_vec::<f32>()?;
            // What is thinner than the mean is left out in any case, and never everything.
            let mean = found.iter().map(|&d| d as f64).sum::<f64>() / found.len() as f64;
            let least = (0.999 * mean).min(KEPT / (lattice.spacing()[0] * domain.half[0] / domain.unit())) as f32;
            let sparse = Sparse::around(lattice, |k| found[k] >= least, device)?;
            if sparse.is_empty() {
                return Err(Error::job("the voxel grid is empty: nothing of the pictures was learnt; train it longer"));
            }
            (density, features) = (sparse.gather(&density)?, sparse.gather(&features)?);
            self.grids.settle(lattice, Some(sparse));
        }
        if old.features < self.grids.features {
            let (n, more) = (features.shape()[0], self.grids.features - old.features);
            let zeros = Tensor::zeros(features.device(), DType::F32, &[n, more])?;
            features = lumigrad_core::ops::concat(&[&features.into(), &zeros.into()], 1)?.tensor().clone();
        }
        let mut parameters = self.grids.parameters(density, features, seed)?;
        for (parameter, old) in parameters.iter_mut().zip(values).skip(2) {
            parameter.value = old.clone();
        }
        let vars: Vec<Var> = parameters.iter().map(|p| p.value.clone().into()).collect();
        self.space.occupied.renew(&self.grids, &vars, seed)?;
        Ok(parameters)
    }

    /// What is added to the squared difference of pictures.
    fn regularised(&self, loss: Var, light: &Light, batch: &Batch, parameters: &[Var], seed: u64) -> Result<Var> {
        let mut loss = self.space.tidied(loss, light, batch)?;
        let usual = if self.space.domain.mapping == Mapping::Bounded { [0.0; 2] } else { TV };
        let weights = self.job.tv_weight.map_or(usual, |w| [w, w * TV[1] / TV[0]]);
        let n = self.grids.lattice.len() as u64;
        let corners: Vec<usize> = (0..TV_CORNERS as u64).map(|k| (random::hash(seed, k) % n) as usize).collect();
        let whole = self.grids.sparse(&self.space.device)?.is_none();
        for (table, weight) in parameters.iter().zip(weights).filter(|(_, w)| whole && *w > 0.0) {
            loss = loss.add(&self.grids.lattice.roughness(table, &corners)?.scale(weight)?)?;
        }
        Ok(loss)
    }
}

/// A box of numbers that a checkpoint keeps whole.
fn narrowed(domain: Domain) -> Domain {
    let [centre, half] = [domain.centre, domain.half].map(|v| v.map(|x| x as f32 as f64));
    Domain { centre, half, ..domain }
}

/// Length of a lattice's cells, which are cubes in the box, in the unit of distances.
fn finest(lattice: &Lattice) -> f64 {
    lattice.spacing().into_iter().fold(f64::INFINITY, f64::min)
}

/// How samples are placed in a lattice.
pub fn march(domain: &Domain, lattice: &Lattice) -> March {
    // Of contracted space the box has half of the cells.
    let unbounded = domain.is_contracted();
    let step = if unbounded { 2.0 } else { 1.0 } * finest(lattice) / PER_CELL;
    let (ratio, far) = if unbounded { (step, 200.0) } else { (0.0, 1e6) };
    let most = ((4.0 * 3f64.sqrt() / step) as usize).min(1 << 14);
    March { step, ratio, range: [nearest(domain), far], most, total: usize::MAX, unbounded }
}

impl Task for Dvgo<'_> {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
        if self.is_binary() {
            self.grids.sharpness = binary::sharpness(progress);
        }
    }

    fn regrown(&mut self, values: &[Tensor]) -> Result<Option<Vec<Parameter>>> {
        let due = self.stages.get(self.grown).is_some_and(|(at, _)| self.progress >= *at);
        due.then(|| self.grow(values)).transpose()
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let seed = self.job.run.common.seed;
        let slowed = self.slowed(parameters)?;
        let plain: Vec<Var> = slowed.iter().map(Var::stop_gradient).collect();
        self.space.occupied.follow(&self.grids, &plain, step, seed)?;
        let own = random::hash(seed ^ 0x0ce1, step);
        let rays = if self.is_binary() { binary::rays(self.progress, self.grids.rays) } else { self.grids.rays };
        let mut batch = self.space.draw(self.job.run.batch.unwrap_or(BATCH), rays, own)?;
        let scene = self.space.scene(&self.grids, &self.space.march);
        let (light, loss) = self.space.loss(&scene, &slowed, &mut batch)?;
        let loss = match self.is_binary().then(|| binary::entropy(&light, self.progress)).transpose()?.flatten() {
            Some(entropy) => loss.add(&entropy)?,
            None => loss,
        };
        let loss = self.space.guided(loss, &scene, &slowed, random::hash(own, 2))?;
        self.regularised(loss, &light, &batch, parameters, own)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        let values = self.settled(values)?;
        Ok(Some(self.space.psnr(&self.grids, &values)?))
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let Domain { centre, half, .. } = self.space.domain;
        let place = centre.into_iter().chain(half).map(|x| x as f32);
        let mut state = vec![
            ("occupancy", self.space.occupied.grid.densities().to_vec()),
            ("box", place.chain([self.grown as f32]).collect()),
            ("sharpness", vec![self.grids.sharpness as f32]),
        ];
        if let Ok(Some(sparse)) = self.grids.sparse(&self.space.device) {
            state.push(("kept", sparse.to_bits().into_iter().map(f32::from).collect()));
        }
        state
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        let mut parameters = None;
        if let Some(&[x, y, z, a, b, c, grown]) = find("box").as_deref() {
            let grown = grown as usize;
            let most = self.stages.len();
            if grown > most {
                return Err(Error::job(format!("the checkpoint's grid has grown {grown} times, at most {most}")));
            }
            if grown > 0 {
                let [centre, half] = [[x, y, z], [a, b, c]].map(|v| v.map(f64::from));
                self.settle(Domain { centre, half, ..self.space.domain }, grown)?;
                if let Some(kept) = find("kept") {
                    let bits: Vec<u8> = kept.iter().map(|b| *b as u8).collect();
                    let sparse = Sparse::from_bits(self.grids.lattice, &bits, &self.space.device)?;
                    self.grids.settle(self.grids.lattice, sparse);
                }
                parameters = Some(self.grids.start(self.job.run.common.seed, &self.space.device)?);
            }
        }
        if let Some(&[sharpness]) = find("sharpness").as_deref() {
            self.grids.sharpness = f64::from(sharpness);
        }
        find("occupancy").map_or(Ok(()), |densities| self.space.occupied.restore(&densities))?;
        Ok(parameters)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let values = self.settled(values)?;
        if self.is_binary() {
            let vars: Vec<Var> = values.iter().cloned().map(Var::from).collect();
            let mut batch = self.space.draw(BATCH, 1, self.job.run.common.seed)?;
            let (light, _) = self.space.loss(&self.space.scene(&self.grids, &self.space.march), &vars, &mut batch)?;
            output.figure(
                "binary_percent",
                "Opacities below 0.1 or above 0.9",
                100.0 * binary::share(&light)?,
                2,
                " %",
            );
        }
        self.space.finish(&self.grids, &values, "grid", output)
    }
}
