//! Pictures of a scene.

use super::job::Size;
use super::lenses::ThroughLens;
use crate::fields::FieldBrdf;
use crate::{Error, Result};
use lumigrad_core::{DType, Device};
use lumigrad_raster::shading::Brdf;
use lumigrad_raster::texture::Sampling;
use lumigrad_raster::{Aov, Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_scene::environment::Environment;
use lumigrad_scene::picture::{Picture, Precision, Transfer, save_exr};
use lumigrad_scene::views::load_cameras;
use lumigrad_scene::{Projection, Scene};
use lumigrad_splat::Technique;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Elevation of orbits above the horizon, radians.
pub(crate) const ELEVATION: f64 = 0.35;

/// Columns and rows of pictures, where the job does not say.
pub const SIZE: Size = Size { width: 512, height: 512 };

/// What is written for every camera.
#[derive(Clone, Debug, Default)]
pub struct RenderSettings {
    /// Names of auxiliary pictures.
    pub aov: Vec<String>,
    /// Colour as linear EXR, not as PNG.
    pub exr: bool,
    /// Light from all around; `None`: a constant 1 where the scene has no lights of its own.
    pub environment: Option<Environment>,
    /// Fitted materials in place of the scene's own: files, with `NAME=` before them where not all materials are meant.
    pub materials: Vec<String>,
    /// How splats are drawn.
    pub technique: Technique,
}

/// The cameras of a `--camera` argument: the name of one in the scene, `orbit:N`, a `transforms.json`; without one the
/// scene's first camera, else `orbit:1`.
///
/// # Errors
/// There is no such camera; the file has no usable frames.
pub fn cameras(scene: &Scene, choice: Option<&str>, size: Size) -> Result<Vec<View>> {
    choose(own_cameras(scene, size)?, choice, size, &|n| orbits(scene, n, size))
}

/// One of a model's own cameras, views of a file, or views around the model.
pub(crate) fn choose(
    own: Vec<View>,
    choice: Option<&str>,
    size: Size,
    orbits: &dyn Fn(usize) -> Result<Vec<View>>,
) -> Result<Vec<View>> {
    match choice {
        None if !own.is_empty() => Ok(own.into_iter().take(1).collect()),
        None => orbits(1),
        Some(text) => {
            if let Some(n) = text.strip_prefix("orbit:") {
                let n = n.parse::<usize>().ok().filter(|n| (1..=100_000).contains(n));
                let n = n.ok_or_else(|| {
                    Error::usage("--camera", format!("{text:?} has no number of views"), "orbit:8, for example")
                })?;
                return orbits(n);
            }
            if text.ends_with(".json") {
                return Ok(load_cameras(Path::new(text), (size.width, size.height))?);
            }
            let names: Vec<String> = own.iter().map(|v| v.name.clone()).collect();
            let found = own.into_iter().find(|v| v.name == text);
            found.map(|v| vec![v]).ok_or_else(|| {
                let known = if names.is_empty() {
                    "the scene has no camera".into()
                } else {
                    format!("cameras: {}", names.join(", "))
                };
                Error::usage(
                    "--camera",
                    format!("no camera is named {text:?}"),
                    format!("{known}; or orbit:N, or a transforms.json"),
                )
            })
        }
    }
}

fn own_cameras(scene: &Scene, size: Size) -> Result<Vec<View>> {
    let size = (size.width, size.height);
    let placed = scene.placed_cameras().into_iter().enumerate().map(|(i, (node, camera, world))| {
        let node_name = &scene.nodes()[node].name;
        let name = [&camera.name, node_name].into_iter().find(|n| !n.is_empty());
        let name = name.cloned().unwrap_or_else(|| format!("camera_{i}"));
        let matrix = world.transpose().to_cols_array_2d();
        Ok(match camera.projection {
            Projection::Perspective { yfov, znear, zfar, .. } => {
                View::from_gltf_perspective(&name, matrix, yfov.into(), (znear.into(), zfar.map(f64::from)), size)?
            }
            Projection::Orthographic { ymag, znear, zfar, .. } => {
                View::from_gltf_orthographic(&name, matrix, ymag.into(), (znear.into(), zfar.into()), size)?
            }
        })
    });
    placed.collect()
}

/// Centre and radius of a sphere around everything that is drawn.
pub(crate) fn sphere_of(scene: &Scene) -> Result<([f64; 3], f64)> {
    let (mut lo, mut hi) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for instance in scene.instances() {
        for p in scene.world_geometry(&instance)?.positions {
            for k in 0..3 {
                lo[k] = lo[k].min(p[k].into());
                hi[k] = hi[k].max(p[k].into());
            }
        }
    }
    if lo[0] > hi[0] {
        return Ok(([0.0; 3], 1.0));
    }
    let centre = std::array::from_fn(|k| 0.5 * (lo[k] + hi[k]));
    let radius = 0.5 * (0..3).map(|k| (hi[k] - lo[k]).powi(2)).sum::<f64>().sqrt();
    Ok((centre, radius))
}

fn orbits(scene: &Scene, n: usize, size: Size) -> Result<Vec<View>> {
    let (centre, radius) = sphere_of(scene)?;
    Ok(orbit(n, &Framing::of_sphere(centre, radius, (size.width, size.height)), ELEVATION))
}

/// Renders a scene from cameras into a folder: `<view>.png` or `.exr`, and `<view>_<aov>.exr`. Gives what was written.
///
/// # Errors
/// The scene cannot be rendered on the device; a file cannot be written.
pub fn render(
    scene: &Scene,
    views: &[View],
    settings: &RenderSettings,
    device: &Device,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let environment = match &settings.environment {
        Some(given) => Some(given.clone()),
        None => scene.placed_lights().is_empty().then(|| Environment::constant([1.0; 3])),
    };
    if device.is_cpu() {
        let pixels = views.iter().map(|v| v.width as u64 * v.height as u64).max().unwrap_or(0);
        let needed =
            super::memory::render_bytes(scene, pixels, !settings.aov.is_empty(), !settings.materials.is_empty());
        let help = "render smaller pictures (--size), leave out --aov, or give the scene smaller textures";
        super::require_memory(needed, scene.file(), help)?;
    }
    let renderer = Renderer::new(scene, device, &Options { environment, dtype: None })?;
    let mut bindings = Bindings::new();
    fitted(scene, &settings.materials, device, &mut bindings)?;
    let frame = renderer.frame(&bindings)?;
    let (centre, radius) = sphere_of(scene)?;
    make_folder(folder)?;
    let mut written = vec![];
    for view in views {
        let through = ThroughLens::new(view);
        let pinhole = with_depths(through.as_ref().map_or(view, |t| &t.pinhole), centre, radius);
        let camera = Camera::new(&pinhole, device, DType::F32)?;
        let mut data = frame.render(&camera)?.image.tensor().to_vec::<f32>()?;
        if let Some(through) = &through {
            data = through.resample(&data, 4);
        }
        let (width, height) = (view.width, view.height);
        let picture = Picture { width, height, channels: 4, data, transfer: Transfer::Linear, premultiplied: true };
        let name = file_name(&view.name);
        let path = folder.join(format!("{name}.{}", if settings.exr { "exr" } else { "png" }));
        if settings.exr {
            picture.save_exr(&path)?
        } else {
            picture.save_png(&path)?
        }
        written.push(path);
        if settings.aov.is_empty() {
            continue;
        }
        let channels = frame.aov(&camera, Sampling::Sampler)?.tensor().to_vec::<f32>()?;
        for aov in &settings.aov {
            let (first, names) = channels_of(aov)?;
            let pixels = channels.chunks_exact(Aov::COUNT);
            let mut data: Vec<f32> = pixels.flat_map(|p| p[first..first + names.len()].iter().copied()).collect();
            if let Some(through) = &through {
                data = through.nearest(&data, names.len());
            }
            let path = folder.join(format!("{name}_{aov}.exr"));
            save_exr(&path, (width, height), names, &data, Precision::Float)?;
            written.push(path);
        }
    }
    Ok(written)
}

/// Lets materials of a scene reflect as files say; later files take the place of earlier ones.
fn fitted(scene: &Scene, files: &[String], device: &Device, bindings: &mut Bindings) -> Result<()> {
    let n = scene.materials().len();
    for text in files {
        // A path may have the sign in it too.
        let named = if Path::new(text).exists() { None } else { text.split_once('=') };
        let (which, file) = match named {
            // The number after the last one stands for meshes without a material.
            None => ((0..=n).collect(), text.as_str()),
            Some((name, file)) => (materials_named(scene, name)?, file),
        };
        let brdf: Arc<dyn Brdf> = Arc::new(FieldBrdf::load(Path::new(file), device)?);
        which.into_iter().for_each(|material| bindings.reflect(material, brdf.clone()));
    }
    Ok(())
}

/// Numbers of the materials of a name, or the one of a number.
fn materials_named(scene: &Scene, name: &str) -> Result<Vec<usize>> {
    let all = scene.materials();
    let found: Vec<usize> = (0..all.len()).filter(|&k| all[k].name == name).collect();
    match name.parse().ok().filter(|k| *k < all.len()) {
        Some(number) if found.is_empty() => Ok(vec![number]),
        None if found.is_empty() => {
            let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).filter(|m| !m.is_empty()).collect();
            let known = if names.is_empty() { "none have names".into() } else { names.join(", ") };
            let help = format!("the scene's materials: {known}; or their numbers, below {}", all.len());
            Err(Error::usage("--material", format!("no material is named {name:?}"), help))
        }
        _ => Ok(found),
    }
}

