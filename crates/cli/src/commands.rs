//! Every command on top of the library.

use lumigrad::core::Device;
use lumigrad::core::profile;
use lumigrad::run::job::commands::{BenchJob, ConvertJob, EvalJob, OptimizeJob, RenderJob};
use lumigrad::run::job::{Document, EnvironmentChoice};
use lumigrad::run::{self, RenderSettings, Stop, Summary};
use lumigrad::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Threads that may be asked for: beyond any machine, below what would exhaust it.
const MAX_THREADS: usize = 4096;
/// Pictures in a second of a video, where the job does not say.
const RATE: f64 = 30.0;
/// Bytes that `eval` holds per sample of a pair of surfaces, roughly.
const SAMPLE_BYTES: u64 = 150;

/// Runs a job. Commands without steps end by themselves; `stop` is for those that have them.
///
/// # Errors
/// What the command cannot do.
pub fn run(document: &Document, stop: &Stop) -> Result<Summary> {
    let start = Instant::now();
    let name = document.command().name;
    let integer = |key: &str| document.get(key).and_then(|v| v.as_integer()).unwrap_or(0);
    let threads = usize::try_from(integer("threads")).unwrap_or(0);
    if threads > MAX_THREADS {
        let message = format!("{threads} threads, expected at most {MAX_THREADS}");
        return Err(Error::usage("--threads", message, "0 takes one per core"));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|e| Error::usage("--threads", e.to_string(), ""))?;
    profile::enable(document.is_set("profile"));
    let seed = integer("seed") as u64;
    let mut summary = Summary::new(name, "", seed);
    let device = match name {
        // None of these computes on a device.
        "convert" | "devices" | "prior info" => Device::cpu(),
        _ => Device::from_name(
            document.get("device").and_then(|v| v.as_str().map(str::to_owned)).as_deref().unwrap_or("auto"),
        )?,
    };
    summary.device = device.to_string();
    match name {
        "devices" => run::devices(&mut summary),
        "bench" => lumigrad::bench::run(&document.parse::<BenchJob>()?, &device, &mut summary)?,
        "convert" => convert(document.parse()?, &mut summary)?,
        "eval" => eval(document.parse()?, &mut summary)?,
        "optimize" if document.is_set("list_params") => list_params(document, &mut summary)?,
        "optimize" => {
            let mut progress = crate::progress::Progress::new(document.is_set("quiet"));
            return lumigrad::optimize::execute(document, stop, &mut progress);
        }
        "landscape" => {
            let mut progress = crate::progress::Progress::new(document.is_set("quiet"));
            return lumigrad::optimize::landscape(&document.parse()?, stop, &mut progress);
        }
        name if lumigrad::fit::FITS.iter().any(|f| f.name == name) => {
            let mut progress = crate::progress::Progress::new(document.is_set("quiet"));
            return lumigrad::fit::fit(document, stop, &mut progress);
        }
        "mesh" => lumigrad::fields::mesh(&document.parse()?, &device, &mut summary)?,
        "prior sample" => lumigrad::prior::sample(&document.parse()?, &device, &mut summary)?,
        "prior info" => lumigrad::prior::info(&document.parse()?, &mut summary)?,
        "render" => render(document.parse()?, &device, &mut summary)?,
        other => return Err(Error::job(format!("{other} is not yet in this version"))),
    }
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = run::peak_memory_bytes();
    Ok(summary)
}

fn need(path: Option<PathBuf>, command: &str, what: &str) -> Result<PathBuf> {
    path.ok_or_else(|| {
        Error::usage(command, format!("{what} is missing"), format!("lumigrad {command} --help shows the arguments"))
    })
}

/// The scene's parameters with their shapes.
fn list_params(document: &Document, summary: &mut Summary) -> Result<()> {
    let job: OptimizeJob = document.parse()?;
    let scene = lumigrad::files::load_scene(&need(job.scene, "optimize", "SCENE")?)?;
    summary.warnings.extend(scene.warnings.clone());
    let all = scene.parameters().into_iter().chain(lumigrad::optimize::own_parameters());
    let rows = all.map(|p| {
        // JSON has no infinity: a side without a bound is null.
        let bound = |x: f32| (x.abs() < f32::MAX).then_some(x);
        let bounds = [bound(p.bounds.0), bound(p.bounds.1)];
        serde_json::json!({ "pointer": p.pointer, "shape": p.shape, "name": p.name, "bounds": bounds })
    });
    summary.details.insert("parameters".into(), rows.collect());
    Ok(())
}

