//! The `texture` command: from a job to a run folder with the painted scene.

use super::painted::Painted;
use super::{TextureJob, pages, panorama, unwrap};
use crate::files::load_scene;
use crate::guiding::{FIRST_TIME, Guide};
use crate::run::job::Document;
use crate::run::report::Report;
use crate::run::{
    Array, Checkpoint, Event, Observer, RunFolder, Saves, Stop, Summary, USUAL, peak_memory_bytes, require_memory,
    sphere_of,
};
use crate::{Error, Result};
use lumigrad_core::ops::random_normal;
use lumigrad_core::{DType, Device, Tensor};
use lumigrad_guidance::{Canvas, Capability, Level, Sampling, Synchrony, Tiled};
use lumigrad_scene::Scene;
use lumigrad_scene::camera::{Framing, View, orbit};
use std::f64::consts::FRAC_PI_2;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Elevation of the circle of views, radians.
const CIRCLE: f64 = 0.26;
/// Views from above and below.
const POLES: usize = 2;
/// Texels of an atlas that is made, where the job does not say.
const ATLAS: usize = 256;
/// Steps at most.
const MOST_STEPS: usize = 100_000;
/// Bytes of a pixel of a view while it is denoised, for each patch that shows it.
const PIXEL_BYTES: u64 = 96;
/// Moments of the run that the page shows.
const MOMENTS: usize = 4;
/// Arrays of a checkpoint.
const NOISY: &str = "noisy";
const CLEAN: &str = "clean";
/// A checkpoint's number of steps in all.
const STEPS: &str = "steps";

/// What was painted.
pub(super) struct Done<'a> {
    pub job: &'a TextureJob,
    pub guide: Guide,
    /// What was painted; none for a panorama.
    pub scene: Option<Scene>,
    pub views: Vec<View>,
    pub painted: Painted,
    pub canvas: Canvas,
    /// Views that agree, [V, h, w, 3] in the prior's range.
    pub together: Tensor,
    /// The same, each by itself.
    pub apart: Option<Tensor>,
    /// The first view on the way: steps done, and what it looked like.
    pub moments: Vec<(usize, Vec<f32>)>,
    /// Charts of the atlas that was made, if one was.
    pub charts: Option<usize>,
    pub device: Device,
}

/// Runs a `texture` job and writes its run folder.
///
/// # Errors
/// Scenes, priors and settings that cannot be used; files that cannot be written.
pub fn texture(document: &Document, stop: &Stop, observer: &mut dyn Observer) -> Result<Summary> {
    let start = Instant::now();
    let job: TextureJob = document.parse()?;
    let device = Device::from_name(&job.common.device)?;
    let mut summary = Summary::new(document.command().name, device.to_string(), job.common.seed);
    observer.event(&Event::Phase("loading".into()));
    if !(job.until <= 1.0) {
        return Err(Error::usage("--until", format!("is {}", job.until), "a part of the steps, from 0 to 1"));
    }
    let guide = patched(Guide::new(&job.guide, "texture")?, &job)?;
    let Seen { name, scene, charts, views, painted } = look(&job, &device)?;
    summary.warnings.extend(scene.iter().flat_map(|s| s.warnings.iter().take(20).cloned()));
    let canvas = painted.canvas(&device)?;
    let place = job.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("texture-{name}")));
    let what =
        format!("Textures of {name}: {}", job.guide.prompt.as_deref().unwrap_or("anything that the prior knows"));
    let iterations = Some(job.iterations);
    observer.event(&Event::Started { what: what.clone(), device: device.to_string(), iterations, seconds: None });

    let mut run =
        Run { job: &job, fingerprint: document.fingerprint(), saves: Saves::new(&place, job.checkpoint_every) };
    let levels = guide.info().schedule.levels(FIRST_TIME, 0.0, job.iterations);
    let [w, h] = [job.size.width, job.size.height];
    let noise = random_normal(&device, DType::F32, &[views.len(), h, w, 3], job.common.seed)?;
    let mut sampling = run.begin(&place, &noise, &levels)?;
    let folder = RunFolder::create(&place)?;
    let mut moments = vec![];
    let synchrony = Synchrony { canvas: &canvas, until: job.until };
    let mut predict = |x: &Tensor, level| guide.predict(x, level);
    let (from, before) = (Instant::now(), sampling.steps());
    while !stop.is_requested() && sampling.step(Some(synchrony), &mut predict)? {
        let done = sampling.steps();
        let apart = agreement(&canvas, &sampling, &noise)?;
        if done == 1 || done % (job.iterations / MOMENTS).max(1) == 0 {
            moments.push((done, guide.shown(sampling.clean())?[..3 * w * h].to_vec()));
        }
        observer.event(&Event::Step { iteration: done, seconds: from.elapsed().as_secs_f64(), loss: apart });
        if let Err(e) = run.saves.save_when_due(|| checkpoint(&sampling, &job, &run.fingerprint)) {
            observer.event(&Event::Warning(format!("no checkpoint could be written: {e}")));
        }
    }
    summary.metric("ms_per_iteration", 1e3 * from.elapsed().as_secs_f64() / (sampling.steps() - before).max(1) as f64);
    summary.iterations = sampling.steps();
    let apart = if job.no_comparison || stop.is_requested() {
        None
    } else {
        observer.event(&Event::Phase("denoising each view by itself".into()));
        let mut alone = Sampling::new(&noise, &levels)?;
        while !stop.is_requested() && alone.step(None, &mut predict)? {}
        (!stop.is_requested()).then(|| alone.clean().clone())
    };
    observer.event(&Event::Phase("writing".into()));
    let mut report = Report { title: what, ..Report::default() };
    let end = checkpoint(&sampling, &job, &run.fingerprint)?;
    let together = sampling.clean().clone();
    let done = Done { job: &job, scene, views, painted, canvas, together, apart, moments, charts, device, guide };
    pages::finish(done, &folder, &mut summary, &mut report)?;
    folder.write("job.toml", document.anchored().to_toml().as_bytes())?;
    end.save(&folder.path("checkpoint.safetensors"))?;
    summary.seconds = start.elapsed().as_secs_f64();
    summary.peak_memory_bytes = peak_memory_bytes();
    report.subtitle = format!("{} steps, {:.1} s on {}", summary.iterations, summary.seconds, summary.device);
    report.warnings.extend(summary.warnings.iter().cloned());
    report.job = document.to_toml();
    folder.close(&USUAL, &report, &mut summary, &run.saves)?;
    observer.event(&Event::Done { seconds: summary.seconds, interrupted: stop.is_requested() });
    Ok(summary)
}

