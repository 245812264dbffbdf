//! Pictures of a scene.

use super::job::Size;
use crate::{Error, Result};
use lumigrad_core::{DType, Device};
use lumigrad_raster::texture::Sampling;
use lumigrad_raster::{Aov, Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::{Framing, View, orbit};
use lumigrad_scene::environment::Environment;
use lumigrad_scene::picture::{Picture, Precision, Transfer, save_exr};
use lumigrad_scene::{Projection, Scene};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Elevation of orbits above the horizon, radians.
pub(super) const ELEVATION: f64 = 0.35;

/// What is written for every camera.
#[derive(Clone, Debug, Default)]
pub struct RenderSettings {
    /// Names of auxiliary pictures.
    pub aov: Vec<String>,
    /// Colour as linear EXR, not as PNG.
    pub exr: bool,
    /// Light from all around; `None`: a constant 1 where the scene has no lights of its own.
    pub environment: Option<Environment>,
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
pub(super) fn choose(
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
                return from_file(Path::new(text), size);
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
fn sphere(scene: &Scene) -> Result<([f64; 3], f64)> {
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
    let (centre, radius) = sphere(scene)?;
    Ok(orbit(n, &Framing::of_sphere(centre, radius, (size.width, size.height)), ELEVATION))
}

/// Frames of a `transforms.json`, with or without pictures; a frame's own numbers go before the file's.
fn from_file(path: &Path, size: Size) -> Result<Vec<View>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let file: Value = serde_json::from_str(&text).map_err(|e| Error::file(path.display(), e.to_string(), ""))?;
    let frames = file["frames"].as_array().filter(|f| !f.is_empty());
    let frames = frames.ok_or_else(|| Error::file(path.display(), "no frames", "expected a transforms.json"))?;
    let views = frames.iter().enumerate().map(|(i, frame)| {
        let place = format!("{}#/frames/{i}", path.display());
        let number = |key: &str| frame[key].as_f64().or(file[key].as_f64());
        let side = |key: &str, other: usize| number(key).map_or(other, |x| x.clamp(1.0, 32768.0) as usize);
        let (width, height) = (side("w", size.width), side("h", size.height));
        let angle = number("camera_angle_x").map(|a| 0.5 * width as f64 / (0.5 * a).tan());
        let fx = number("fl_x").or(angle).filter(|f| *f > 0.0 && f.is_finite());
        let fx = fx.ok_or_else(|| Error::file(&place, "no focal length", "give fl_x or camera_angle_x"))?;
        let centre = |key: &str, side: usize| number(key).unwrap_or(0.5 * side as f64);
        let intrinsics = [fx, number("fl_y").unwrap_or(fx), centre("cx", width), centre("cy", height)];
        let mut matrix = [[0.0, 0.0, 0.0, 1.0]; 4];
        for (r, row) in matrix.iter_mut().enumerate().take(3) {
            for (c, cell) in row.iter_mut().enumerate() {
                let found = frame["transform_matrix"][r][c].as_f64();
                *cell = found.ok_or_else(|| Error::file(&place, "transform_matrix is no 4 × 4 matrix", ""))?;
            }
        }
        let stem = frame["file_path"]
            .as_str()
            .and_then(|p| Path::new(p).file_stem())
            .map(|s| s.to_string_lossy().into_owned());
        let view = View::from_opengl(&place, matrix, intrinsics, (width, height))?;
        Ok(View { name: stem.unwrap_or_else(|| format!("frame_{i:04}")), ..view })
    });
    views.collect()
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
        let needed = super::memory::render_bytes(scene, pixels, !settings.aov.is_empty());
        let help = "render smaller pictures (--size), leave out --aov, or give the scene smaller textures";
        super::require_memory(needed, scene.file(), help)?;
    }
    let renderer = Renderer::new(scene, device, &Options { environment, dtype: None })?;
    let frame = renderer.frame(&Bindings::new())?;
    let (centre, radius) = sphere(scene)?;
    make_folder(folder)?;
    let mut written = vec![];
    for view in views {
        let view = with_depths(view, centre, radius);
        let camera = Camera::new(&view, device, DType::F32)?;
        let data = frame.render(&camera)?.image.tensor().to_vec::<f32>()?;
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
            let data: Vec<f32> = pixels.flat_map(|p| p[first..first + names.len()].iter().copied()).collect();
            let path = folder.join(format!("{name}_{aov}.exr"));
            save_exr(&path, (width, height), names, &data, Precision::Float)?;
            written.push(path);
        }
    }
    Ok(written)
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
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

pub(super) fn file_name(view: &str) -> String {
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
