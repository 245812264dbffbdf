//! `bench quality`: how well every method of `train` reconstructs data sets.

mod published;
mod table;

use crate::fit::{Fit, fit};
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::{Command, Document, job_keys};
use crate::run::{Event, Observer, Stop, Summary, peak_memory_bytes};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;
use table::Row;
use toml::Value;

/// A way to reconstruct: its name, its command, and what it sets there.
struct Method {
    name: &'static str,
    command: &'static str,
    keys: &'static [(&'static str, &'static str)],
}

macro_rules! methods {
    ($($name:literal: $command:literal $({ $($key:literal = $value:literal),* })?;)*) => {
        /// Every method.
        const METHODS: &[Method] =
            &[$(Method { name: $name, command: $command, keys: &[$($(($key, $value)),*)?] }),*];
        /// Their names.
        const NAMES: &[&str] = &[$($name),*];
    };
}

methods! {
    "splats": "train splats";
    "surfels": "train splats" { "kernel" = "surfel" };
    "raycast": "train splats" { "renderer" = "raycast" };
    "voxels": "train voxels";
    "sparse": "train voxels" { "method" = "sparse" };
    "octree": "train voxels" { "method" = "octree" };
    "field": "train field";
}

/// Metrics of a training that are compared.
const SCORES: [&str; 4] = ["test_psnr", "test_ssim", "model_bytes", "ms_per_iteration"];

job_keys! {
    /// Reconstruct data sets by every method of `train`, and compare quality, time and bytes.
    BenchQualityJob {
        include common: Common;
        /// Folders of posed pictures: transforms.json, COLMAP or LLFF.
        data: Vec<PathBuf>, Paths, example "[\"photos\"]";
        /// Which methods.
        methods: Vec<String>, Words(NAMES), default "[\"splats\", \"voxels\", \"sparse\", \"field\"]";
        /// Time limit of each training; loading, evaluation and writing come on top.
        seconds: Option<f64>, Amount, example "60.0";
        /// Steps of each training. Without it and without `seconds` each method's own.
        iterations: Option<usize>, Count(0), example "1000";
        /// Reduce pictures to 1/N of the size in their camera file.
        downscale: Option<usize>, Count(1), example "2";
        /// Bound of the longer side of pictures, pixels.
        max_size: Option<usize>, Count(1), example "800";
        /// What stands behind scenes and transparent pictures: white, black, random or R,G,B.
        background: String, Text, default "\"white\"";
        /// Go on: trainings that had ended are scored again, those that had not go on from their checkpoints.
        resume: bool, Flag, default "false";
        /// Folder of the results; every training has one of its own inside.
        out: PathBuf, Path, default "\"runs/quality\"";
    }
}

/// The command.
pub const QUALITY: Fit = Fit {
    name: "bench quality",
    about: BenchQualityJob::ABOUT[0],
    positional: &["data"],
    keys: BenchQualityJob::keys,
    run: quality,
};

/// Keys that trainings take over.
const SHARED: [&str; 9] =
    ["device", "seed", "threads", "deterministic", "seconds", "iterations", "downscale", "max_size", "background"];

/// Trains, and writes `metrics.json`, `quality.md` and `report.html` anew after each training. What cannot be trained
/// becomes a warning, as long as something can.
///
/// # Errors
/// No data set; nothing could be trained; files that cannot be written.
pub fn quality(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let job: BenchQualityJob = document.parse()?;
    let start = Instant::now();
    if job.data.is_empty() {
        let help = "give folders of posed pictures: lumigrad bench quality DIR DIR";
        return Err(Error::usage("bench quality", "DATA is missing", help));
    }
    let mut summary = Summary::new("bench quality", job.common.device.clone(), job.common.seed);
    std::fs::create_dir_all(&job.out).map_err(|e| Error::io(&job.out, e))?;
    let (mut rows, mut failure) = (vec![], None);
    for (name, data) in names(&job.data).into_iter().zip(&job.data) {
        for method in METHODS.iter().filter(|m| job.methods.iter().any(|chosen| chosen == m.name)) {
            if stop.is_requested() {
                break;
            }
            observer.event(&Event::Phase(format!("{name}: {}", method.name)));
            match train(method, data, &job.out.join(&name).join(method.name), document, (stop, observer)) {
                Ok(done) => {
                    summary.device = done.device.clone();
                    rows.push(Row::new(&name, method.name, &done));
                }
                Err(e) => {
                    summary.warnings.push(format!("{name}: {}: {e}", method.name));
                    observer.event(&Event::Warning(format!("{name}: {}: {e}", method.name)));
                    failure = Some(e);
                }
            }
            summary.seconds = start.elapsed().as_secs_f64();
            summary.peak_memory_bytes = peak_memory_bytes();
            table::write(&job.out, &rows, document, &mut summary)?;
        }
    }
    match failure {
        Some(e) if rows.is_empty() => Err(e),
        _ => Ok(summary),
    }
}

/// Runs a method on a data set.
fn train(
    method: &Method,
    data: &Path,
    out: &Path,
    document: &Document,
    (stop, observer): (&Stop, &mut dyn Observer),
) -> Result<Summary> {
    let absent = || Error::job(format!("{} is not in this version", method.command));
    let mut training = Document::new(Command::named(method.command).ok_or_else(absent)?);
    let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
    training.set("data", text(data))?;
    training.set("out", text(out))?;
    training.set("quiet", Value::Boolean(true))?;
    training.set("resume", Value::Boolean(document.is_set("resume")))?;
    for (key, value) in method.keys {
        training.set(key, Value::String((*value).to_owned()))?;
    }
    for key in SHARED {
        if let Some(value) = document.get(key) {
            training.set(key, value)?;
        }
    }
    fit(&training, stop, observer)
}

/// Names of data sets, all different: those of their folders, numbered where two are the same.
fn names(data: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for path in data {
        let name = crate::train::name(path).unwrap_or_else(|| "data".into());
        let numbered = (2..).map(|k| format!("{name}_{k}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|n| !names.contains(n));
        names.push(free.unwrap_or(name));
    }
    names
}
