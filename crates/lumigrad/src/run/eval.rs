//! Comparisons: pictures with pictures, surfaces with surfaces.

use super::Summary;
use crate::{Error, Result};
use lumigrad_geometry::{Surface, Topology, compare, volume_iou};
use lumigrad_metrics as metrics;
use lumigrad_scene::picture::Picture;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "exr", "hdr"];
const SURFACES: &[&str] = &["glb", "gltf", "obj", "ply", "stl"];

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_surface(path: &Path) -> bool {
    path.is_file() && SURFACES.contains(&ending(path).as_str())
}

/// What pictures are measured by: means, and columns of the table.
const PICTURE_METRICS: [&str; 4] = ["psnr", "ssim", "ms_ssim", "flip"];

/// Compares `a` with `b`: two surfaces, or two folders of pictures, run folders or single pictures.
///
/// Pictures: means of `psnr`, `ssim`, `ms_ssim`, `flip` (at 67.02 pixels per degree), and a table per image. Surfaces:
/// `chamfer_percent`, `f_score`, `normal_angle_deg`, `iou` of the enclosed volumes (where both are watertight), and of
/// `a`, its vertices at equal positions taken as one, `watertight` (1 or 0) and `genus` (where it is watertight).
///
/// # Errors
/// They are of different sorts, share no picture, or cannot be read; pictures of one name differ in size.
pub fn eval(a: &Path, b: &Path, samples: usize, summary: &mut Summary) -> Result<()> {
    for path in [a, b] {
        if !path.exists() {
            let help = "give a picture, a folder of pictures, a run folder or a surface (glb, gltf, obj, ply, stl)";
            return Err(Error::file(path.display(), "there is no such file or folder", help));
        }
    }
    match (is_surface(a), is_surface(b)) {
        (true, true) => surfaces(a, b, samples, summary),
        (false, false) => pictures(a, b, summary),
        _ => {
            let help = "give two surfaces, or two pictures, folders of pictures or runs";
            Err(Error::usage(b.display(), format!("is of another sort than {}", a.display()), help))
        }
    }
}

fn surfaces(a: &Path, b: &Path, samples: usize, summary: &mut Summary) -> Result<()> {
    let load = |path: &Path| Ok::<_, Error>(super::flatten(&crate::files::load_scene(path)?)?.0);
    let (mesh_a, mesh_b) = (load(a)?, load(b)?);
    let (name_a, name_b) = (a.display().to_string(), b.display().to_string());
    let a = Surface { name: &name_a, positions: &mesh_a.positions, triangles: &mesh_a.triangles };
    let b = Surface { name: &name_b, positions: &mesh_b.positions, triangles: &mesh_b.triangles };
    let found = compare(a, b, samples)?;
    summary.metric("chamfer_percent", found.chamfer_percent);
    summary.metric("f_score", found.f_score);
    summary.metric("normal_angle_deg", found.normal_angle_deg);
    match volume_iou(a, b, samples) {
        Ok(iou) => summary.metric("iou", iou),
        Err(e) => summary.warnings.push(format!("iou is left out: {e}")),
    }
    let topology = Topology::welded(a.positions, a.triangles)?;
    summary.metric("watertight", topology.watertight() as u8 as f64);
    match topology.genus() {
        Some(genus) => summary.metric("genus", genus as f64),
        None => {
            summary.warnings.push(format!("genus is left out: {name_a} is not a watertight surface with two sides"))
        }
    }
    Ok(())
}

/// Pictures by name without ending; those of a run are in its folder `views`.
fn listing(path: &Path) -> Result<BTreeMap<String, PathBuf>> {
    if path.is_file() {
        return Ok([(String::new(), path.to_owned())].into());
    }
    let views = path.join("views");
    let folder = if path.join("job.toml").is_file() && views.is_dir() { views } else { path.to_owned() };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))? {
        let file = entry.map_err(|e| Error::io(&folder, e))?.path();
        if PICTURES.contains(&ending(&file).as_str()) {
            found.insert(file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file);
        }
    }
    Ok(found)
}

/// RGB over black in encoded values, as it is seen.
fn shown(path: &Path) -> Result<Picture> {
    Ok(Picture::load(path)?.into_srgb().into_straight().over([0.0; 3]))
}

fn pictures(a: &Path, b: &Path, summary: &mut Summary) -> Result<()> {
    let (left, right) = (listing(a)?, listing(b)?);
    let names: Vec<&String> = left.keys().filter(|n| right.contains_key(*n)).collect();
    if names.is_empty() {
        let message =
            format!("{} pictures here and {} in {}, none with a common name", left.len(), right.len(), b.display());
        return Err(Error::file(a.display(), message, "pictures are matched by name, without ending"));
    }
    let single = left.len().max(right.len()) - names.len();
    if single > 0 {
        summary.warnings.push(format!("{single} pictures have no partner and are left out"));
    }
    let mut rows = vec![];
    let mut sums = [0.0; PICTURE_METRICS.len()];
    let mut small = 0;
    for name in &names {
        let (p, q) = (shown(&left[*name])?, shown(&right[*name])?);
        if (p.width, p.height) != (q.width, q.height) {
            let message =
                format!("{}×{} pixels, but {} has {}×{}", p.width, p.height, right[*name].display(), q.width, q.height);
            return Err(Error::file(left[*name].display(), message, "compare pictures of one size"));
        }
        let (a, b, w, h) = (&p.data, &q.data, p.width, p.height);
        let values = [
            metrics::psnr(a, b)?,
            metrics::ssim(a, b, w, h, 3)?,
            metrics::ms_ssim(a, b, w, h, 3)?,
            metrics::flip(a, b, w, h, metrics::FLIP_PIXELS_PER_DEGREE)?,
        ];
        small += (w.min(h) < metrics::MS_SSIM_FULL_SIZE) as usize;
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        let name = if name.is_empty() { left[*name].display().to_string() } else { (*name).clone() };
        let mut row = serde_json::Map::from_iter([("name".to_owned(), json!(name))]);
        row.extend(PICTURE_METRICS.iter().zip(values).map(|(metric, value)| ((*metric).to_owned(), json!(value))));
        rows.push(serde_json::Value::Object(row));
    }
    if small > 0 {
        let side = metrics::MS_SSIM_FULL_SIZE;
        summary
            .warnings
            .push(format!("ms_ssim has fewer than five scales on {small} pictures with a side below {side}"));
    }
    for (name, sum) in PICTURE_METRICS.into_iter().zip(sums) {
        summary.metric(name, sum / names.len() as f64);
    }
    summary.metric("n_images", names.len() as f64);
    summary.details.insert("images".into(), rows.into());
    Ok(())
}
