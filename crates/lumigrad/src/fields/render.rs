//! `render` of fields: pictures of their surfaces, or the pictures, frames and sounds that they are fields of.

use super::file::FieldFile;
use super::operators::{Derivation, Operators};
use super::seen::Seen;
use super::shading::Look;
use super::signal::{self, Frames};
use super::solid::Solid;
use super::trace::steepest;
use crate::run::job::commands::RenderJob;
use crate::run::job::{EnvironmentChoice, Size};
use crate::run::{self, Summary, require_memory};
use crate::train::radiance::Trained;
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_core::Device;
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_scene::picture::{Picture, Precision, save_exr};
use std::path::{Path, PathBuf};

/// Bytes that are held per ray.
const RAY_BYTES: u64 = 256;
/// Auxiliary pictures of surfaces.
const AOVS: [&str; 3] = ["depth", "normal", "mask"];

/// Renders a field into the job's folder, and gives the pictures that were written; a sound is named in the summary.
///
/// # Errors
/// A file that is no field, or of one that is not shown; settings that do not suit it; a file that cannot be written.
pub fn render(path: &Path, job: &RenderJob, device: &Device, summary: &mut Summary) -> Result<Vec<PathBuf>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    if let Some(trained) = Trained::read(path, &bytes, device)? {
        return trained.render(job, summary);
    }
    let file = FieldFile::read(path, &bytes, device)?;
    let views = [
        ("--camera", job.camera.is_some()),
        ("--environment", job.environment.is_some()),
        ("--aov", !job.aov.is_empty()),
    ];
    let [surface, moving] = own_flags(job);
    let surface = [&views[..], &surface].concat();
    let seen = [("--size", job.size.is_some()), ("--format", job.format != "png"), ("--video", job.video.is_some())];
    match file.kind() {
        "image" => {
            unused("a picture", &[&surface[..], &moving].concat())?;
            run::make_folder(&job.out)?;
            Ok(vec![save(signal::picture(&file, size(&file, job)?, None)?, "image", job)?])
        }
        "video" => {
            unused("a video", &surface)?;
            frames(&file, job)
        }
        "audio" => {
            unused("a sound", &[&surface[..], &moving, &seen].concat())?;
            let sound = signal::sound(&file, job.rate)?;
            run::make_folder(&job.out)?;
            let to = job.out.join("sound.wav");
            lumigrad_scene::write_atomically(&to, &sound.to_wav()?)?;
            summary.metric("sound_seconds", sound.seconds());
            summary.output("sound", &to);
            Ok(vec![])
        }
        _ => surfaces(&file, job, summary),
    }
}

/// Flags that only fields have a use for, and whether they are given: those of surfaces, and of what moves.
pub fn own_flags(job: &RenderJob) -> [Vec<(&'static str, bool)>; 2] {
    let surface = vec![
        ("--shading", job.shading.is_some()),
        ("--normals", job.normals.is_some()),
        ("--polyfit-sigma", job.polyfit_sigma.is_some()),
        ("--rays", job.rays.is_some()),
    ];
    [surface, vec![("--time", job.time.is_some()), ("--frames", job.frames.is_some())]]
}

/// Refuses flags that `what` has no use for.
pub fn unused(what: &str, flags: &[(&str, bool)]) -> Result<()> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Error::usage(flag, format!("{what} has no use for it"), "leave it out")),
        None => Ok(()),
    }
}

fn size(file: &FieldFile, job: &RenderJob) -> Result<(usize, usize)> {
    job.size.map_or_else(|| signal::own_size(file), |s| Ok((s.width, s.height)))
}

/// Writes a picture in the job's format; values beyond what that holds are cut off.
pub fn save(picture: Picture, name: &str, job: &RenderJob) -> Result<PathBuf> {
    let path = job.out.join(format!("{name}.{}", job.format));
    match job.format.as_str() {
        "exr" => picture.into_linear().save_exr(&path)?,
        _ => picture.save_png(&path)?,
    }
    Ok(path)
}

/// Frames of a video: one, or so many from the first to the last.
fn frames(file: &FieldFile, job: &RenderJob) -> Result<Vec<PathBuf>> {
    let own = Frames::of(file)?;
    let size = size(file, job)?;
    let n = job.frames.unwrap_or(own.count);
    let last = (own.count - 1) as f64;
    let wanted = match (job.time, job.frames) {
        (Some(_), Some(_)) => return Err(one_moment()),
        (Some(frame), None) => vec![frame],
        (None, _) => (0..n).map(|k| share(k, n) * last).collect(),
    };
    run::make_folder(&job.out)?;
    let frame = |(k, &at): (usize, &f64)| {
        save(signal::picture(file, size, Some(own.time(at)?))?, &format!("frame_{k:04}"), job)
    };
    wanted.iter().enumerate().map(frame).collect()
}

fn one_moment() -> Error {
    Error::usage("--frames", "with --time there is one", "leave one of the two out")
}

/// How far a moment of several is from the first to the last.
fn share(k: usize, n: usize) -> f64 {
    k as f64 / (n - 1).max(1) as f64
}

