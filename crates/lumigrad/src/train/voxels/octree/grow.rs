//! Training of trees that grow where pictures are missed.

use super::super::super::dataset::Dataset;
use super::super::super::radiance::{Space, nearest};
use super::super::{BATCH, Given, NUMBER_BYTES, TrainVoxelsJob, seen};
use super::tally::Tally;
use super::{ARRAYS, Leaves, MOST_DEGREE};
use crate::fit::drive::{Output, Task, drive};
use crate::run::job::Document;
use crate::run::{Observer, Stop, Summary, require_memory};
use crate::volume::{Domain, Fate, Mapping, March, Octree};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_field::{Description, Parameter};

/// Rays of a step at least, and by how much more of them are drawn than fitted the step before.
const FEWEST: usize = 256;
const SPARE: f64 = 1.25;
/// Level of the first leaves, and opacity of one.
const FIRST: u32 = 5;
const FIRST_OPACITY: f64 = 1e-3;
/// Parts of a run at whose ends leaves are dropped and halved, and the part of those that may be halved that is.
const ROUNDS: [(f64, f64); 6] = [(0.04, 0.5), (0.08, 0.5), (0.13, 0.4), (0.2, 0.3), (0.3, 0.3), (0.4, 0.3)];
/// Weights that leaves must have had in a ray, at the first of these and at the last.
const LEAST: [f64; 2] = [3e-3, 0.01];
/// Samples of less weight are not looked at.
const LEAST_WEIGHT: f64 = 1e-4;
/// Factors of the rates of densities, colours and harmonics: densities begin with a logarithm that is far below what a surface has.
const RATES: [f64; 3] = [4.0, 1.0, 1.0];
/// Factor of densities, in parts of the longest side of a picture in pixels.
const SCALE: f64 = 0.2;

pub fn train(given: Given, document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let mut task = Growth::new(given.job, given.dataset, &given.device)?;
    let parameters = task.start()?;
    drive(given.setup("Octree", parameters), &mut task, document, stop, observer)
}

struct Growth<'a> {
    job: &'a TrainVoxelsJob,
    space: Space<'a>,
    leaves: Leaves,
    tally: Tally,
    /// Rounds done.
    rounds: usize,
    progress: f64,
    /// Level of the smallest leaves.
    deepest: u32,
    /// Size of a pixel at distance 1.
    pixel: f64,
    /// Rays of the next step: no more than have as many samples as a step may.
    batch: usize,
}

impl<'a> Growth<'a> {
    fn new(job: &'a TrainVoxelsJob, dataset: &'a Dataset, device: &Device) -> Result<Self> {
        let domain = job.space.domain(dataset)?;
        if domain.mapping != Mapping::Bounded {
            let message = "octree is of bounded scenes, and this is none";
            return Err(Error::usage("--method", message, "choose --scene-type bounded, or --method dvgo"));
        }
        if job.degree > MOST_DEGREE {
            return Err(Error::usage("--degree", format!("is {}", job.degree), format!("0 to {MOST_DEGREE}")));
        }
        let side = job.resolution.unwrap_or(1 << 10);
        let deepest = (side as f64).log2().ceil().clamp(f64::from(FIRST), 12.0) as u32;
        let enough = seen::enough(dataset, &domain);
        let octree = Octree::uniform(FIRST, |leaf| enough(leaf), device)
            .map_err(|e| Error::job(format!("too few cameras see the box: {e}")))?;
        let longest = dataset.train.iter().map(|s| s.view.width.max(s.view.height)).max().unwrap_or(1);
        let leaves = Leaves::new(octree, job.degree, SCALE * longest as f64, (LEAST_WEIGHT, job.rays(1)?));
        let space =
            Space::new(&job.space, dataset, (domain, march(&domain, &leaves, device)?), (job.run.common.seed, device))?;
        let pixel = dataset.train.iter().map(|s| 1.0 / s.view.intrinsics[0]).fold(f64::INFINITY, f64::min);
        let batch = job.run.batch.unwrap_or(BATCH);
        let tally = Tally::new(leaves.octree(device)?.len());
        Ok(Self { job, space, leaves, tally, rounds: 0, progress: 0.0, deepest, pixel, batch })
    }

    fn octree(&self) -> Result<&Octree> {
        self.leaves.octree(&self.space.device)
    }

    /// Tables with these values.
    fn parameters(&self, values: Vec<Tensor>) -> Vec<Parameter> {
        let named = values.into_iter().zip(ARRAYS).zip(RATES);
        named.map(|((value, name), rate)| Parameter { name: name.into(), value, rate, sparse: true }).collect()
    }

    /// Nearly nothing everywhere.
    fn start(&self) -> Result<Vec<Parameter>> {
        let (device, octree) = (&self.space.device, self.octree()?);
        let raw = self.leaves.raw(FIRST_OPACITY / octree.finest());
        let tables = self.leaves.shapes().into_iter().zip([raw, 0.0, 0.0]);
        let tables = tables.map(|((_, shape), start)| Tensor::full(device, DType::F32, &shape, start));
        Ok(self.parameters(tables.collect::<lumigrad_core::Result<_>>()?))
    }

