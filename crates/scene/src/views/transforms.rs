//! `transforms.json` data sets: NeRF-synthetic, instant-ngp and nerfstudio dialects; and writing them.

use super::locate::Locator;
use super::{DepthMap, Found, NormalMap, NormalSpace, Points, PosedPicture, Readout};
use crate::camera::{Lens, View};
use crate::{Error, Result, formats, write_atomically};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// What a step of 16-bit depths stands for where the file does not tell.
const MILLIMETRE: f64 = 1e-3;

/// Camera fields: global, or in a frame, where they win.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Camera {
    camera_angle_x: Option<f64>,
    camera_angle_y: Option<f64>,
    fl_x: Option<f64>,
    fl_y: Option<f64>,
    cx: Option<f64>,
    cy: Option<f64>,
    w: Option<f64>,
    h: Option<f64>,
    k1: Option<f64>,
    k2: Option<f64>,
    k3: Option<f64>,
    k4: Option<f64>,
    k5: Option<f64>,
    k6: Option<f64>,
    p1: Option<f64>,
    p2: Option<f64>,
    camera_model: Option<String>,
    is_fisheye: Option<bool>,
    rolling_shutter: Option<String>,
}

/// Fields of a frame besides its camera.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(default)]
    file_path: String,
    transform_matrix: Vec<Vec<f64>>,
    /// The pose at the last line of a rolling shutter; `transform_matrix` is that at the first.
    transform_matrix_end: Option<Vec<Vec<f64>>>,
    mask_path: Option<String>,
    depth_file_path: Option<String>,
    normal_file_path: Option<String>,
}

/// Fields of the file besides frames and camera. `applied_transform` needs no reading: poses and points have it already.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    frames: Vec<Value>,
    ply_file_path: Option<String>,
    depth_unit_scale_factor: Option<f64>,
    normal_space: Option<String>,
    train_filenames: Option<Vec<String>>,
    val_filenames: Option<Vec<String>>,
    test_filenames: Option<Vec<String>>,
}

pub(super) fn is_present(dir: &Path) -> bool {
    ["transforms_train.json", "transforms.json"].iter().any(|name| dir.join(name).is_file())
}

pub(super) fn load(locator: &Locator) -> Result<Found> {
    let dir = locator.root;
    let mut found = Found { pictures: Vec::new(), points: None };
    let split = |name: &str| dir.join(format!("transforms_{name}.json"));
    if !split("train").is_file() {
        load_file(locator, &dir.join("transforms.json"), None, &mut found)?;
        return Ok(found);
    }
    // Pictures for validation are held out where there are none for the test, and left alone where there are.
    let held_out = ["test", "val"].map(split).into_iter().find(|p| p.is_file());
    load_file(locator, &split("train"), held_out.is_some().then_some(false), &mut found)?;
    if let Some(path) = held_out {
        load_file(locator, &path, Some(true), &mut found)?;
    }
    Ok(found)
}

fn wrong(location: String, e: serde_json::Error) -> Error {
    Error::invalid(location, e.to_string(), "expected a transforms.json")
}

/// The camera fields of a file, and its others.
fn parse(path: &Path) -> Result<(Camera, Document)> {
    let file = path.display();
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let root: Value =
        serde_json::from_slice(&bytes).map_err(|e| wrong(format!("{file}:{}:{}", e.line(), e.column()), e))?;
    let common = Camera::deserialize(&root).map_err(|e| wrong(file.to_string(), e))?;
    Ok((common, Document::deserialize(&root).map_err(|e| wrong(file.to_string(), e))?))
}

