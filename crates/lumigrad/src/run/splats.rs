//! Splats: their files, their pictures.

use super::job::Size;
use super::lenses::ThroughLens;
use super::render::{ELEVATION, choose, file_name, make_folder};
use super::{RenderSettings, Summary};
use crate::train::camera;
use crate::{Error, Result};
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_scene::picture::{Picture, Precision, Transfer, save_exr};
use lumigrad_splat::{Gaussians, RenderOptions, Renderer, Technique, formats, importance, render_views};
use std::path::{Path, PathBuf};

/// Views that tell what Gaussians add to pictures, and their size.
const JUDGES: usize = 24;
const JUDGED: Size = Size { width: 400, height: 400 };

/// The technique of the key `renderer`.
pub fn technique(name: &str) -> Technique {
    if name == "raycast" { Technique::Raycast } else { Technique::Splat }
}

/// The splats of a run folder.
pub fn run_splats(folder: &Path) -> Option<PathBuf> {
    let file = folder.join("splats.ply");
    file.is_file().then_some(file)
}

/// Reads a file of splats.
///
/// # Errors
/// It is missing, damaged, or holds none.
pub fn load_splats(path: &Path) -> Result<Gaussians> {
    let found = formats::read(path).map_err(|e| Error::file(path.display(), e.message, e.help))?;
    match found.is_empty() {
        true => Err(Error::file(path.display(), "there are no Gaussians in it", "")),
        false => Ok(found),
    }
}

/// Views around splats.
fn orbits(gaussians: &Gaussians, n: usize, size: Size) -> Vec<View> {
    orbit(n, &framing(gaussians, size), ELEVATION).into_iter().map(turned).collect()
}

/// What splats fill, in axes with y up.
pub(crate) fn framing(gaussians: &Gaussians, size: Size) -> Framing {
    let ([x, y, z], radius) = gaussians.sphere();
    Framing::of_sphere([x, -y, -z], radius, (size.width, size.height))
}

/// A view in axes with y up as one in those of files of splats, with y down.
pub(crate) fn turned(view: View) -> View {
    let mut viewmat = view.viewmat;
    viewmat.iter_mut().for_each(|row| (row[1], row[2]) = (-row[1], -row[2]));
    View { viewmat, ..view }
}

