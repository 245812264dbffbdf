//! `fit slices`: the solid that planar cross-sections are of.
//!
//! What is inside is known on planes, and that nothing is far beyond all contours. The field in between is found as the
//! smoothest distance-like function with these signs (`--network smooth`), or by OReX's residual network, whose own bias
//! fills the gaps (`--network orex`).

mod input;
mod network;
mod pages;
mod sampler;
mod surface;
mod task;
#[cfg(test)]
mod tests;

use super::describe::{self, Defaults};
use super::drive::{Setup, drive};
use super::{Fit, FitKeys, given};
use crate::fields::extract;
use crate::fields::residual::Residual;
use crate::run::job::job_keys;
use crate::run::job::{Document, Kind::*};
use crate::run::{Event, Observer, Stop, Summary};
use crate::{Error, Result};
use input::Domain;
use lumigrad_core::Device;
use lumigrad_field::{Activation, Rates};
use lumigrad_optim::Schedule;
use network::Network;
use sampler::Sampler;
use std::path::PathBuf;
use task::SlicesTask;

job_keys! {
    /// Rebuild a solid from contours on planes or from pictures of slices, as a field and a watertight mesh.
    FitSlicesJob {
        include fit: FitKeys;
        /// The slices: a CSL file with contours on any planes, or a folder of pictures on parallel planes, in order of names,
        /// in which the solid is bright.
        slices: Option<PathBuf>, Path, example "\"heart.csl\"";
        /// Distance of the planes of pictures, in pixels.
        spacing: f64, Amount, default "1.0";
        /// smooth is a field like a distance that bends little, orex the residual network of OReX (slower).
        network: String, Choice(&["smooth", "orex"]), default "\"smooth\"";
        /// What bending of the smooth field costs; the higher, the rounder, the lower, the closer to contours.
        smoothness: f64, Amount, default "2e-4";
        /// Cells of the mesh's grid along the longest side.
        resolution: usize, Count(8), default "256";
    }
}

pub const FIT: Fit =
    Fit { name: "fit slices", about: FitSlicesJob::ABOUT[0], positional: &["slices"], keys: FitSlicesJob::keys, run };

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (64, 3),
    omega: 8.0,
    sine_rate: 3e-3,
    grid: (8, 14, 8, 64),
    activation: Activation::Mish,
};
/// Points of a step with a known side.
const BATCH: usize = 8192;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitSlicesJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    let path = given(&job.slices, &FIT, "SLICES", "give contours or a folder: lumigrad fit slices heart.csl")?;
    let found = input::load(&path, job.spacing)?;
    found.warnings.iter().for_each(|w| observer.event(&Event::Warning(w.clone())));
    let domain = Domain::new(&found.slices);
    if domain.is_flat() {
        let help = "give contours on at least two planes";
        return Err(Error::file(path.display(), "all contours lie on one plane: the solid has no depth", help));
    }
    extract::check("--resolution", domain.outer() + task::BEYOND, job.resolution)?;
    let seed = job.fit.run.common.seed;
    let (network, rates) = network(&job)?;
    let setup = Setup {
        keys: &job.fit.run,
        title: format!("{} ({} slices)", path.display(), domain.slices.len()),
        name: super::drive::run_name("slices", &path),
        parameters: network.start(seed, &device)?,
        rates,
        schedule: Schedule::Cosine { end: 0.02 },
        warm_up: 0.02,
        iterations: 3000,
    };
    let mut task = SlicesTask {
        sampler: Sampler::new(domain, seed),
        network,
        batch: job.fit.run.batch.unwrap_or(BATCH),
        resolution: job.resolution,
        progress: 0.0,
        warnings: found.warnings,
        device,
    };
    drive(setup, &mut task, document, stop, observer)
}

fn network(job: &FitSlicesJob) -> Result<(Network, Rates)> {
    let keys = &job.fit;
    if job.network == "orex" {
        let given = keys.encoding.is_some() || keys.activation.is_some() || keys.width.or(keys.depth).is_some();
        if given {
            let message = "orex has its own encoding, activation, width and depth";
            return Err(Error::usage("--network", message, "leave these out, or choose --network smooth"));
        }
        let rates = Rates { rate: keys.lr.unwrap_or(5e-3), table_rate: keys.lr_grid, clip: None };
        return Ok((Network::Orex(Residual::new()), rates));
    }
    let mut keys = keys.clone();
    // Little detail: it has to be smooth between planes.
    keys.frequencies.get_or_insert(3);
    let field = describe::field(&keys, 3, 1, &DEFAULTS)?;
    let rates = describe::rates(&keys, &field, &DEFAULTS);
    Ok((Network::Smooth { field, smoothness: job.smoothness }, rates))
}