/// The cameras of a `transforms.json`, lenses included; its pictures are not looked at. Frames that do not tell their size
/// have `size`; they are named by the stems of their pictures, or numbered.
///
/// # Errors
/// Files that are missing or damaged, or hold no frame.
pub fn load_cameras(path: &Path, size: (usize, usize)) -> Result<Vec<View>> {
    let (common, document) = parse(path)?;
    if document.frames.is_empty() {
        return Err(Error::invalid(path.display().to_string(), "no frames", "expected a transforms.json"));
    }
    let camera = |(i, value): (usize, &Value)| {
        let location = format!("{}#/frames/{i}", path.display());
        let frame = Frame::deserialize(value).map_err(|e| wrong(location.clone(), e))?;
        let own = Camera::deserialize(value).map_err(|e| wrong(location.clone(), e))?;
        let stem = Path::new(&frame.file_path).file_stem().map(|s| s.to_string_lossy().into_owned());
        let (view, _) = moving(&frame, &own, &common, size, &location)?;
        Ok(View { name: stem.unwrap_or_else(|| format!("frame_{i:04}")), ..view })
    };
    document.frames.iter().enumerate().map(camera).collect()
}

fn load_file(locator: &Locator, path: &Path, held_out: Option<bool>, found: &mut Found) -> Result<()> {
    let file = path.display();
    let (common, document) = parse(path)?;
    let space = document.normal_space(&file.to_string())?;
    for (i, value) in document.frames.iter().enumerate() {
        let location = format!("{file}#/frames/{i}");
        let frame = Frame::deserialize(value).map_err(|e| wrong(location.clone(), e))?;
        let own = Camera::deserialize(value).map_err(|e| wrong(location.clone(), e))?;
        if frame.file_path.is_empty() {
            return Err(Error::invalid(location, "missing field `file_path`", "expected a transforms.json"));
        }
        let place = locator.require(Path::new(&frame.file_path), &location)?;
        let measured = (place.size.0 * place.reduction, place.size.1 * place.reduction);
        let (view, readout) = moving(&frame, &own, &common, measured, &location)?;
        let mask = frame.mask_path.as_ref().map(|m| locator.root.join(m)).filter(|m| m.is_file());
        if let (Some(name), None) = (&frame.mask_path, &mask) {
            return Err(Error::invalid(location, format!("mask {name} does not exist"), ""));
        }
        let held_out = held_out.or_else(|| document.split(&frame.file_path));
        let beside = |what: &str, name: &str| match locator.root.join(name) {
            path if path.is_file() => Ok(path),
            _ => Err(Error::invalid(&location, format!("{what} {name} does not exist"), "")),
        };
        let unit = document.depth_unit_scale_factor.unwrap_or(MILLIMETRE);
        let depth = frame.depth_file_path.as_ref().map(|name| beside("depth map", name));
        let depth = depth.transpose()?.map(|path| DepthMap { path, unit });
        let normals = frame.normal_file_path.as_ref().map(|name| beside("normal map", name));
        let normals = normals.transpose()?.map(|path| NormalMap { path, space });
        let picture = locator.pose(view, place, mask, &location)?;
        found.pictures.push((PosedPicture { depth, normals, readout, ..picture }, held_out));
    }
    if let Some(name) = &document.ply_file_path {
        let cloud = formats::ply::load(&locator.root.join(name))?;
        let grey = || vec![[0.5; 3]; cloud.positions.len()];
        let colors = cloud.colors.clone().unwrap_or_else(grey);
        found.points.get_or_insert(Points { positions: cloud.positions, colors });
    }
    Ok(())
}

impl Document {
    /// What numbers of normal maps mean.
    fn normal_space(&self, file: &str) -> Result<NormalSpace> {
        let Some(name) = &self.normal_space else { return Ok(NormalSpace::default()) };
        let known = NormalSpace::NAMES.iter().find(|(n, _)| n == name).map(|(_, space)| *space);
        let help = "expected opencv, opengl (axes of the camera) or world";
        known.ok_or_else(|| Error::invalid(file, format!("normal_space is {name:?}"), help))
    }

    fn split(&self, name: &str) -> Option<bool> {
        let lists = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| l.iter().any(|n| n == name));
        let held_out = self.test_filenames.as_ref().or(self.val_filenames.as_ref())?;
        self.train_filenames.as_ref()?;
        Some(held_out.iter().any(|n| n == name) && !lists(&self.train_filenames))
    }
}

