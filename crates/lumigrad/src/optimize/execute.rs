//! The `optimize` command: from a job to a run folder with scene, figures and report.

use super::problem::{Problem, Target};
use super::run::{Optimizer, Outcome, optimize, psnr};
use super::score::score;
use super::settings::Settings;
use super::uncertainty::{require_few, uncertainty};
use crate::run::job::Document;
use crate::run::job::commands::OptimizeJob;
use crate::run::report::{Curve, Figure, Gallery, Image, Report, Series, Slider, Table};
use crate::run::{Event, Observer, RunFolder, Saves, Stop, Summary, optimize_bytes, peak_memory_bytes, require_memory};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, profile};
use lumigrad_scene::picture::{Picture, Transfer};
use lumigrad_scene::{ParameterKind, Scene};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Views shown in a report.
const REPORT_VIEWS: usize = 6;

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
    if settings.uncertainty {
        require_few(&optimizer)?;
    }
    let initial = optimizer.scored_pictures()?;
    let initial_psnr = super::mean_psnr(&initial, problem.scored())?;
    let initial_scene = optimizer.scene()?;
    let place = run_place(&job, &settings);
    let fingerprint = document.fingerprint();
    let mut saves = Saves::new(&place, job.budget.checkpoint_every);
    if job.budget.resume
        && let Some(c) = saves.latest(&place, &fingerprint)?
    {
        optimizer.restore(&c)?;
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
    let views = folder.path("views");
    std::fs::create_dir_all(&views).map_err(|e| Error::io(&views, e))?;
    for (target, picture) in problem.scored().iter().zip(&result) {
        let name = target.view.name.replace(['/', '\\'], "_");
        straight(picture)?.save_png(&views.join(format!("{name}.png")))?;
    }
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    let pages = Pages { problem: &problem, initial: &initial, result: &result, initial_scene: &initial_scene };
    pages.report(&settings, &summary, &outcome, &optimizer, document)?.write(&folder.path("report.html"))?;
    let files = [("scene", "scene.glb"), ("report", "report.html"), ("metrics", "metrics.json"), ("job", "job.toml")];
    for (name, file) in files.into_iter().chain([("checkpoint", "checkpoint.safetensors"), ("views", "views")]) {
        summary.output(name, &folder.final_path(file));
    }
    folder.write("metrics.json", summary.to_json().as_bytes())?;
    folder.finish()?;
    saves.remove();
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

/// The same over black, opaque.
fn opaque(encoded: &Tensor) -> Result<Image> {
    let &[height, width, _] = encoded.shape() else { return Err(Error::job("a picture has three dimensions")) };
    let data = encoded.to_vec::<f32>()?;
    let rgb: Vec<f32> = data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]].map(|x| x.clamp(0.0, 1.0))).collect();
    Image::from_encoded(&rgb, width, height)
}

/// What a report shows.
struct Pages<'a> {
    problem: &'a Problem,
    initial: &'a [Tensor],
    result: &'a [Tensor],
    initial_scene: &'a Scene,
}

