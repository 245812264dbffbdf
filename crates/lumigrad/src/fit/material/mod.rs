//! `fit material`: a material's BRDF as a small network (Sztrajman et al. 2021, of which NeuMaDiff, 2024, makes materials).

mod angles;
mod gltf;
mod known;
mod merl;
mod sphere;
mod task;
#[cfg(test)]
mod tests;

use super::describe::{self, Defaults};
use super::drive::{Setup, drive, run_name};
use super::{Fit, FitKeys, columns};
use crate::Result;
use crate::fields::brdf::INPUTS;
use crate::run::job::Kind::*;
use crate::run::job::{Document, job_keys};
use crate::run::{Observer, Stop, Summary};
use known::Known;
use lumigrad_core::Device;
use lumigrad_field::{Activation, Field};
use sphere::Sphere;
use std::path::PathBuf;
use task::MaterialTask;

job_keys! {
    /// Fit a small network to a material, measured or analytic, and find the glTF material that is closest to it.
    FitMaterialJob {
        include fit: FitKeys;
        /// A measured material: a .binary file of the MERL database. Without it the one that `brdf` names.
        measured: Option<PathBuf>, Path, example "\"gold-paint.binary\"";
        /// An analytic material: ggx is glTF's, lambert its diffuse part alone. Without it and without a file ggx.
        brdf: Option<String>, Choice(&["lambert", "ggx"]), example "\"ggx\"";
        /// Its colour: linear red, green and blue.
        base_color: [f64; 3], Numbers(3), default "[0.8, 0.5, 0.2]";
        /// How metallic it is, from 0 to 1.
        metallic: f64, Amount, default "0.0";
        /// How rough it is, from 0 to 1.
        roughness: f64, Amount, default "0.4";
        /// Columns and rows of the sphere that shows it.
        picture: usize, Count(1), default "256";
    }
}

pub const FIT: Fit = Fit {
    name: "fit material",
    about: FitMaterialJob::ABOUT[0],
    positional: &["measured"],
    keys: FitMaterialJob::keys,
    run,
};

const DEFAULTS: Defaults = Defaults {
    encoding: "none",
    sine: (21, 2),
    omega: 4.0,
    sine_rate: 1e-3,
    grid: (8, 14, 4, 64),
    activation: Activation::Relu,
};
/// Pairs of directions of a step.
const BATCH: usize = 2048;
/// Most columns of the sphere's picture.
const MOST_COLUMNS: usize = 2048;

fn run(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: FitMaterialJob = document.parse()?;
    let device = Device::from_name(&job.fit.run.common.device)?;
    columns(job.picture, MOST_COLUMNS)?;
    let known = Known::new(&job)?;
    let (title, name) = match &job.measured {
        Some(path) => (path.display().to_string(), run_name("material", path)),
        None => (job.brdf.clone().unwrap_or("ggx".into()), "material".into()),
    };
    let keys = keys(&job.fit);
    let field = field(&keys)?;
    let setup = Setup::of_field(&keys, (title, name), (&field, &DEFAULTS), 5000, &device)?;
    let sphere = Sphere::new(job.picture);
    let truth = super::image::clamped(sphere.shown(|angles| known.at(angles))?);
    let batch = keys.run.batch.unwrap_or(BATCH);
    let mut task = MaterialTask { known, field, batch, sphere, truth, job: job.clone(), device };
    drive(setup, &mut task, document, stop, observer)
}

/// Settings of a network of 675 numbers, where the job does not say.
fn keys(given: &FitKeys) -> FitKeys {
    let mut keys = given.clone();
    if keys.encoding.is_none() {
        keys.activation.get_or_insert("relu".into());
        keys.lr.get_or_insert(5e-3);
    }
    keys
}

/// From angles to a BRDF, which is never negative.
fn field(keys: &FitKeys) -> Result<Field> {
    Ok(Field { output: Activation::Exp, ..describe::field(keys, INPUTS, 3, &DEFAULTS)? })
}
