//! Pictures of cameras with distorting lenses, resampled from those of a pinhole.

use crate::train::bilinear;
use glam::DMat4;
use lumigrad_scene::camera::{Lens, View};
use rayon::prelude::*;

/// Pixels of the pinhole for one of the lens, along an axis.
const FINER: f64 = 1.5;
/// Tangent of the largest angle to the axis that a pinhole shows: 76°. Beyond, pictures are empty.
const WIDEST: f64 = 4.0;
/// Longest side of the pinhole's picture.
const LARGEST: f64 = 8192.0;

/// A pinhole at the place of a camera whose lens distorts.
pub struct ThroughLens {
    /// It sees all that the camera does, up to 76° from the axis.
    pub pinhole: View,
    /// For each pixel of the camera its place in the pinhole's picture, in pixels.
    places: Vec<Option<[f64; 2]>>,
}

impl ThroughLens {
    /// `None` where the camera is a pinhole itself, or orthographic.
    pub fn new(view: &View) -> Option<Self> {
        if matches!(view.lens, Lens::Perspective | Lens::Orthographic) {
            return None;
        }
        let camera = View { viewmat: DMat4::IDENTITY.to_cols_array_2d(), ..view.clone() };
        let ray = |i: usize| {
            let pixel = [(i % view.width) as f64 + 0.5, (i / view.width) as f64 + 0.5];
            let [x, y, _] = camera.unproject(pixel, 1.0)?;
            (x.abs() <= WIDEST && y.abs() <= WIDEST).then_some([x, y])
        };
        let rays: Vec<Option<[f64; 2]>> = (0..view.width * view.height).into_par_iter().map(ray).collect();
        let (mut low, mut high) = ([0.0f64; 2], [0.0f64; 2]);
        for ray in rays.iter().flatten() {
            for k in 0..2 {
                (low[k], high[k]) = (low[k].min(ray[k]), high[k].max(ray[k]));
            }
        }
        let focal = [0, 1].map(|k| (FINER * view.intrinsics[k]).min(LARGEST / (high[k] - low[k]).max(1e-9)));
        // A pixel more on each side.
        let size = [0, 1].map(|k| ((high[k] - low[k]) * focal[k]).ceil() as usize + 3);
        let centre = [0, 1].map(|k| 1.5 - low[k] * focal[k]);
        let places = rays.iter().map(|r| r.map(|r| [0, 1].map(|k| focal[k] * r[k] + centre[k]))).collect();
        let intrinsics = [focal[0], focal[1], centre[0], centre[1]];
        let pinhole = View { intrinsics, width: size[0], height: size[1], lens: Lens::Perspective, ..view.clone() };
        Some(Self { pinhole, places })
    }

    /// The camera's picture from the pinhole's [H · W, `channels`], premultiplied colours; zeros where it shows nothing.
    pub fn resample(&self, data: &[f32], channels: usize) -> Vec<f32> {
        let size = [self.pinhole.width, self.pinhole.height];
        let pixel = |place: &Option<[f64; 2]>| -> Vec<f32> {
            let value = |ch: usize| place.map_or(0.0, |p| bilinear(&|i| data[i * channels + ch], size, p));
            (0..channels).map(value).collect()
        };
        self.places.par_iter().flat_map_iter(pixel).collect()
    }

    /// As [`Self::resample`], of the nearest pixels: depths, normals and numbers of different surfaces have no mean.
    pub fn nearest(&self, data: &[f32], channels: usize) -> Vec<f32> {
        let [width, height] = [self.pinhole.width, self.pinhole.height];
        let pixel = |place: &Option<[f64; 2]>| -> Vec<f32> {
            let Some([x, y]) = *place else { return vec![0.0; channels] };
            let first = channels * ((y as usize).min(height - 1) * width + (x as usize).min(width - 1));
            data[first..first + channels].to_vec()
        };
        self.places.par_iter().flat_map_iter(pixel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_show_what_lies_on_their_rays() {
        let opencv = Lens::OpenCv { k: [-0.2, 0.05, 0.0, 0.0, 0.0, 0.0], p: [0.002, -0.001] };
        for lens in [opencv, Lens::Fisheye { k: [0.02, -0.01, 0.0, 0.0] }] {
            let viewmat = DMat4::IDENTITY.to_cols_array_2d();
            let view = View {
                name: "lens".into(),
                viewmat,
                intrinsics: [30.0, 32.0, 20.5, 16.0],
                width: 40,
                height: 32,
                lens,
                near: 0.01,
                far: 100.0,
            };
            let through = ThroughLens::new(&view).unwrap();
            // The pinhole's picture is a plane at distance 1, painted with its own coordinates.
            let (pinhole, mut plane) = (&through.pinhole, vec![]);
            for i in 0..pinhole.width * pinhole.height {
                let pixel = [(i % pinhole.width) as f64 + 0.5, (i / pinhole.width) as f64 + 0.5];
                plane.extend(pinhole.unproject(pixel, 1.0).unwrap().map(|x| x as f32));
            }
            let seen = through.resample(&plane, 3);
            for (i, p) in seen.as_chunks::<3>().0.iter().enumerate() {
                let found = view.project(p.map(f64::from)).unwrap();
                let pixel = [(i % 40) as f64 + 0.5, (i / 40) as f64 + 0.5];
                assert!((0..2).all(|k| (found[k] - pixel[k]).abs() < 1e-3), "{lens:?}: {found:?} at {pixel:?}");
            }
        }
        let pinhole = View { lens: Lens::Perspective, ..ThroughLens::new(&wide()).unwrap().pinhole };
        assert!(ThroughLens::new(&pinhole).is_none());
    }

    /// 200° of a fisheye: its rim cannot be a pinhole's.
    fn wide() -> View {
        let viewmat = DMat4::IDENTITY.to_cols_array_2d();
        let intrinsics = [10.0, 10.0, 20.0, 20.0];
        let lens = Lens::Fisheye { k: [0.0; 4] };
        View { name: "wide".into(), viewmat, intrinsics, width: 40, height: 40, lens, near: 0.01, far: 100.0 }
    }

    #[test]
    fn what_no_pinhole_shows_is_empty() {
        let through = ThroughLens::new(&wide()).unwrap();
        let ones = vec![1.0; through.pinhole.width * through.pinhole.height];
        let seen = through.resample(&ones, 1);
        assert_eq!((seen[0], seen[20 * 40 + 20]), (0.0, 1.0));
        assert!(through.pinhole.width < 200, "{}", through.pinhole.width);
    }
}