/// Renders splats from cameras (as [`super::cameras`]) into a folder, with alpha; gives what was written.
///
/// # Errors
/// There is no such camera, no such auxiliary picture of splats; a file cannot be written.
pub fn render_splats(
    gaussians: &Gaussians,
    cameras: Option<&str>,
    size: Size,
    settings: &RenderSettings,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    const AOVS: [&str; 4] = ["depth", "median_depth", "normal", "mask"];
    if let Some(other) = settings.aov.iter().find(|a| !AOVS.contains(&a.as_str())) {
        return Err(Error::usage("--aov", format!("splats have no {other}"), AOVS.join(", ")));
    }
    let options = RenderOptions { technique: settings.technique, ..RenderOptions::default() };
    let splatted = ["median_depth", "normal"];
    if settings.technique == Technique::Raycast
        && let Some(aov) = settings.aov.iter().find(|a| splatted.contains(&a.as_str()))
    {
        return Err(Error::usage("--aov", format!("{aov} is splatted only"), "--renderer splat, or depth and mask"));
    }
    let mut renderer = Renderer::new(gaussians).map_err(unusable)?;
    let views = choose(vec![], cameras, size, &|n| Ok(orbits(gaussians, n, size)))?;
    make_folder(folder)?;
    let mut written = vec![];
    for view in &views {
        let through = ThroughLens::new(view);
        let camera = camera(through.as_ref().map_or(view, |t| &t.pinhole));
        let image = renderer.render(&camera, &options).map_err(unusable)?;
        let (width, height) = (view.width, view.height);
        let pixels = image.colour.iter().zip(&image.alpha).flat_map(|(c, a)| [c[0], c[1], c[2], *a]);
        let straight = |p: &[f32; 4]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(|x| if p[3] > 0.0 { (x / p[3]).clamp(0.0, 1.0) } else { 0.0 });
            [r, g, b, p[3]]
        };
        let mut data: Vec<f32> = pixels.collect();
        if let Some(through) = &through {
            data = through.resample(&data, 4);
        }
        let data = data.as_chunks::<4>().0.iter().flat_map(straight).collect();
        let picture = Picture { width, height, channels: 4, data, transfer: Transfer::Srgb, premultiplied: false };
        let name = file_name(&view.name);
        let path = folder.join(format!("{name}.{}", if settings.exr { "exr" } else { "png" }));
        match settings.exr {
            true => picture.into_linear().into_premultiplied().save_exr(&path)?,
            false => picture.save_png(&path)?,
        }
        written.push(path);
        for aov in &settings.aov {
            let (channels, data): (&[&str], Vec<f32>) = match aov.as_str() {
                "depth" => {
                    let depth = |(d, a): (&f32, &f32)| if *a > 0.0 { d / a } else { 0.0 };
                    (&["Z"], image.depth.iter().zip(&image.alpha).map(depth).collect())
                }
                "median_depth" => (&["Z"], renderer.median_depth(&camera, &options).map_err(unusable)?),
                "normal" => {
                    let seen = renderer.normals(gaussians, &camera, &options).map_err(unusable)?;
                    (&["X", "Y", "Z"], seen.chunks_exact(3).flat_map(|n| to_world(view, n)).collect())
                }
                _ => (&["Y"], image.alpha.clone()),
            };
            let path = folder.join(format!("{name}_{aov}.exr"));
            let data = match &through {
                Some(through) => through.nearest(&data, channels.len()),
                None => data,
            };
            save_exr(&path, (width, height), channels, &data, Precision::Float)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// A direction in the camera's axes in the world's.
fn to_world(view: &View, n: &[f32]) -> [f32; 3] {
    std::array::from_fn(|k| (0..3).map(|i| view.viewmat[i][k] as f32 * n[i]).sum())
}

fn unusable(e: lumigrad_splat::Error) -> Error {
    Error::job(e.to_string())
}

/// Writes splats in another format, with fewer Gaussians where `max_splats` or `max_size` (bytes) ask for it. What that
/// costs is the metric `psnr_loss`: the PSNR between pictures before and after, dB.
///
/// # Errors
/// Files that cannot be read or written; a size that not even one Gaussian fits.
pub fn convert_splats(
    from: &Path,
    to: &Path,
    max_splats: Option<usize>,
    max_size: Option<usize>,
    summary: &mut Summary,
) -> Result<()> {
    let encode = |g: &Gaussians| formats::write(to, g).map_err(|e| Error::file(to.display(), e.message, e.help));
    // An unknown ending is refused before anything is read.
    encode(&Gaussians::default())?;
    let all = load_splats(from)?;
    let most = max_splats.unwrap_or(usize::MAX).min(all.len());
    let mut kept = all.clone();
    let mut file = vec![];
    let fits = |file: &[u8]| max_size.is_none_or(|limit| file.len() <= limit);
    if most == all.len() {
        file = encode(&all)?;
    }
    let views: Vec<_> = orbits(&all, JUDGES, JUDGED).iter().map(camera).collect();
    if most < all.len() || !fits(&file) {
        let weights = importance(&all, &views, &RenderOptions::default()).map_err(unusable)?;
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
        let mut n = most;
        loop {
            let mut chosen = order[..n].to_vec();
            chosen.sort_unstable();
            kept = all.select(&chosen);
            file = encode(&kept)?;
            if fits(&file) {
                break;
            }
            let share = max_size.unwrap_or(usize::MAX) as f64 / file.len() as f64;
            let fewer = (n as f64 * share.min(0.98)) as usize;
            if fewer == 0 {
                let message = format!("one Gaussian takes {} bytes", file.len());
                return Err(Error::usage("--max-size", message, "allow a larger file"));
            }
            n = fewer;
        }
    }
    lumigrad_scene::write_atomically(to, &file)?;
    summary.metric("n_splats", kept.len() as f64);
    summary.metric("model_bytes", file.len() as f64);
    let again = load_splats(to)?;
    let pictures = |g: &Gaussians| render_views(g, &views[..JUDGES / 4], &RenderOptions::default()).map_err(unusable);
    let (before, after) = (pictures(&all)?, pictures(&again)?);
    let flat = |images: &[lumigrad_splat::Image]| -> Vec<f32> {
        images.iter().flat_map(|i| i.colour.as_flattened().iter().map(|x| x.clamp(0.0, 1.0))).collect()
    };
    let psnr = lumigrad_metrics::psnr(&flat(&after), &flat(&before)).map_err(|e| Error::job(e.to_string()))?;
    summary.metric("psnr_loss", psnr);
    Ok(())
}
