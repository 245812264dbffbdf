//! A picture that a creation must look like from one side.

use super::keys::CreateKeys;
use super::model::Model;
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_guidance::distill::AngularBounds;
use lumigrad_guidance::{View as Direction, combine};
use lumigrad_scene::picture::Picture;
use std::path::Path;

/// Rows and columns that renders are compared at, at least.
const SIDE: usize = 128;
/// Part of the picture's side that what is opaque fills: what Gaussians begin in.
const FILLED: f64 = 0.76;
/// Opacity that is of the thing.
const SOLID: f32 = 0.5;
/// Places along a pixel's side that are averaged.
const PLACES: usize = 4;
/// How loud the prior is: all of it where the bound is above 1, which is where η falls below ¾.
const LOUDEST: AngularBounds = AngularBounds { upper: [4.0; 2], lower: [0.0; 2] };

/// What a thing looks like from one direction.
pub struct Reference {
    /// From where.
    pub direction: Direction,
    /// Rows and columns.
    pub side: usize,
    /// [1, side, side, 3] over white, display-encoded.
    picture: Tensor,
    /// Of the squared difference, at the resolution of the prior.
    weight: f64,
}

/// The direction of a job's picture, and of what is the front where there is none: +Z.
///
/// # Errors
/// Elevations that there are not.
pub fn front(job: &CreateKeys) -> Result<Direction> {
    if job.image_elevation.abs() < 90.0 {
        return Ok(Direction { azimuth: 0.0, elevation: job.image_elevation.to_radians() });
    }
    let message = format!("{} degrees above the horizon", job.image_elevation);
    Err(Error::usage("--image-elevation", message, "more than -90 and less than 90"))
}

impl Reference {
    /// The picture that a job names. What is opaque of it is placed in the middle of what cameras see; a picture without
    /// transparency is taken as it is.
    ///
    /// # Errors
    /// Files that are no pictures, or have nothing opaque.
    pub fn new(job: &CreateKeys, prior_side: usize, device: &Device) -> Result<Option<Self>> {
        let Some(path) = &job.image else { return Ok(None) };
        let side = SIDE.max(prior_side);
        let picture = placed(Picture::load(path)?, side, path)?;
        Ok(Some(Self {
            direction: front(job)?,
            picture: Tensor::from_slice(device, &picture, &[1, side, side, 3])?,
            weight: job.image_weight * (prior_side * prior_side) as f64 / (side * side) as f64,
            side,
        }))
    }

    /// Half of the weighted squared difference of renders [1, side, side, 3]: its derivative at a pixel of the prior's size is the
    /// weighted difference, as a pull is.
    ///
    /// # Errors
    /// Shapes.
    pub fn loss(&self, renders: &Var) -> Result<Var> {
        let off = renders.sub(&self.picture.clone().into())?;
        Ok(off.square()?.sum()?.scale(0.5 * self.weight)?)
    }

    /// Pulls at views from some directions, weaker where the picture knows better: by (1 − η)/¼ near its direction, η = (1 + cos
    /// angle)/2 (the upper bound of Shen et al. 2024, Vista3D, with one prior).
    ///
    /// # Errors
    /// Shapes.
    pub fn quieter(&self, pull: &Tensor, directions: &[Direction]) -> Result<Tensor> {
        let factor = |d: &Direction| LOUDEST.at(0.0, 0.5 * (1.0 + d.cosine(self.direction)))[1].min(1.0);
        let factors: Vec<f64> = directions.iter().map(factor).collect();
        Ok(combine(&[(&pull.clone().into(), &factors)])?.tensor().clone())
    }

    /// What a model looks like from there, [side, side, 3].
    ///
    /// # Errors
    /// Those of the renderer.
    pub fn seen(&self, model: &dyn Model) -> Result<Vec<f32>> {
        Ok(model.renders(&[self.direction], self.side)?.to_vec()?)
    }

    /// The picture's values.
    ///
    /// # Errors
    /// Those of the device.
    pub fn pixels(&self) -> Result<Vec<f32>> {
        Ok(self.picture.to_vec()?)
    }
}