/// Times at which a surface is shown.
fn times(file: &FieldFile, job: &RenderJob) -> Result<Vec<Option<f64>>> {
    let Some(duration) = file.duration()? else {
        unused("a surface that does not move", &[("--frames", job.frames.is_some())])?;
        return Ok(vec![job.time]);
    };
    match (job.time, job.frames) {
        (Some(_), Some(_)) => Err(one_moment()),
        (None, Some(n)) => Ok((0..n).map(|k| Some(duration * share(k, n))).collect()),
        (time, None) => Ok(vec![time]),
    }
}

/// Cameras around surfaces that a box in the world holds.
pub fn framing(bounds: [DVec3; 2], size: Size) -> Framing {
    let [lo, hi] = bounds;
    Framing::of_sphere(((lo + hi) / 2.0).to_array(), 0.5 * (hi - lo).length(), (size.width, size.height))
}

/// The box in the world that several surfaces share; `None` where there are none.
pub fn bounds<'a, 's: 'a>(solids: impl IntoIterator<Item = &'a Solid<'s>>) -> Result<Option<[DVec3; 2]>> {
    let mut all: Option<[DVec3; 2]> = None;
    for solid in solids {
        if let Some([lo, hi]) = solid.bounds()? {
            all = Some(all.map_or([lo, hi], |[l, h]| [l.min(lo), h.max(hi)]));
        }
    }
    Ok(all)
}

fn surfaces(file: &FieldFile, job: &RenderJob, summary: &mut Summary) -> Result<Vec<PathBuf>> {
    if let Some(other) = job.aov.iter().find(|a| !AOVS.contains(&a.as_str())) {
        return Err(Error::usage("--aov", format!("fields have no {other}"), AOVS.join(", ")));
    }
    let times = times(file, job)?;
    let looked = [0, times.len() / 2, times.len() - 1].map(|k| file.solid(times[k]));
    let looked = looked.into_iter().collect::<Result<Vec<_>>>()?;
    let help = "train it longer, or choose another --time";
    let bounds = bounds(&looked)?.ok_or_else(|| Error::file(file.name(), "the field has no surface there", help))?;
    let size = job.size.unwrap_or(run::SIZE);
    let framing = framing(bounds, size);
    let views = run::choose(vec![], job.camera.as_deref(), size, &|n| Ok(orbit(n, &framing, run::ELEVATION)))?;
    let rays = job.rays.unwrap_or(1);
    let pixels = views.iter().map(|v| v.width as u64 * v.height as u64).max().unwrap_or(0);
    let cast = pixels.saturating_mul((rays as u64).saturating_pow(2));
    require_memory(cast.saturating_mul(RAY_BYTES), "--size", "render smaller pictures, or with fewer --rays")?;
    let environment = job.environment.as_ref().map(EnvironmentChoice::load).transpose()?;
    let how = Derivation::from_name(job.normals.as_deref().unwrap_or_default());
    let mut look = Look::new(job.shading.as_deref().unwrap_or_default(), how, environment);
    run::make_folder(&job.out)?;
    let mut written = vec![];
    for (k, &time) in times.iter().enumerate() {
        let solid = file.solid(time)?;
        let operators = file.operators(&solid, job.polyfit_sigma, job.common.seed)?;
        let steepest = steepest(&solid)?;
        for view in &views {
            let moment = if times.len() > 1 { format!("_{k:04}") } else { String::new() };
            let name = format!("{}{moment}", run::file_name(&view.name));
            let fine = view.clone().resized(view.width * rays, view.height * rays);
            let seen = Seen::new(&solid, &fine, steepest)?;
            let picture = look.picture(&seen, &solid, &operators, view)?;
            written.push(save(picture.resized(view.width, view.height), &name, job)?);
            if !job.aov.is_empty() {
                // Depths and normals of several rays have no mean.
                let seen = if rays == 1 { seen } else { Seen::new(&solid, view, steepest)? };
                written.extend(auxiliary(&seen, &solid, &operators, (view, &name), how, job)?);
            }
        }
    }
    summary.metric("n_views", views.len() as f64);
    if let Some(range) = look.range {
        summary.metric("curvature_range", range.into());
    }
    Ok(written)
}

/// Writes depth, normals and mask of what a camera sees.
fn auxiliary(
    seen: &Seen,
    solid: &Solid,
    operators: &Operators,
    (view, name): (&View, &str),
    how: Derivation,
    job: &RenderJob,
) -> Result<Vec<PathBuf>> {
    let write = |aov: &String| -> Result<PathBuf> {
        let (names, data): (&[&str], _) = match aov.as_str() {
            "depth" => (&["Z"], seen.spread(seen.depths.iter().map(|&d| [d]))),
            "normal" => (&["X", "Y", "Z"], seen.spread(operators.normals(solid, how, &seen.points)?.into_iter())),
            _ => (&["Y"], seen.spread(seen.depths.iter().map(|_| [1.0]))),
        };
        let path = job.out.join(format!("{name}_{aov}.exr"));
        save_exr(&path, (view.width, view.height), names, &data, Precision::Float)?;
        Ok(path)
    };
    job.aov.iter().map(write).collect()
}
