//! Slices from files, and the box in which their field lives.

use super::super::image;
use crate::fields::place::Place;
use crate::{Error, Result};
use glam::{DVec2, DVec3};
use lumigrad_geometry::{Error as GeometryError, Plane, Region, Slice, Slices, trace};
use lumigrad_scene::picture::Picture;
use std::path::{Path, PathBuf};

/// Endings of slice pictures.
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "exr", "hdr"];
/// Half the longest side of the contours' box, in the field's coordinates.
const HALF: f64 = 0.85;

/// Slices of a CSL file, or of a folder of pictures on parallel planes.
pub fn load(path: &Path, spacing: f64) -> Result<Slices> {
    let found = if path.is_dir() { pictures(path, spacing)? } else { csl(path)? };
    if found.slices.iter().all(|s| s.region.is_empty()) {
        let help = "give at least one plane that cuts the solid";
        return Err(Error::file(path.display(), "no plane has a contour", help));
    }
    Ok(found)
}

fn csl(path: &Path) -> Result<Slices> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let help = "give a CSL file, or a folder of pictures on parallel planes";
    let text = String::from_utf8(bytes).map_err(|_| Error::file(path.display(), "is no text", help))?;
    Slices::from_csl(&text).map_err(|e| match e {
        GeometryError::Text { line, message } => Error::file(format!("{}:{line}", path.display()), message, help),
        e => e.into(),
    })
}

/// One slice per picture, in order of names: what is brighter than half is inside; columns are x, rows −y, slices z.
fn pictures(folder: &Path, spacing: f64) -> Result<Slices> {
    if !(spacing > 0.0) {
        return Err(Error::usage("--spacing", format!("{spacing}, expected more than 0"), "give a distance in pixels"));
    }
    let mut files: Vec<PathBuf> = vec![];
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let file = entry.map_err(|e| Error::io(folder, e))?.path();
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        files.extend(PICTURES.contains(&ending.as_str()).then_some(file));
    }
    files.sort();
    let mut found = Slices::default();
    let mut size = None;
    for (k, file) in files.iter().enumerate() {
        let picture = image::load(file, None)?;
        let own = (picture.width, picture.height);
        let &mut (w, h) = size.get_or_insert(own);
        if own != (w, h) {
            let message = format!("{}×{} pixels, the first slice has {w}×{h}", own.0, own.1);
            return Err(Error::file(file.display(), message, "give slices of one size"));
        }
        let contours = trace(&brightness(picture), w, h, 0.5);
        let plane = Plane { origin: DVec3::Z * (k as f64 * spacing), u: DVec3::X, v: -DVec3::Y };
        found.slices.push(Slice { plane, region: Region::new(contours) });
    }
    if files.is_empty() {
        let help = "put slices there as png, jpeg, webp, exr or hdr, named in their order";
        return Err(Error::file(folder.display(), "the folder has no pictures", help));
    }
    Ok(found)
}

/// Encoded brightness over black.
fn brightness(picture: Picture) -> Vec<f32> {
    let rgb = picture.into_srgb().over([0.0; 3]);
    let n = rgb.channels;
    rgb.data.chunks_exact(n).map(|p| p.iter().sum::<f32>() / n as f32).collect()
}

/// Least and largest distance from the contours' box to where everything is outside.
const MARGINS: [f64; 2] = [0.02, 0.1];

/// Part of the distance of two slices that the solid goes on beyond its last one: the next would have missed it, and ends
/// taper off, so less than half.
const END: f64 = 1.0 / 3.0;

/// The middle one of the distances between neighbours, where all planes are parallel and more than one.
fn gap(slices: &[Slice]) -> Option<f64> {
    let n = slices.first()?.plane.normal();
    if slices.iter().any(|s| s.plane.normal().cross(n).length() > 1e-3) {
        return None;
    }
    let mut heights: Vec<f64> = slices.iter().map(|s| n.dot(s.plane.origin)).collect();
    heights.sort_by(f64::total_cmp);
    let mut gaps: Vec<f64> = heights.windows(2).map(|w| w[1] - w[0]).filter(|&g| g > 1e-6).collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied()
}

/// Slices in the field's coordinates, where the contours' box is around 0 and its longest side is 1.7.
pub struct Domain {
    /// The slices.
    pub slices: Vec<Slice>,
    /// Half the sides of the box around all contours.
    pub half: DVec3,
    /// The file's coordinates of 0.
    pub centre: DVec3,
    /// What lengths in the file are multiplied by.
    pub scale: f64,
    /// Everything is outside so far beyond the contours' box.
    pub margin: f64,
}

impl Domain {
    pub fn new(slices: &[Slice]) -> Self {
        let points = || slices.iter().flat_map(Slice::points);
        let lo = points().fold(DVec3::INFINITY, DVec3::min);
        let hi = points().fold(DVec3::NEG_INFINITY, DVec3::max);
        let centre = (lo + hi) / 2.0;
        let scale = 2.0 * HALF / (hi - lo).max_element().max(f64::MIN_POSITIVE);
        let slices: Vec<Slice> = slices.iter().map(|s| s.moved(centre, scale)).collect();
        let margin = gap(&slices).map_or(MARGINS[1], |gap| END * gap).clamp(MARGINS[0], MARGINS[1]);
        Self { slices, half: (hi - lo) / 2.0 * scale, centre, scale, margin }
    }

    /// Half the sides of the box beyond which everything is outside.
    pub fn outer(&self) -> DVec3 {
        self.half + self.margin
    }

    /// Where it lies in the file's coordinates.
    pub fn place(&self) -> Place {
        Place { centre: self.centre.to_array(), scale: 1.0 / self.scale }
    }

    /// True where all planes are parallel and one.
    pub fn is_flat(&self) -> bool {
        let cut = || self.slices.iter().filter(|s| !s.region.is_empty());
        let Some(first) = cut().next() else { return true };
        let n = first.plane.normal();
        cut().all(|s| {
            s.plane.normal().cross(n).length() < 1e-3 && n.dot(s.plane.origin - first.plane.origin).abs() < 1e-6
        })
    }
}

/// A point in a rectangle of a plane: from 0 to 1 along each side.
pub fn within([lo, hi]: [DVec2; 2], at: DVec2) -> DVec2 {
    lo + (hi - lo) * at
}