/// A picture over white, display-encoded, with what is opaque in the middle of `side` × `side` pixels.
fn placed(picture: Picture, side: usize, path: &Path) -> Result<Vec<f32>> {
    let picture = picture.into_srgb().into_rgba();
    let (w, h) = (picture.width, picture.height);
    let mut bounds = [w, h, 0, 0];
    for (i, _) in picture.data.chunks_exact(4).enumerate().filter(|(_, pixel)| pixel[3] > SOLID) {
        let (x, y) = (i % w, i / w);
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x + 1), bounds[3].max(y + 1)];
    }
    let [left, top, right, bottom] = bounds.map(|b| b as f64);
    if right <= left {
        return Err(Error::file(path.display(), "nothing of it is opaque", "a picture whose thing is opaque"));
    }
    let cut = right - left < w as f64 || bottom - top < h as f64;
    let filled = if cut { FILLED } else { 1.0 };
    let scale = (right - left).max(bottom - top) / (filled * side as f64);
    let from = [0.5 * (left + right), 0.5 * (top + bottom)].map(|middle| middle - 0.5 * scale * side as f64);
    let shown = picture.over([1.0; 3]).data;
    let mut out = Vec::with_capacity(side * side * 3);
    for (x, y) in (0..side).flat_map(|y| (0..side).map(move |x| (x, y))) {
        let mut sum = [0.0f32; 3];
        for k in 0..PLACES * PLACES {
            let place = |p: usize, k: usize| (p as f64 + (k as f64 + 0.5) / PLACES as f64) * scale;
            let (u, v) = (from[0] + place(x, k % PLACES), from[1] + place(y, k / PLACES));
            let inside = u >= 0.0 && v >= 0.0 && u < w as f64 && v < h as f64;
            let at = if inside { Some(3 * (v as usize * w + u as usize)) } else { None };
            let colour = at.map_or([1.0; 3], |at| [0, 1, 2].map(|c| shown[at + c].clamp(0.0, 1.0)));
            sum.iter_mut().zip(colour).for_each(|(sum, c)| *sum += c);
        }
        out.extend(sum.map(|s| s / (PLACES * PLACES) as f32));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_scene::picture::Transfer;

    #[test]
    fn what_is_opaque_is_in_the_middle_over_white() {
        // A red block of 10 x 4 pixels in a corner.
        let (w, h) = (40, 20);
        let pixel = |i: usize| if i % w < 10 && i / w < 4 { [1.0, 0.0, 0.0, 1.0] } else { [0.3, 0.9, 0.1, 0.0] };
        let data = (0..w * h).flat_map(pixel).collect();
        let picture =
            Picture { width: w, height: h, channels: 4, data, transfer: Transfer::Srgb, premultiplied: false };
        let out = placed(picture.clone(), 100, Path::new("red.png")).unwrap();
        let at = |x: usize, y: usize| [0, 1, 2].map(|c| out[(y * 100 + x) * 3 + c]);
        let red = |x, y| at(x, y) == [1.0, 0.0, 0.0];
        // 76 x 30.4 pixels around the middle.
        assert!(red(13, 50) && red(86, 50) && red(50, 36) && red(50, 63));
        for (x, y) in [(11, 50), (88, 50), (50, 33), (50, 66), (0, 0), (99, 99)] {
            assert_eq!(at(x, y), [1.0; 3], "{x} {y}");
        }
        let clear = Picture { data: vec![0.0; w * h * 4], ..picture.clone() };
        assert!(placed(clear, 10, Path::new("clear.png")).unwrap_err().to_string().contains("nothing of it is opaque"));
        // Without transparency all of it is the picture.
        let plain = Picture { width: 2, height: 1, channels: 1, data: vec![0.2, 0.8], ..picture };
        let out = placed(plain, 4, Path::new("grey.png")).unwrap();
        let middle = [out[0], out[12], out[15], out[18], out[21]];
        assert!(middle.iter().zip([1.0, 0.2, 0.2, 0.8, 0.8]).all(|(a, b)| (a - b).abs() < 1e-6), "{middle:?}");
    }
}
