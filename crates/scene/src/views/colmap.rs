//! COLMAP reconstructions, binary and text. Rigs and frames of newer versions are not needed and not read.

mod binary;
mod text;

use super::Points;
use crate::camera::{Lens, View};
use crate::{Error, Result};
use glam::{DMat3, DQuat, DVec3};
use std::path::{Path, PathBuf};

/// A camera model's parameters and picture size.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// The reconstruction's id.
    pub id: u32,
    /// Columns and rows.
    pub size: (usize, usize),
    /// `[fx, fy, cx, cy]`, pixels.
    pub intrinsics: [f64; 4],
    /// Distortion.
    pub lens: Lens,
}

/// A registered picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// File name below the folder of pictures.
    pub name: String,
    /// Id of its camera.
    pub camera_id: u32,
    /// World → camera rotation, wxyz.
    pub quat: [f64; 4],
    /// World → camera translation.
    pub translation: [f64; 3],
    /// Pixel and id of each point that was matched.
    pub observations: Vec<([f64; 2], u64)>,
}

/// A triangulated point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The reconstruction's id.
    pub id: u64,
    /// World position.
    pub position: [f64; 3],
    /// 8-bit sRGB colour.
    pub color: [u8; 3],
}

/// A COLMAP model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reconstruction {
    /// Cameras.
    pub cameras: Vec<Camera>,
    /// Registered pictures, in the file's order.
    pub images: Vec<Image>,
    /// Points; empty where the model has no file of them.
    pub points: Vec<Point>,
}

impl Reconstruction {
    /// The camera of a picture at the camera file's size, or what is wrong with it.
    pub fn view(&self, image: &Image) -> std::result::Result<View, String> {
        let camera = self.cameras.iter().find(|c| c.id == image.camera_id);
        let camera = camera.ok_or_else(|| format!("camera {} does not exist", image.camera_id))?;
        let [w, x, y, z] = image.quat;
        let (quat, t) = (DQuat::from_xyzw(x, y, z, w), DVec3::from(image.translation));
        if !(quat.is_finite() && t.is_finite() && quat.length() > 1e-6) {
            return Err(format!("the pose {:?} {:?} is not finite", image.quat, image.translation));
        }
        let axes = DMat3::from_quat(quat.normalize()).transpose();
        let view = View::from_axes(&image.name, axes, -(axes * t), camera.intrinsics, camera.size);
        Ok(View { lens: camera.lens, ..view })
    }

    pub(super) fn points(&self) -> Points {
        points(&self.points)
    }
}

fn points(list: &[Point]) -> Points {
    Points {
        positions: list.iter().map(|p| p.position.map(|x| x as f32)).collect(),
        colors: list.iter().map(|p| p.color.map(|x| f32::from(x) / 255.0)).collect(),
    }
}

fn folders(root: &Path) -> [PathBuf; 2] {
    [root.join("sparse/0"), root.join("sparse")]
}

/// The folder of the model in a data set; cameras and images must both be there.
pub(super) fn model_folder(root: &Path) -> Option<PathBuf> {
    let whole = |f: &PathBuf| ["bin", "txt"].iter().any(|e| has(f, "cameras", e) && has(f, "images", e));
    folders(root).into_iter().find(whole)
}

fn has(folder: &Path, stem: &str, ending: &str) -> bool {
    folder.join(format!("{stem}.{ending}")).is_file()
}

/// Points of a model whose poses are kept elsewhere.
pub(super) fn read_points_beside(root: &Path) -> Result<Option<Points>> {
    for folder in folders(root) {
        let list = read_points(&folder)?;
        if !list.is_empty() {
            return Ok(Some(points(&list)));
        }
    }
    Ok(None)
}

