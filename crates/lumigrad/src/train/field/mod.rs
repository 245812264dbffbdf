//! `train field`: a neural radiance field of posed photographs.

mod patches;
mod task;

use super::dataset::{self, Dataset};
use super::radiance::{Space, SpaceKeys, nearest};
use crate::fit::describe::{self, Defaults};
use crate::fit::drive::{Setup, drive};
use crate::fit::{Fit, FitKeys, given};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::volume::{Domain, Mapping, March};
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_field::{Activation, Encoding, Field, Radiance};
use task::FieldTask;

job_keys! {
    /// Train a neural radiance field on posed photographs: a hash grid with two small networks, or networks alone.
    TrainFieldJob {
        include fit: FitKeys;
        include space: SpaceKeys;
        /// Samples along the side of the box; outside of it they lie farther apart with distance.
        samples: usize, Count(2), default "384";
        /// Let the colour's network see the encoded point instead of features of the density's (mi-MLP); with --skips every
        /// layer of both does.
        separate_colour: bool, Flag, default "false";
        /// Few views: weight of the squared differences of depths in patches of 8 x 8 pixels seen from places between the
        /// cameras, 4000 times as much at the start and less for 512 steps (RegNeRF). 0.1 is usual.
        depth_smoothness: f64, Amount, default "0.0";
        /// Few views: let samples spread from the middle of the scene over so many steps (RegNeRF).
        anneal_range: Option<usize>, Count(1), example "256";
    }
}

/// The command.
pub const FIT: Fit =
    Fit { name: "train field", about: TrainFieldJob::ABOUT[0], positional: &["data"], keys: TrainFieldJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "hash",
    sine: (256, 4),
    omega: 30.0,
    sine_rate: 1e-4,
    grid: (8, 16, 16, 1024),
    activation: Activation::Relu,
};
/// Numbers that the density's network gives: the density's logarithm, and features.
const CHANNELS: usize = 16;
/// Rays of a step at most.
const BATCH: usize = 8192;
const ITERATIONS: usize = 5000;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: TrainFieldJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let data =
        given(&job.space.photos.data, &FIT, "DATA", "give a folder of posed pictures: lumigrad train field DIR")?;
    let field = radiance(&job)?;
    let dataset = job.space.photos.load(&data, observer)?;
    let (domain, march) = place(&job, &dataset)?;
    let space = Space::new(&job.space, &dataset, (domain, march), (job.fit.run.common.seed, &device))?;
    let name = dataset::name(&data).unwrap_or_else(|| "field".into());
    let rates = describe::rates(&job.fit, &field.density, &DEFAULTS);
    let setup = Setup {
        keys: &job.fit.run,
        title: format!("Radiance field of {name}"),
        name,
        parameters: field.start(job.fit.run.common.seed, &device)?,
        rates,
        schedule: lumigrad_optim::Schedule::Cosine { end: 0.02 },
        warm_up: 0.01,
        iterations: ITERATIONS,
    };
    let mut task = FieldTask { job: &job, field, space };
    drive(setup, &mut task, document, stop, observer)
}

/// The field of a job.
fn radiance(job: &TrainFieldJob) -> Result<Radiance> {
    let mut keys = job.fit.clone();
    let hash = keys.encoding.as_deref().is_none_or(|e| ["hash", "dense", "planes"].contains(&e));
    if hash {
        keys.features = keys.features.or(Some(4));
        keys.depth = keys.depth.or(Some(1));
    } else {
        keys.width = keys.width.or(Some(128));
        keys.depth = keys.depth.or(Some(4));
    }
    let density: Field = describe::field(&keys, 3, CHANNELS, &DEFAULTS)?;
    let (width, depth) = (density.width.min(64), 2);
    let skips = if keys.skips { (1..depth).collect() } else { vec![] };
    let degree = 3;
    let field = Radiance { density, degree, width, depth, separate: job.separate_colour, skips };
    field.check().map_err(|e| Error::usage("the field", e.to_string(), ""))?;
    if matches!(field.density.encoding, Encoding::SphericalHarmonics { .. }) {
        return Err(Error::usage("--encoding", "is of directions", "hash, positional or none"));
    }
    Ok(field)
}

/// What part of the world is modelled, and where samples lie in it.
fn place(job: &TrainFieldJob, dataset: &Dataset) -> Result<(Domain, March)> {
    let domain = job.space.domain(dataset)?;
    let unbounded = domain.is_contracted();
    if job.samples > MOST_SAMPLES {
        return Err(Error::usage("--samples", format!("is {}", job.samples), format!("at most {MOST_SAMPLES}")));
    }
    // Across a forward-facing box, which is not as deep as wide.
    let side = if let Mapping::Forward(_) = domain.mapping { 2.0 * domain.half[2] / domain.unit() } else { 2.0 };
    let step = side / job.samples as f64;
    let (ratio, far) = if unbounded { (0.5 * step, 200.0) } else { (0.0, 1e6) };
    Ok((
        domain,
        March {
            step,
            ratio,
            range: [nearest(&domain), far],
            most: (4 * job.samples).min(1 << 14),
            total: usize::MAX,
            unbounded,
        },
    ))
}

/// Samples along the box at most.
const MOST_SAMPLES: usize = 1 << 14;