/// The view of a frame, in the middle of the readout where its shutter rolls.
fn moving(
    frame: &Frame,
    own: &Camera,
    common: &Camera,
    measured: (usize, usize),
    location: &str,
) -> Result<(View, Option<Readout>)> {
    let of = |rows, name| view((rows, name), own, common, measured, location);
    let first = of(&frame.transform_matrix, "transform_matrix")?;
    let Some(rows) = &frame.transform_matrix_end else { return Ok((first, None)) };
    let last = of(rows, "transform_matrix_end")?;
    if first.lens != Lens::Perspective {
        let message = "a rolling shutter behind a lens that distorts";
        let help = "leave transform_matrix_end out where the camera hardly moves";
        return Err(Error::unsupported(location, message, help));
    }
    let way = own.rolling_shutter.as_deref().or(common.rolling_shutter.as_deref()).unwrap_or("top_to_bottom");
    let found = Readout::between(&first, &last, way);
    let help = || format!("expected {}", Readout::ways());
    let (middle, readout) =
        found.ok_or_else(|| Error::invalid(location, format!("rolling_shutter is {way:?}"), help()))?;
    Ok((middle, Some(readout)))
}

fn view(
    (rows, name): (&Vec<Vec<f64>>, &str),
    own: &Camera,
    common: &Camera,
    measured: (usize, usize),
    location: &str,
) -> Result<View> {
    let wrong = |message: String, help: &str| Err(Error::invalid(location, message, help));
    if !(3..=4).contains(&rows.len()) || rows.iter().any(|row| row.len() != 4) {
        return wrong(format!("{name} is not 3×4 or 4×4"), "");
    }
    let matrix =
        std::array::from_fn(|r| rows.get(r).map_or([0.0, 0.0, 0.0, 1.0], |row| [row[0], row[1], row[2], row[3]]));
    let pick = |field: fn(&Camera) -> Option<f64>| field(own).or_else(|| field(common));
    let w = pick(|c| c.w).unwrap_or(measured.0 as f64);
    let h = pick(|c| c.h).unwrap_or(measured.1 as f64);
    if !((1.0..1e6).contains(&w) && (1.0..1e6).contains(&h)) {
        return wrong(format!("picture size w = {w}, h = {h}"), "expected sizes in pixels");
    }
    let from_angle = |angle: Option<f64>, size: f64| angle.map(|a| 0.5 * size / (0.5 * a).tan());
    let (angle_x, angle_y) = (pick(|c| c.camera_angle_x), pick(|c| c.camera_angle_y));
    let fx = pick(|c| c.fl_x).or_else(|| from_angle(angle_x, w));
    let fy = pick(|c| c.fl_y)
        .or_else(|| if fx.is_some() && pick(|c| c.fl_x).is_none() { None } else { from_angle(angle_y, h) });
    let (Some(fx), Some(fy)) = (fx.or(fy), fy.or(fx)) else {
        return wrong("no focal length".into(), "expected camera_angle_x, or fl_x and fl_y");
    };
    let intrinsics = [fx, fy, pick(|c| c.cx).unwrap_or(0.5 * w), pick(|c| c.cy).unwrap_or(0.5 * h)];
    if intrinsics.iter().any(|x| !x.is_finite()) || fx <= 0.0 || fy <= 0.0 {
        return wrong(format!("intrinsics {intrinsics:?}"), "expected finite numbers and positive focal lengths");
    }
    let size = (w.round() as usize, h.round() as usize);
    let view = View::from_opengl(location, matrix, intrinsics, size)?;
    Ok(View { lens: lens(own, common, location)?, ..view })
}

