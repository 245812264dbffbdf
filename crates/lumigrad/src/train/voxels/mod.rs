//! `train voxels`: voxel grids of posed photographs.

mod binary;
mod dvgo;
mod grids;
mod octree;
mod seen;

use super::dataset::{self, Dataset};
use super::radiance::SpaceKeys;
use crate::fit::drive::Setup;
use crate::fit::{Fit, RunKeys, given};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use crate::{Error, Result};
pub(crate) use dvgo::march;
pub use grids::Grids;
use grids::MOST_RAYS;
use lumigrad_core::Device;
use lumigrad_field::{Parameter, Rates};
use lumigrad_optim::Schedule;
pub use octree::Leaves;

/// Rays of a step at most.
const BATCH: usize = 8192;
/// Bytes of a number of the tables: value, gradient, two moments, and a copy of these to go back to.
const NUMBER_BYTES: u64 = 28;
/// Steps without a limit.
const ITERATIONS: usize = 6000;

job_keys! {
    /// Train a voxel grid on posed photographs.
    TrainVoxelsJob {
        include run: RunKeys;
        include space: SpaceKeys;
        /// dvgo: dense grids of density and features with a small network that sees the direction. sparse: the same grids with
        /// rows for corners around what is not empty only. binary: opacity that jumps from nothing to everything, of colours that
        /// are the same from all sides, for meshes. octree: leaves that follow the surface, as small as pixels, of densities at their
        /// corners and one colour that depends on the direction (sparse voxels).
        method: String, Choice(&["dvgo", "sparse", "octree", "binary"]), default "\"dvgo\"";
        /// Rays through each pixel, whose mean it is. Without it 4 of a binary grid, 1 of others.
        rays_per_pixel: Option<usize>, Count(1), example "4";
        /// Corners of the grid at the end, as if it were a cube: so many along each side; of an octree, leaves of the smallest size.
        /// Without it what suits the pictures.
        resolution: Option<usize>, Count(8), example "160";
        /// Numbers at a corner beside the density.
        features: usize, Count(3), default "12";
        /// Units of a hidden layer of the network; it has two.
        width: usize, Count(1), default "64";
        /// Leaves of an octree at most.
        max_leaves: usize, Count(1), default "1000000";
        /// Degree of the harmonics of an octree's colours.
        degree: usize, Count(0), default "2";
        /// Learning rate of the grids at the start.
        lr_grid: f64, Amount, default "0.1";
        /// Learning rate of the network at the start.
        lr: f64, Amount, default "2e-3";
        /// Weight of the total variation of densities and of features. Without it none in bounded scenes, and 1e-5 and 1e-6 in
        /// others.
        tv_weight: Option<f64>, Amount, example "1e-5";
    }
}

impl TrainVoxelsJob {
    /// Rays of a pixel: as many as asked for, or as usual.
    fn rays(&self, usual: usize) -> Result<usize> {
        let rays = self.rays_per_pixel.unwrap_or(usual);
        match rays <= MOST_RAYS {
            true => Ok(rays),
            false => Err(Error::usage("--rays-per-pixel", format!("is {rays}"), format!("1 to {MOST_RAYS}"))),
        }
    }
}

/// The command.
pub const FIT: Fit = Fit {
    name: "train voxels",
    about: TrainVoxelsJob::ABOUT[0],
    positional: &["data"],
    keys: TrainVoxelsJob::keys,
    run,
};

/// A job with what it is about.
struct Given<'a> {
    job: &'a TrainVoxelsJob,
    dataset: &'a Dataset,
    /// What the run is called.
    name: String,
    device: Device,
}

impl<'a> Given<'a> {
    /// A run of `kind` that starts with some parameters.
    fn setup(self, kind: &str, parameters: Vec<Parameter>) -> Setup<'a> {
        Setup {
            keys: &self.job.run,
            title: format!("{kind} of {}", self.name),
            name: self.name,
            parameters,
            rates: Rates { rate: self.job.lr, table_rate: self.job.lr_grid, clip: None },
            schedule: Schedule::Exponential { end: 0.1 },
            warm_up: 0.0,
            iterations: ITERATIONS,
        }
    }
}

/// A method: runs a job.
type Train = fn(Given, &Document, &Stop, &mut dyn Observer) -> Result<Summary>;

/// Every method.
const METHODS: &[(&str, Train)] =
    &[("dvgo", dvgo::train), ("sparse", dvgo::train), (octree::NAME, octree::train), (binary::NAME, dvgo::train)];

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: TrainVoxelsJob = document.parse()?;
    let method = METHODS.iter().find(|(name, _)| *name == job.method);
    let (_, train) = method.ok_or_else(|| Error::job(format!("{} is no method", job.method)))?;
    let device = Device::from_name(&job.run.common.device)?;
    let data =
        given(&job.space.photos.data, &FIT, "DATA", "give a folder of posed pictures: lumigrad train voxels DIR")?;
    let dataset = job.space.photos.load(&data, observer)?;
    let name = dataset::name(&data).unwrap_or_else(|| "voxels".into());
    train(Given { job: &job, dataset: &dataset, name, device }, document, stop, observer)
}
