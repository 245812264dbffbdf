//! The `optimize` command: from a job to a run folder with scene, figures and report.

use super::diagnosis::diagnose;
use super::drive::optimize;
use super::pages::Pages;
use super::problem::Problem;
use super::range_test::range_test;
use super::run::Optimizer;
use super::score::score;
use super::settings::Settings;
use super::uncertainty::{require_few, uncertainty};
use crate::run::job::Document;
use crate::run::job::commands::OptimizeJob;
use crate::run::{
    Event, Observer, RunFolder, Saves, Stop, Summary, USUAL, optimize_bytes, peak_memory_bytes, require_memory,
};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor};
use lumigrad_scene::picture::{Picture, Transfer};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs an `optimize` job and writes its run folder.
pub fn execute(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let start = Instant::now();
    let job: OptimizeJob = document.parse()?;
    let help = "fewer --views, a smaller --size, --max-size or --batch";
    let scene = job.scene.as_deref().unwrap_or(Path::new("optimize")).display().to_string();
    require_memory(optimize_bytes(&job), &scene, help)?;
    let settings = Settings::from_job(&job)?;
    let device = Device::from_name(&job.common.device)?;
    let mut summary = Summary::new("optimize", device.to_string(), settings.seed);
    observer.event(&Event::Phase("loading".into()));
    let problem = Problem::load(&settings, &device)?;
    for warning in problem.scene.warnings.iter().take(20) {
        observer.event(&Event::Warning(warning.clone()));
        summary.warnings.push(warning.clone());
    }
    let mut optimizer = Optimizer::new(&problem, &settings, &device)?;
    optimizer.require_tunable()?;
    if settings.uncertainty {
        require_few(&optimizer)?;
    }
    let initial = optimizer.scored_pictures()?;
    let initial_psnr = super::drive::mean_psnr(&initial, problem.scored())?;
    let initial_scene = optimizer.scene()?;
    let place = run_place(&job, &settings);
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, job.budget.checkpoint_every);
    if job.budget.resume
        && let Some(c) = saves.latest(&place, &fingerprint)?
    {
        optimizer.restore(&c)?;
    }
    let mut tested = None;
    if settings.find_lr && optimizer.iteration == 0 {
        observer.event(&Event::Phase("searching learning rates".into()));
        let found = range_test(&problem, &settings, &device, stop)?;
        optimizer.rate_factor = found.factor;
        tested = Some(found);
    }
    let folder = RunFolder::create(&place)?;
    observer.event(&Event::Started {
        what: format!("{} ({} views)", settings.scene.display(), problem.train.len()),
        device: device.to_string(),
        iterations: settings.budget.iterations,
        seconds: settings.budget.seconds,
    });
    let outcome = optimize(&mut optimizer, stop, |o, r| {
        if let Err(e) = saves.save_when_due(|| o.checkpoint(fingerprint.clone())) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
        observer.event(&Event::Step { iteration: r.iteration, seconds: r.seconds, loss: r.loss });
        if let Some(psnr) = r.test_psnr {
            observer.event(&Event::Eval { iteration: r.iteration, psnr });
        }
    })?;
    observer.event(&Event::Phase("writing".into()));
    let result = optimizer.scored_pictures()?;
    score(&mut summary, &problem, &optimizer, &outcome, &result)?;
    summary.metric("initial_test_psnr", initial_psnr);
    for name in optimizer.unobserved()? {
        let warning = format!("{name}: not observed, no training picture depends on it; left unchanged");
        observer.event(&Event::Warning(warning.clone()));
        summary.warnings.push(warning);
    }
    if settings.uncertainty && !outcome.interrupted {
        observer.event(&Event::Phase("estimating standard errors".into()));
        let found = uncertainty(&optimizer)?;
        summary.metric_table("standard_errors", found.standard_errors);
        summary.warnings.extend(found.unobserved);
    }
    summary.history = outcome.history.clone();
    summary.iterations = optimizer.iteration;

    outcome.scene.save(folder.path("scene.glb"))?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    optimizer.checkpoint(fingerprint.clone())?.save(&folder.path("checkpoint.safetensors"))?;
    if let Some(light) = optimizer.environment()? {
        let (width, height) = (light.width, light.height);
        let transfer = Transfer::Linear;
        let picture = Picture { width, height, channels: 3, data: light.data, transfer, premultiplied: false };
        picture.save_exr(&folder.path("environment.exr"))?;
        summary.output("environment", &folder.final_path("environment.exr"));
    }
    summary.metric("rate_factor", optimizer.rate_factor);
    if settings.auto_regularisers {
        summary.metric("texture_smoothness", optimizer.texture_weight());
    }
    let diagnosis = diagnose(&optimizer)?;
    for group in diagnosis.groups.iter().filter(|g| !g.advice.is_empty()) {
        summary.warnings.push(format!("the gradient of {}: {}", group.name, group.advice));
    }
    if let Some(value) = diagnosis.largest_singular_value {
        summary.metric("largest_singular_value", value);
    }
    let views = folder.path("views");
    std::fs::create_dir_all(&views).map_err(|e| Error::io(&views, e))?;
    for (target, picture) in problem.scored().iter().zip(&result) {
        let name = target.view.name.replace(['/', '\\'], "_");
        straight(picture)?.save_png(&views.join(format!("{name}.png")))?;
    }
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let pages = Pages {
        problem: &problem,
        initial: &initial,
        result: &result,
        initial_scene: &initial_scene,
        diagnosis: &diagnosis,
        range_test: tested.as_ref(),
    };
    let page = pages.report(&settings, &summary, &outcome, &optimizer, document)?;
    let files = [&[("scene", "scene.glb")], &USUAL[..], &[("views", "views")]].concat();
    folder.close(&files, &page, &mut summary, &saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted: outcome.interrupted });
    Ok(summary)
}

/// The run folder: as given, else runs/<name of the scene>.
fn run_place(job: &OptimizeJob, settings: &Settings) -> PathBuf {
    job.out.clone().unwrap_or_else(|| {
        let name = settings.scene.file_stem().and_then(|n| n.to_str()).unwrap_or("optimize");
        Path::new("runs").join(name)
    })
}

/// A display-encoded picture over black with alpha as a straight picture.
fn straight(encoded: &Tensor) -> Result<Picture> {
    let &[height, width, _] = encoded.shape() else { return Err(Error::job("a picture has three dimensions")) };
    let mut data = encoded.to_vec::<f32>()?;
    for p in data.chunks_exact_mut(4) {
        let scale = if p[3] > 1e-4 { 1.0 / p[3] } else { 0.0 };
        (0..3).for_each(|k| p[k] = (p[k] * scale).clamp(0.0, 1.0));
    }
    Ok(Picture { width, height, channels: 4, data, transfer: Transfer::Srgb, premultiplied: false })
}