pub(crate) fn make_folder(folder: &Path) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(Error::file(folder.display(), "is a file, expected a folder", "choose another one with --out"));
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}

/// Near and far planes around the scene, where a view does not know its own.
fn with_depths(view: &View, centre: [f64; 3], radius: f64) -> View {
    if view.near > 0.0 {
        return view.clone();
    }
    let eye = view.centre();
    let distance = (0..3).map(|k| (eye[k] - centre[k]).powi(2)).sum::<f64>().sqrt();
    let near = (distance - 1.1 * radius).max(0.01 * radius.max(1e-6));
    View { near, far: distance + 1.1 * radius.max(1e-6), ..view.clone() }
}

pub(crate) fn file_name(view: &str) -> String {
    view.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

fn channels_of(aov: &str) -> Result<(usize, &'static [&'static str])> {
    Ok(match aov {
        "depth" => (Aov::DEPTH, &["Z"]),
        "normal" => (Aov::NORMAL, &["X", "Y", "Z"]),
        "albedo" => (Aov::BASE_COLOR, &["R", "G", "B"]),
        "metallic" => (Aov::METALLIC, &["Y"]),
        "roughness" => (Aov::ROUGHNESS, &["Y"]),
        "uv" => (Aov::UV, &["U", "V"]),
        "id" => (Aov::DRAW, &["Y"]),
        "mask" => (Aov::MASK, &["Y"]),
        "median_depth" => return Err(Error::usage("--aov", "surfaces have no median depth", "--aov depth")),
        _ => return Err(Error::usage("--aov", format!("unknown auxiliary picture {aov:?}"), "")),
    })
}