fn convert(job: ConvertJob, summary: &mut Summary) -> Result<()> {
    let (from, to) = (need(job.from, "convert", "FROM")?, need(job.to, "convert", "TO")?);
    if lumigrad::splat::formats::is_splats(&from) {
        run::convert_splats(&from, &to, job.max_splats, job.max_size, summary)?;
        summary.output("splats", &to);
        return Ok(());
    }
    summary.warnings.extend(run::convert(&from, &to)?);
    summary.output("scene", &to);
    Ok(())
}

fn eval(job: EvalJob, summary: &mut Summary) -> Result<()> {
    let (a, b) = (need(job.a, "eval", "A")?, need(job.against, "eval", "--against")?);
    run::require_memory((job.samples as u64).saturating_mul(SAMPLE_BYTES), "--samples", "draw fewer samples")?;
    run::eval(&a, &b, job.samples, summary)
}

fn render(job: RenderJob, device: &Device, summary: &mut Summary) -> Result<()> {
    let model = need(job.model.clone(), "render", "MODEL")?;
    // A run of splats or of a scene has no field.
    if let Some(field) = lumigrad::fields::find(&model) {
        only_splats(&job)?;
        only_scenes(&job)?;
        let settings = RenderSettings { aov: job.aov.clone(), ..RenderSettings::default() };
        let written = lumigrad::fields::render(&field, &job, device, summary)?;
        // A sound is no picture.
        return if written.is_empty() { Ok(()) } else { rendered(&written, &settings, &job, summary) };
    }
    only_fields(&job)?;
    let size = job.size.unwrap_or(run::SIZE);
    let splats = run::run_splats(&model).unwrap_or(model.clone());
    if lumigrad::splat::formats::is_splats(&splats) {
        only_scenes(&job)?;
        let gaussians = run::load_splats(&splats)?;
        let technique = run::technique(job.renderer.as_deref().unwrap_or_default());
        let exr = job.format == "exr";
        let settings = RenderSettings { aov: job.aov.clone(), exr, technique, ..RenderSettings::default() };
        let written = run::render_splats(&gaussians, job.camera.as_deref(), size, &settings, &job.out)?;
        summary.metric("n_splats", gaussians.len() as f64);
        return rendered(&written, &settings, &job, summary);
    }
    only_splats(&job)?;
    let model = if model.is_dir() { run_scene(&model)? } else { model };
    let environment = job.environment.as_ref().map(EnvironmentChoice::load).transpose()?;
    let scene = lumigrad::files::load_scene(&model)?;
    summary.warnings.extend(scene.warnings.clone());
    let views = run::cameras(&scene, job.camera.as_deref(), size)?;
    let exr = job.format == "exr";
    let (aov, materials) = (job.aov.clone(), job.material.clone());
    let settings = RenderSettings { aov, exr, environment, materials, ..RenderSettings::default() };
    let written = run::render(&scene, &views, &settings, device, &job.out)?;
    summary.metric("n_views", views.len() as f64);
    rendered(&written, &settings, &job, summary)
}

/// Refuses what only splats have.
fn only_splats(job: &RenderJob) -> Result<()> {
    match job.renderer {
        Some(_) => Err(Error::usage("--renderer", "only splats have a use for it", "leave it out")),
        None => Ok(()),
    }
}

/// Refuses what only scenes have.
fn only_scenes(job: &RenderJob) -> Result<()> {
    match job.material.is_empty() {
        true => Ok(()),
        false => Err(Error::usage("--material", "only scenes have a use for it", "leave it out")),
    }
}

/// Refuses what only fields have.
fn only_fields(job: &RenderJob) -> Result<()> {
    match lumigrad::fields::own_flags(job).concat().iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::usage(flag, "only fields have a use for it", "leave it out")),
        None => Ok(()),
    }
}

/// Sums up what was rendered, and makes the video.
fn rendered(written: &[PathBuf], settings: &RenderSettings, job: &RenderJob, summary: &mut Summary) -> Result<()> {
    summary.metric("n_files", written.len() as f64);
    summary.output("pictures", &job.out);
    let Some(video) = &job.video else { return Ok(()) };
    let stem = |path: &Path| path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let is_aov = |path: &Path| settings.aov.iter().any(|aov| stem(path).ends_with(&format!("_{aov}")));
    let colours: Vec<PathBuf> = written.iter().filter(|path| !is_aov(path)).cloned().collect();
    run::video(&colours, job.rate.unwrap_or(RATE), video)?;
    summary.output("video", video);
    Ok(())
}

/// The scene of a run folder.
fn run_scene(folder: &Path) -> Result<PathBuf> {
    let found = ["scene.glb", "mesh.glb"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let message = "this folder holds no scene.glb, mesh.glb, splats.ply or field.safetensors";
        Error::file(folder.display(), message, "give a scene or a run folder")
    })
}
