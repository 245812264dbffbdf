//! Posed photographs in memory.

use super::views::camera;
use crate::run::{Event, Observer};
use crate::{Error, Result};
use lumigrad_scene::camera::View;
use lumigrad_scene::views::{Options, Points, PosedPicture, Readout, Views};
use lumigrad_splat::Shutter;
use rayon::prelude::*;
use std::path::Path;

/// A photograph with its camera, a pinhole.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Camera and size.
    pub view: View,
    /// Display-encoded colours [H·W], straight alpha.
    pub colour: Vec<[f32; 3]>,
    /// Opacities [H·W]; empty: opaque.
    pub alpha: Vec<f32>,
    /// Which pixels count [H·W], 0 to 1; empty: all.
    pub mask: Vec<f32>,
    /// Depths [H·W], 0 where unknown; empty: none is known.
    pub depth: Vec<f32>,
    /// Unit normals in the camera's axes [H·W], zeros where unknown; empty: none is known.
    pub normals: Vec<[f32; 3]>,
    /// How the camera moved while the picture was read out, where it did. Splats follow it; fields and grids take the view, the
    /// pose in the middle.
    pub readout: Option<Readout>,
}

impl Shot {
    /// The camera as the renderer of splats takes it.
    pub fn camera(&self) -> lumigrad_splat::View {
        let shutter = match self.readout {
            None => Shutter::Global,
            Some(Readout { motion, columns: false }) => Shutter::Rows(motion.map(|x| x as f32)),
            Some(Readout { motion, columns: true }) => Shutter::Columns(motion.map(|x| x as f32)),
        };
        lumigrad_splat::View { shutter, ..camera(&self.view) }
    }
}

/// A data set's name: that of its folder.
pub fn name(folder: &Path) -> Option<String> {
    let whole = folder.canonicalize().ok()?;
    whole.file_name().map(|n| n.to_string_lossy().into_owned())
}

/// Photographs to learn from, and those that are held out.
pub struct Dataset {
    /// To learn from.
    pub train: Vec<Shot>,
    /// Held out.
    pub test: Vec<Shot>,
    /// Points of a reconstruction.
    pub points: Points,
}

impl Dataset {
    /// Loads all pictures of a folder; those with lens distortion are undistorted.
    pub fn load(folder: &Path, options: &Options) -> Result<Self> {
        let views = Views::load(folder, options)?;
        let load = |list: &[PosedPicture]| list.par_iter().map(shot).collect::<Result<Vec<_>>>();
        let (train, test) = (load(&views.train)?, load(&views.test)?);
        if train.is_empty() {
            return Err(Error::file(
                folder.display(),
                "there are no pictures to train on",
                "give more than one picture",
            ));
        }
        Ok(Self { train, test, points: views.points.unwrap_or_default() })
    }

    /// The same for what follows no rolling shutters, with a warning where there are some.
    ///
    /// # Errors
    /// A folder without posed pictures, files that cannot be read.
    pub fn load_still(folder: &Path, options: &Options, observer: &mut dyn Observer) -> Result<Self> {
        observer.event(&Event::Phase("loading".into()));
        let dataset = Self::load(folder, options)?;
        let rolling = dataset.train.iter().filter(|s| s.readout.is_some()).count();
        if rolling > 0 {
            let text = format!(
                "{rolling} pictures have a rolling shutter; their cameras are taken to stand still in the middle of it"
            );
            observer.event(&Event::Warning(text));
        }
        Ok(dataset)
    }

    /// What scores are made of: held-out pictures, or all where there are none.
    pub fn scored(&self) -> &[Shot] {
        if self.test.is_empty() { &self.train } else { &self.test }
    }

    /// A sphere around what all cameras look at: the point nearest to their axes, and as much around it as they see.
    pub fn focus(&self) -> ([f64; 3], f64) {
        // Σ (I − d dᵀ) p = Σ (I − d dᵀ) c.
        let (mut m, mut b) = (glam::DMat3::ZERO, glam::DVec3::ZERO);
        for shot in &self.train {
            let d = glam::DVec3::from(axis(&shot.view));
            let away = glam::DMat3::IDENTITY - glam::DMat3::from_cols(d * d.x, d * d.y, d * d.z);
            m += away;
            b += away * glam::DVec3::from(shot.view.centre());
        }
        let point = if m.determinant().abs() > 1e-6 * (self.train.len() as f64).powi(3) {
            m.inverse() * b
        } else {
            // Axes are nearly parallel: a little in front of the cameras.
            let n = self.train.len() as f64;
            let sum =
                |f: &dyn Fn(&Shot) -> [f64; 3]| self.train.iter().map(|s| glam::DVec3::from(f(s))).sum::<glam::DVec3>();
            (sum(&|s| s.view.centre()) + sum(&|s| axis(&s.view))) / n
        };
        let seen = |shot: &Shot| {
            let half = 0.5 * shot.view.width.max(shot.view.height) as f64 / shot.view.intrinsics[0];
            (glam::DVec3::from(shot.view.centre()) - point).length() * half
        };
        let radius = self.train.iter().map(seen).sum::<f64>() / self.train.len() as f64;
        (point.into(), radius.max(1e-6))
    }
}

/// Where a camera looks.
fn axis(view: &View) -> [f64; 3] {
    [0, 1, 2].map(|k| view.viewmat[2][k])
}