/// What is painted, and the views that are denoised.
struct Seen {
    name: String,
    scene: Option<Scene>,
    charts: Option<usize>,
    views: Vec<View>,
    painted: Painted,
}

/// Looks at the job's scene, or at what is all around.
fn look(job: &TextureJob, device: &Device) -> Result<Seen> {
    if let Some(size) = job.panorama {
        if job.scene.is_some() {
            return Err(Error::usage("--panorama", "a scene was given too", "paint one or the other"));
        }
        require_texels(size.width as u64 * size.height as u64, "--panorama")?;
        let views = panorama::views(job, size)?;
        let painted = panorama::painted(job, size, &views);
        return Ok(Seen { name: "panorama".into(), scene: None, charts: None, views, painted });
    }
    let path = job.scene.clone().ok_or_else(|| {
        let help = "give a scene: lumigrad texture model.glb --prior materials.safetensors, or --panorama 256x128";
        Error::usage("texture", "SCENE is missing", help)
    })?;
    let (scene, charts) = unwrap::paintable(load_scene(&path)?, job.texture_size.unwrap_or(ATLAS))?;
    let views = views(&scene, job)?;
    let painted = Painted::new(job, &scene, &views, device)?;
    let name = path.file_stem().map_or("scene".into(), |s| s.to_string_lossy().into_owned());
    Ok(Seen { name, scene: Some(scene), charts, views, painted })
}

/// Bytes of a texel: its colour, which pixels see it, and what is written.
const TEXEL_BYTES: u64 = 64;

/// Refuses textures that no memory holds.
pub(super) fn require_texels(n: u64, flag: &str) -> Result<()> {
    if n > u64::from(u32::MAX) {
        return Err(Error::usage(flag, format!("{n} texels"), "smaller textures"));
    }
    require_memory(n.saturating_mul(TEXEL_BYTES), flag, "choose a smaller one")
}