    /// Settles on a tree.
    fn settle(&mut self, octree: Octree, rounds: usize) -> Result<()> {
        self.tally = Tally::new(octree.len());
        self.leaves = self.leaves.with_tree(octree);
        self.space.march = march(&self.space.domain, &self.leaves, &self.space.device)?;
        self.rounds = rounds;
        Ok(())
    }

    /// Drops and halves leaves.
    fn grow(&mut self, values: &[Tensor]) -> Result<Vec<Parameter>> {
        let (_, part) = ROUNDS[self.rounds];
        let way = self.rounds as f64 / (ROUNDS.len() - 1) as f64;
        let least = LEAST[0] * (LEAST[1] / LEAST[0]).powf(way);
        let before = self.octree()?.clone();
        let fates = self.tally.fates(before.leaves(), least as f32, (part, self.job.max_leaves), self.deepest);
        let after = |fate: &Fate| match fate {
            Fate::Drop => 0,
            Fate::Keep => 1,
            Fate::Split => 8,
        };
        let more: u64 = fates.iter().map(after).sum();
        let numbers = self.leaves.widths().iter().sum::<usize>() as u64;
        require_memory(more * numbers * NUMBER_BYTES, "--max-leaves", "allow fewer leaves")?;
        let after = before
            .adapt(|k| fates[k])
            .map_err(|_| Error::job("the voxels are empty: nothing of the pictures was learnt; train them longer"))?;
        let mut tables = vec![after.corners_of(&before, &values[0])?, after.corners_of(&before, &values[1])?];
        for table in &values[2..] {
            tables.push(after.leaves_of(table)?);
        }
        self.settle(after.octree, self.rounds + 1)?;
        Ok(self.parameters(tables))
    }
}

/// Where samples of pictures and surfaces lie.
fn march(domain: &Domain, leaves: &Leaves, device: &Device) -> Result<March> {
    let step = 0.5 * leaves.octree(device)?.finest();
    Ok(March { step, ratio: 0.0, range: [nearest(domain), 1e6], most: 1 << 13, total: usize::MAX, unbounded: false })
}

impl Task for Growth<'_> {
    fn progress(&mut self, progress: f64) {
        self.progress = progress;
    }

    fn regrown(&mut self, values: &[Tensor]) -> Result<Option<Vec<Parameter>>> {
        let due = ROUNDS.get(self.rounds).is_some_and(|(at, _)| self.progress >= *at);
        due.then(|| self.grow(values)).transpose()
    }

    fn loss(&mut self, parameters: &[Var], step: u64) -> Result<Var> {
        let own = random::hash(self.job.run.common.seed ^ 0x0c7e, step);
        let mut batch = self.space.draw(self.batch, self.leaves.rays, own)?;
        let scene = self.space.scene(&self.leaves, &self.space.march);
        let (light, loss) = self.space.loss(&scene, parameters, &mut batch)?;
        let all = self.job.run.batch.unwrap_or(BATCH);
        self.batch = (SPARE * light.samples.n_rays() as f64) as usize;
        self.batch = self.batch.clamp(all.min(FEWEST), all);
        if self.rounds < ROUNDS.len() {
            self.tally.note(&self.leaves, &light, &batch, self.pixel)?;
        }
        let loss = self.space.guided(loss, &scene, parameters, random::hash(own, 2))?;
        self.space.tidied(loss, &light, &batch)
    }

    fn psnr(&mut self, values: &[Tensor]) -> Result<Option<f64>> {
        Ok(Some(self.space.psnr(&self.leaves, values)?))
    }

    fn state(&self) -> Vec<(&'static str, Vec<f32>)> {
        let Ok(octree) = self.octree() else { return vec![] };
        let tree = octree.to_bits().into_iter().map(f32::from).collect();
        vec![
            ("tree", tree),
            ("tally", self.tally.to_numbers()),
            ("rounds", vec![self.rounds as f32, self.batch as f32]),
        ]
    }

    fn restore(&mut self, find: &dyn Fn(&str) -> Option<Vec<f32>>) -> Result<Option<Vec<Parameter>>> {
        let (Some(tree), Some(&[rounds, batch])) = (find("tree"), find("rounds").as_deref()) else { return Ok(None) };
        let bits: Vec<u8> = tree.iter().map(|b| *b as u8).collect();
        let wrong = || Error::job("the checkpoint's octree cannot be read");
        let octree = Octree::from_bits(&bits, &self.space.device)?.ok_or_else(wrong)?;
        self.settle(octree, rounds as usize)?;
        self.batch = batch as usize;
        if let Some(numbers) = find("tally") {
            self.tally.restore(&numbers);
        }
        self.start().map(Some)
    }

    fn finish(&mut self, values: &[Tensor], output: &mut Output) -> Result<()> {
        let octree = self.octree()?;
        let (n, finest) = (octree.len(), octree.finest());
        output.figure("n_leaves", "Leaves", n as f64, 0, "");
        output.summary.metric("finest_level", (2.0 / finest).log2());
        self.space.finish(&self.leaves, values, "grid", output)
    }
}