fn read_points(folder: &Path) -> Result<Vec<Point>> {
    let list = if has(folder, "points3D", "bin") {
        binary::points(&folder.join("points3D.bin"))?
    } else if has(folder, "points3D", "txt") {
        text::points(&folder.join("points3D.txt"))?
    } else {
        Vec::new()
    };
    if let Some(point) = list.iter().find(|p| p.position.iter().any(|x| !x.is_finite())) {
        let location = format!("{}: point {}", folder.join("points3D").display(), point.id);
        return Err(Error::invalid(location, format!("position {:?} is not finite", point.position), ""));
    }
    Ok(list)
}

/// Reads the model in `folder`, binary files before text.
///
/// # Errors
/// Files that cannot be read or are damaged (the message names the record), and camera models that are not supported.
pub fn read(folder: &Path) -> Result<Reconstruction> {
    let path = |stem: &str, ending: &str| folder.join(format!("{stem}.{ending}"));
    let (cameras, images) = if has(folder, "cameras", "bin") && has(folder, "images", "bin") {
        (binary::cameras(&path("cameras", "bin"))?, binary::images(&path("images", "bin"))?)
    } else {
        (text::cameras(&path("cameras", "txt"))?, text::images(&path("images", "txt"))?)
    };
    Ok(Reconstruction { cameras, images, points: read_points(folder)? })
}

/// Names and numbers of parameters of COLMAP's camera models, by id.
const MODELS: [(&str, usize); 12] = [
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
];

fn camera(location: &str, id: u32, model: &str, size: [u64; 2], p: &[f64]) -> Result<Camera> {
    let known = MODELS.iter().find(|(name, _)| *name == model);
    let count = known.map(|(_, n)| *n);
    let [width, height] = size;
    let fits = p.iter().all(|x| x.is_finite()) && size.iter().all(|n| (1..1 << 20).contains(n));
    if count.is_some_and(|n| n != p.len()) || !fits {
        let message = format!("{model} camera of {width}×{height} pixels with parameters {p:?}");
        return Err(Error::invalid(location, message, "expected the model's finite parameters and a sensible size"));
    }
    let one = |p: &[f64]| [p[0], p[0], p[1], p[2]];
    let two = |p: &[f64]| [p[0], p[1], p[2], p[3]];
    let (intrinsics, lens) = match model {
        "SIMPLE_PINHOLE" => (one(p), Lens::Perspective),
        "PINHOLE" => (two(p), Lens::Perspective),
        "SIMPLE_RADIAL" => (one(p), Lens::OpenCv { k: [p[3], 0.0, 0.0, 0.0, 0.0, 0.0], p: [0.0; 2] }),
        "RADIAL" => (one(p), Lens::OpenCv { k: [p[3], p[4], 0.0, 0.0, 0.0, 0.0], p: [0.0; 2] }),
        "OPENCV" => (two(p), Lens::OpenCv { k: [p[4], p[5], 0.0, 0.0, 0.0, 0.0], p: [p[6], p[7]] }),
        "FULL_OPENCV" => (two(p), Lens::OpenCv { k: [p[4], p[5], p[8], p[9], p[10], p[11]], p: [p[6], p[7]] }),
        "OPENCV_FISHEYE" => (two(p), Lens::Fisheye { k: [p[4], p[5], p[6], p[7]] }),
        "SIMPLE_RADIAL_FISHEYE" => (one(p), Lens::Fisheye { k: [p[3], 0.0, 0.0, 0.0] }),
        "RADIAL_FISHEYE" => (one(p), Lens::Fisheye { k: [p[3], p[4], 0.0, 0.0] }),
        _ => {
            let help = "undistort the pictures with colmap image_undistorter";
            return Err(Error::unsupported(location, format!("the camera model {model}"), help));
        }
    };
    if !(intrinsics[0] > 0.0 && intrinsics[1] > 0.0) {
        return Err(Error::invalid(location, format!("focal lengths {intrinsics:?}, expected positive"), ""));
    }
    Ok(Camera { id, size: (width as usize, height as usize), intrinsics, lens })
}