fn lens(own: &Camera, common: &Camera, location: &str) -> Result<Lens> {
    let pick = |field: fn(&Camera) -> Option<f64>| field(own).or_else(|| field(common)).unwrap_or(0.0);
    let k = [pick(|c| c.k1), pick(|c| c.k2), pick(|c| c.k3), pick(|c| c.k4), pick(|c| c.k5), pick(|c| c.k6)];
    let p = [pick(|c| c.p1), pick(|c| c.p2)];
    let model = own.camera_model.as_deref().or(common.camera_model.as_deref()).unwrap_or("OPENCV");
    let fisheye = own.is_fisheye.or(common.is_fisheye).unwrap_or(false);
    let lens = match model {
        "OPENCV_FISHEYE" => Lens::Fisheye { k: [k[0], k[1], k[2], k[3]] },
        "OPENCV" if fisheye => Lens::Fisheye { k: [k[0], k[1], k[2], k[3]] },
        "PINHOLE" | "SIMPLE_PINHOLE" => Lens::Perspective,
        "OPENCV" | "FULL_OPENCV" | "SIMPLE_RADIAL" | "RADIAL" if k == [0.0; 6] && p == [0.0; 2] => Lens::Perspective,
        "OPENCV" | "FULL_OPENCV" | "SIMPLE_RADIAL" | "RADIAL" => Lens::OpenCv { k, p },
        other => {
            let help = "undistort the pictures to PINHOLE";
            return Err(Error::unsupported(location, format!("camera_model {other}"), help));
        }
    };
    if k.iter().chain(&p).any(|x| !x.is_finite()) {
        return Err(Error::invalid(location, format!("distortion {k:?} {p:?} is not finite"), ""));
    }
    Ok(lens)
}

/// Writes `path`, a `transforms.json` that [`super::Views::load`], instant-ngp and nerfstudio read: one frame per view,
/// `file_path` is the view's name with `ending` (for example `.png`, or nothing), all camera fields in each frame.
///
/// # Errors
/// An orthographic view, which the format cannot hold; what the operating system refuses.
pub fn save_transforms<'a>(path: &Path, views: impl IntoIterator<Item = &'a View>, ending: &str) -> Result<()> {
    let mut frames = Vec::new();
    for view in views {
        let [fx, fy, cx, cy] = view.intrinsics;
        let mut frame = json!({
            "file_path": format!("{}{ending}", view.name),
            "w": view.width, "h": view.height, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy,
            "camera_angle_x": 2.0 * (0.5 * view.width as f64 / fx).atan(),
        });
        let (model, distortion) = match view.lens {
            Lens::Perspective => ("PINHOLE", Vec::new()),
            Lens::OpenCv { k, p } => {
                let rational = k[3..] != [0.0; 3];
                let names = ["k1", "k2", "k3", "k4", "k5", "k6"];
                let radial = names.into_iter().zip(k).take(if rational { 6 } else { 3 });
                (if rational { "FULL_OPENCV" } else { "OPENCV" }, radial.chain([("p1", p[0]), ("p2", p[1])]).collect())
            }
            Lens::Fisheye { k } => ("OPENCV_FISHEYE", ["k1", "k2", "k3", "k4"].into_iter().zip(k).collect()),
            Lens::Orthographic => {
                let location = format!("{}: view {}", path.display(), view.name);
                return Err(Error::unsupported(location, "an orthographic camera in transforms.json", ""));
            }
        };
        frame["camera_model"] = model.into();
        distortion.into_iter().for_each(|(name, value)| frame[name] = value.into());
        frame["transform_matrix"] = json!(view.to_opengl());
        frames.push(frame);
    }
    // The dialects that read no cameras in frames still find the first one's angle.
    let angle = frames.first().map_or(Value::Null, |f| f["camera_angle_x"].clone());
    let mut root = json!({ "frames": frames });
    if !angle.is_null() {
        root["camera_angle_x"] = angle;
    }
    let text = serde_json::to_string_pretty(&root).map_err(|e| Error::invalid(path.display(), e.to_string(), ""))?;
    write_atomically(path, text.as_bytes())
}