impl Pages<'_> {
    fn report(
        &self,
        settings: &Settings,
        summary: &Summary,
        outcome: &Outcome,
        optimizer: &Optimizer,
        document: &Document,
    ) -> Result<Report> {
        let name = settings.scene.file_name().and_then(|n| n.to_str()).unwrap_or("scene");
        let figure = |key: &str, label: &str, unit: &str, note: String| {
            summary.get(key).map(|x| Figure::new(label, format!("{x:.3}{unit}"), note))
        };
        let initial = summary.get("initial_test_psnr").unwrap_or(0.0);
        let figures = [
            figure("test_psnr", "PSNR of scored views", " dB", format!("{initial:.1} dB at the start")),
            figure("test_ssim", "SSIM", "", String::new()),
            figure("chamfer_percent", "Chamfer distance", " %", "of the diagonal".into()),
            figure("normal_angle_deg", "Normal angle", "°", String::new()),
            figure("camera_rotation_deg", "Camera rotation error", "°", String::new()),
            figure("camera_translation_percent", "Camera position error", " %", "of the distance".into()),
            figure("ms_per_iteration", "Time per step", " ms", summary.device.clone()),
        ];
        let series = |name: &str, points: Vec<(f64, f64)>| Series { name: name.into(), points };
        let steps = |f: &dyn Fn(&crate::run::Record) -> Option<f64>| {
            outcome.history.iter().filter_map(|r| f(r).map(|y| (r.iteration as f64, y))).collect::<Vec<_>>()
        };
        let mut psnr_points = vec![(0.0, initial)];
        psnr_points.extend(steps(&|r| r.test_psnr));
        let curve = |title: &str, unit: &str, log: bool, s: Series| Curve {
            title: title.into(),
            unit: unit.into(),
            x_label: "step".into(),
            log,
            series: vec![s],
        };
        let curves = vec![
            curve("Loss", "", true, series("training loss", steps(&|r| Some(r.loss)))),
            curve("PSNR of scored views", "dB", false, series("PSNR", psnr_points)),
        ];
        let mut tables = vec![self.parameters(optimizer, outcome)?];
        let kernels = profile::table();
        if !kernels.is_empty() {
            tables.push(Table {
                title: "Kernels".into(),
                columns: ["kernel", "launches", "ms", "MB"].map(String::from).to_vec(),
                rows: kernels
                    .iter()
                    .map(|k| {
                        let (ms, mb) = (k.seconds * 1e3, k.bytes as f64 / 1e6);
                        vec![k.name.clone(), k.launches.to_string(), format!("{ms:.1}"), format!("{mb:.0}")]
                    })
                    .collect(),
            });
        }
        Ok(Report {
            title: format!("Inverse rendering of {name}"),
            subtitle: format!(
                "{} views, {} steps, {:.1} s on {}",
                self.problem.train.len(),
                summary.iterations,
                summary.seconds,
                summary.device
            ),
            figures: figures.into_iter().flatten().collect(),
            warnings: summary.warnings.clone(),
            sliders: self.sliders()?,
            curves,
            galleries: self.galleries(optimizer, outcome)?,
            tables,
            job: document.to_toml(),
        })
    }

    fn sliders(&self) -> Result<Vec<Slider>> {
        let shown = self.problem.scored().iter().zip(self.initial).zip(self.result).take(REPORT_VIEWS);
        shown
            .map(|((target, before), after): ((&Target, _), _)| {
                let db = psnr(&after.to_vec::<f32>()?, &target.encoded.to_vec::<f32>()?);
                let states = [("before", before), ("after", after), ("target", &target.encoded)];
                Ok(Slider {
                    name: target.view.name.clone(),
                    note: format!("{db:.1} dB"),
                    states: states.into_iter().map(|(n, t)| Ok((n.into(), opaque(t)?))).collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    fn galleries(&self, optimizer: &Optimizer, outcome: &Outcome) -> Result<Vec<Gallery>> {
        let mut list = vec![];
        for v in optimizer.variables() {
            let ParameterKind::Texture { srgb, .. } = v.parameter.kind else { continue };
            let pointer = &v.parameter.pointer;
            let picture = |scene: &Scene| -> Option<Picture> {
                let (shape, values) = scene.get(pointer).ok()?;
                let transfer = if srgb { Transfer::Linear } else { Transfer::Srgb };
                let opaque = values.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
                let (height, width) = (shape[0], shape[1]);
                Some(Picture { width, height, channels: 3, data: opaque, transfer, premultiplied: false })
            };
            let mut states = vec![];
            let scenes = [
                ("before", Some(self.initial_scene)),
                ("after", Some(&outcome.scene)),
                ("true", self.problem.truth.as_ref()),
            ];
            for (name, scene) in scenes {
                if let Some(p) = scene.and_then(picture) {
                    states.push((name.to_owned(), Image::new(&p, 512)?));
                }
            }
            list.push(Gallery { name: pointer.clone(), note: String::new(), states });
        }
        Ok(list)
    }

    fn parameters(&self, optimizer: &Optimizer, outcome: &Outcome) -> Result<Table> {
        let text = |scene: Option<&Scene>, pointer: &str| match scene.and_then(|s| s.get(pointer).ok()) {
            Some((_, v)) if v.len() <= 4 => v.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", "),
            Some((shape, _)) => format!("{shape:?}"),
            None => String::new(),
        };
        let rows = optimizer
            .variables()
            .iter()
            .map(|v| {
                let p = &v.parameter.pointer;
                let (a, b) = (text(Some(self.initial_scene), p), text(Some(&outcome.scene), p));
                vec![p.clone(), format!("{:.2e}", v.rate), a, b, text(self.problem.truth.as_ref(), p)]
            })
            .collect();
        let columns = ["parameter", "learning rate", "before", "after", "true"].map(String::from).to_vec();
        Ok(Table { title: "Parameters".into(), columns, rows })
    }
}