/// A prior for pictures of the views' size: itself, or in patches.
fn patched(mut guide: Guide, job: &TextureJob) -> Result<Guide> {
    let (size, views) = ([job.size.height, job.size.width], job.views as u64);
    if job.iterations > MOST_STEPS {
        return Err(Error::usage("--iterations", format!("{} steps", job.iterations), format!("at most {MOST_STEPS}")));
    }
    let pixels = (size[0] as u64 * size[1] as u64).saturating_mul(views);
    require_memory(pixels.saturating_mul(PIXEL_BYTES), "--size", "take fewer or smaller --views")?;
    if guide.info().can(Capability::Encode) {
        let message = format!("{} works on latents, texels are averaged in pictures", guide.info().name);
        return Err(Error::usage("--prior", message, "take a prior over pictures: lumigrad prior train FOLDER"));
    }
    let Some(side) = guide.info().size.filter(|s| *s != size) else { return Ok(guide) };
    if side[0] > size[0] || side[1] > size[1] {
        let message = format!("{}x{} is smaller than the prior's {}x{}", size[1], size[0], side[1], side[0]);
        return Err(Error::usage("--size", message, "take larger views"));
    }
    let stride = job.stride.unwrap_or((side[0].min(side[1]) / 2).max(1));
    let overlap = (side[0] * side[1]).div_ceil(stride * stride) as u64;
    require_memory(
        pixels.saturating_mul(overlap * PIXEL_BYTES),
        "--size",
        "take fewer or smaller --views, or a larger --stride",
    )?;
    guide.prior = Arc::new(Tiled::new(guide.prior, stride).map_err(|e| Error::usage("--stride", e.to_string(), ""))?);
    Ok(guide)
}

/// Views on a circle around the scene, and from above and below.
fn views(scene: &Scene, job: &TextureJob) -> Result<Vec<View>> {
    let (centre, _) = sphere_of(scene)?;
    let mut radius = 0.0f64;
    for instance in scene.instances() {
        let far = |p: &[f32; 3]| (0..3).map(|a| (p[a] as f64 - centre[a]).powi(2)).sum::<f64>().sqrt();
        radius = scene.world_geometry(&instance)?.positions.iter().map(far).fold(radius, f64::max);
    }
    let framing = Framing::of_sphere(centre, radius, (job.size.width, job.size.height));
    let mut views = orbit(job.views - POLES, &framing, CIRCLE);
    for (name, elevation) in [("above", FRAC_PI_2), ("below", -FRAC_PI_2)] {
        views.extend(orbit(1, &framing, elevation).into_iter().map(|v| View { name: name.into(), ..v }));
    }
    Ok(views)
}

/// How far pixels are from the mean of their texels, root mean square: what the run has still to agree on.
fn agreement(canvas: &Canvas, sampling: &Sampling, noise: &Tensor) -> Result<f64> {
    let n = noise.len() / 3;
    let own = lumigrad_core::Var::from(sampling.clean().reshape(&[n, 3])?);
    let shared = canvas.show(&canvas.average(&own)?, &own)?;
    Ok(own.sub(&shared)?.square()?.mean()?.tensor().item()?.sqrt())
}

/// What a run keeps beside its folder.
struct Run<'a> {
    job: &'a TextureJob,
    fingerprint: String,
    saves: Saves,
}

impl Run<'_> {
    /// From noise, or from a checkpoint where one is asked for and found.
    fn begin(&self, place: &Path, noise: &Tensor, levels: &[Level]) -> Result<Sampling> {
        let found = if self.job.resume { self.saves.latest(place, &self.fingerprint)? } else { None };
        let Some(c) = found else { return Ok(Sampling::new(noise, levels)?) };
        let steps: usize = c.facts.get(STEPS).and_then(|s| s.parse().ok()).unwrap_or(0);
        if steps != self.job.iterations {
            let message = format!("the checkpoint is of {steps} steps, the job of {}", self.job.iterations);
            return Err(Error::usage("--iterations", message, "levels depend on it: leave --resume out to start anew"));
        }
        let array = |name: &str| -> Result<Tensor> {
            Ok(Tensor::from_slice(noise.device(), c.f32(name, noise.shape())?, noise.shape())?)
        };
        Ok(Sampling::resumed(array(NOISY)?, array(CLEAN)?, c.step as usize, levels)?)
    }
}

fn checkpoint(sampling: &Sampling, job: &TextureJob, fingerprint: &str) -> Result<Checkpoint> {
    let (step, seed) = (sampling.steps() as u64, job.common.seed);
    let mut c = Checkpoint { step, seed, job: fingerprint.into(), ..Checkpoint::default() };
    c.facts.insert(STEPS.into(), job.iterations.to_string());
    for (name, tensor) in [(NOISY, sampling.noisy()), (CLEAN, sampling.clean())] {
        c.insert(name, tensor.shape(), Array::F32(tensor.to_vec::<f32>()?));
    }
    Ok(c)
}
