//! Measurements of speed: `lumigrad bench`. One case is one function and one line in `CASES`.

mod core;
mod fields;
mod guidance;
mod quality;
mod raster;
mod splats;
mod timing;
mod voxels;

use crate::core::Device;
use crate::run::Summary;
use crate::run::job::commands::BenchJob;
use crate::{Error, Result};
pub use quality::{BenchQualityJob, QUALITY, quality};

/// A case measures on a device and writes its figures into the summary.
type Case = fn(&Device, &mut Summary) -> Result<()>;

/// Every case with its group.
const CASES: &[(&str, Case)] = &[
    ("core", core::gemm),
    ("core", raster::jacobian),
    ("raster", raster::steps),
    ("splats", splats::steps),
    ("fields", fields::networks),
    ("fields", fields::siren),
    ("fields", fields::hash),
    ("voxels", voxels::surfaces),
    ("guidance", guidance::unet),
    ("guidance", guidance::distillation),
];

/// Runs the cases of the job's group; `all` runs what there is.
///
/// # Errors
/// A group that has no cases in this version; what a case cannot do.
pub fn run(job: &BenchJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let cases: Vec<_> = CASES.iter().filter(|(group, _)| job.group == "all" || job.group == *group).collect();
    if cases.is_empty() {
        return Err(Error::job(format!("the benchmarks of the group {} are not in this version", job.group)));
    }
    cases.into_iter().try_for_each(|(_, case)| case(device, summary))
}
