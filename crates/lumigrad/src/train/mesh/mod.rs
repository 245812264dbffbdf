//! `train mesh`: a mesh with a texture of posed photographs, in four stages: coarse Gaussians; a signed distance grid of what
//! their depths show; its values, through FlexiCubes and the rasteriser; texture and vertices of the mesh that comes out.

mod pages;
mod shape;
mod splats;
mod task;
mod texture;

pub use shape::{Shape, Sight, fused};
pub use texture::unwrapped;

use super::dataset;
use super::photos::PhotoKeys;
use crate::fit::drive::{Setup, drive};
use crate::fit::{Fit, RunKeys, given};
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{CELL_BYTES, Observer, Stop, Summary, require_memory};
use crate::{Error, Result};
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_field::{Parameter, Rates};
use lumigrad_optim::Schedule;
use task::Mesher;

job_keys! {
    /// Train a textured mesh on posed photographs: coarse Gaussians, then shape and texture through the rasteriser.
    TrainMeshJob {
        include run: RunKeys;
        include photos: PhotoKeys;
        /// Most Gaussians of the first stage.
        max_splats: usize, Count(1), default "10000";
        /// Cells along the longest side of the signed distance grid.
        resolution: usize, Count(8), default "64";
        /// Most triangles: edges are collapsed where that costs least, before the texture is learnt.
        triangles: Option<usize>, Count(4), example "150000";
        /// Rows and columns of the texture. Without it what suits the number of triangles.
        texture_size: Option<usize>, Count(16), example "2048";
    }
}

/// The command.
pub const FIT: Fit =
    Fit { name: "train mesh", about: TrainMeshJob::ABOUT[0], positional: &["data"], keys: TrainMeshJob::keys, run };

/// Steps of all stages together.
const ITERATIONS: usize = 6000;
/// Cells of the finest grid along its longest side.
const FINEST: usize = 512;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: TrainMeshJob = document.parse()?;
    let device = Device::from_name(&job.run.common.device)?;
    let data = given(&job.photos.data, &FIT, "DATA", "give a folder of posed pictures: lumigrad train mesh DIR")?;
    let (n, flag, help) = (job.resolution, "--resolution", "choose a coarser grid");
    if n > FINEST {
        return Err(Error::usage(flag, format!("{n}, expected at most {FINEST}"), help));
    }
    require_memory((n as u64).pow(3) * CELL_BYTES, flag, help)?;
    let dataset = job.photos.load(&data, observer)?;
    let name = dataset::name(&data).map_or("mesh".into(), |n| format!("{n}-mesh"));
    let mut task = Mesher::new(&job, dataset, &device)?;
    let setup = Setup {
        keys: &job.run,
        title: format!("Mesh of {}", data.display()),
        name,
        parameters: vec![nothing(&device)?],
        // Parameters have rates of their own.
        rates: Rates { rate: 1.0, table_rate: 1.0, clip: None },
        schedule: Schedule::Constant,
        warm_up: 0.0,
        iterations: ITERATIONS,
    };
    drive(setup, &mut task, document, stop, observer)
}

/// Gaussians are no parameters of the tape: before there is a grid, an empty one says where it will be.
fn nothing(device: &Device) -> Result<Parameter> {
    let value = Tensor::zeros(device, DType::F32, &[0])?;
    Ok(Parameter { name: "nothing".into(), value, rate: 0.0, sparse: false })
}