fn shot(picture: &PosedPicture) -> Result<Shot> {
    let view = picture.view.clone();
    let encoded = picture.load_encoded()?;
    let pixels = encoded.data.as_chunks::<4>().0;
    let mut colour: Vec<[f32; 3]> = pixels.iter().map(|p| [p[0], p[1], p[2]]).collect();
    let mut alpha: Vec<f32> = pixels.iter().map(|p| p[3]).collect();
    let mut mask = picture.load_mask()?.unwrap_or_default();
    let mut depth = picture.load_depth()?.unwrap_or_default();
    let mut normals = picture.load_normals()?.unwrap_or_default();
    let Some((pinhole, places)) = undistorted(&view)? else {
        if alpha.iter().all(|&a| a >= 1.0) {
            alpha.clear();
        }
        return Ok(Shot { view, colour, alpha, mask, depth, normals, readout: picture.readout });
    };
    if mask.is_empty() {
        mask = vec![1.0; colour.len()];
    }
    let size = [view.width, view.height];
    let sample = |from: &dyn Fn(usize) -> f32, place: &Option<[f64; 2]>| place.map_or(0.0, |p| bilinear(from, size, p));
    colour = places.iter().map(|p| [0, 1, 2].map(|ch| sample(&|i| colour[i][ch], p))).collect();
    alpha = places.iter().map(|p| sample(&|i| alpha[i], p)).collect();
    mask = places.iter().map(|p| sample(&|i| mask[i], p)).collect();
    // Depths of two surfaces have no mean, nor have their normals.
    let nearest = |[x, y]: [f64; 2]| (y as usize).min(size[1] - 1) * size[0] + (x as usize).min(size[0] - 1);
    if !depth.is_empty() {
        depth = places.iter().map(|p| p.map_or(0.0, |p| depth[nearest(p)])).collect();
    }
    if !normals.is_empty() {
        normals = places.iter().map(|p| p.map_or([0.0; 3], |p| normals[nearest(p)])).collect();
    }
    if alpha.iter().zip(&mask).all(|(&a, &m)| a >= 0.999 || m <= 0.0) {
        alpha.clear();
    }
    Ok(Shot { view: pinhole, colour, alpha, mask, depth, normals, readout: None })
}

/// The pinhole of the same intrinsics, and for each of its pixels the place in the distorted picture, in pixels. `None` for
/// pinholes.
#[allow(clippy::type_complexity)]
fn undistorted(view: &View) -> Result<Option<(View, Vec<Option<[f64; 2]>>)>> {
    use lumigrad_scene::camera::Lens;
    match view.lens {
        Lens::Perspective => return Ok(None),
        Lens::Orthographic => {
            return Err(Error::file(
                &view.name,
                "an orthographic photograph",
                "splats are trained on perspective pictures",
            ));
        }
        _ => {}
    }
    let pinhole = View { lens: Lens::Perspective, ..view.clone() };
    let camera = View { viewmat: glam::DMat4::IDENTITY.to_cols_array_2d(), ..view.clone() };
    let [fx, fy, cx, cy] = view.intrinsics;
    let place = |i: usize| {
        let (x, y) = ((i % view.width) as f64 + 0.5, (i / view.width) as f64 + 0.5);
        let found = camera.project([(x - cx) / fx, (y - cy) / fy, 1.0])?;
        let inside =
            found[0] >= 0.0 && found[1] >= 0.0 && found[0] <= view.width as f64 && found[1] <= view.height as f64;
        inside.then_some([found[0], found[1]])
    };
    let places = (0..view.width * view.height).into_par_iter().map(place).collect();
    Ok(Some((pinhole, places)))
}

/// The value at a place in pixels, whose centres lie at +0.5.
pub fn bilinear(from: &dyn Fn(usize) -> f32, [width, height]: [usize; 2], [x, y]: [f64; 2]) -> f32 {
    let along = |x: f64, n: usize| {
        let x = (x - 0.5).clamp(0.0, (n - 1) as f64);
        let first = (x.floor() as usize).min(n.saturating_sub(2));
        (first, (first + 1).min(n - 1), (x - first as f64) as f32)
    };
    let ((x0, x1, u), (y0, y1, v)) = (along(x, width), along(y, height));
    let row = |y: usize| from(y * width + x0) * (1.0 - u) + from(y * width + x1) * u;
    row(y0) * (1.0 - v) + row(y1) * v
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_scene::camera::Lens;

    #[test]
    fn undistorted_pixels_lie_where_the_lens_puts_them() {
        let identity = glam::DMat4::IDENTITY.to_cols_array_2d();
        let (k, p) = ([-0.1, 0.02, 0.0, 0.0, 0.0, 0.0], [0.001, -0.002]);
        let view = View {
            name: "v".into(),
            viewmat: identity,
            intrinsics: [30.0, 31.0, 16.0, 12.0],
            width: 32,
            height: 24,
            lens: Lens::OpenCv { k, p },
            near: 0.0,
            far: f64::INFINITY,
        };
        let (pinhole, places) = undistorted(&view).unwrap().unwrap();
        assert_eq!(pinhole.lens, Lens::Perspective);
        // OpenCV's formula by hand, pixel (20, 5).
        let (x, y) = ((20.5 - 16.0) / 30.0, (5.5 - 12.0) / 31.0f64);
        let r2 = x * x + y * y;
        let radial = 1.0 - 0.1 * r2 + 0.02 * r2 * r2;
        let u = x * radial + 2.0 * 0.001 * x * y - 0.002 * (r2 + 2.0 * x * x);
        let v = y * radial + 0.001 * (r2 + 2.0 * y * y) + 2.0 * -0.002 * x * y;
        let found = places[5 * 32 + 20].unwrap();
        assert!((found[0] - (30.0 * u + 16.0)).abs() < 1e-9 && (found[1] - (31.0 * v + 12.0)).abs() < 1e-9);
        // A ramp along x is read as the place itself.
        let ramp = bilinear(&|i| (i % 32) as f32 + 0.5, [32, 24], found);
        assert!((ramp as f64 - found[0]).abs() < 1e-4);
    }
}
