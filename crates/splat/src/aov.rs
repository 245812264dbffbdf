//! Auxiliary pictures of Gaussians: features, normals, median depth.

use crate::Error;
use crate::composite::{ALPHA_MAX, for_pixels};
use crate::device::{features_vars, median_depth_vars, surfels_vars};
use crate::frame::{Frame, TILE};
use crate::lanes::Precision;
use crate::render::Renderer;
use crate::{Gaussians, Kernel, RenderOptions, Shutter, View};
use lumigrad_core::{Device, Tensor};
use rayon::prelude::*;
use std::f64::consts::LN_2;

/// Transmittance at which a pixel's median depth lies.
pub(crate) const MEDIAN: f64 = 0.5;

impl Renderer {
    /// Σ wᵢ fᵢ of features fᵢ, `channels` numbers per Gaussian: any number of them, of any sign, in the place of colours.
    /// The result is [H, W, channels], without a background; divide by alpha for the mean.
    ///
    /// **Cost**: a pass of compositing for every three channels.
    ///
    /// # Errors
    /// As [`Renderer::render`]; another number of features; surfels.
    pub fn features(
        &mut self,
        view: &View,
        features: &[f32],
        channels: usize,
        options: &RenderOptions,
    ) -> Result<Vec<f32>, Error> {
        if features.len() != self.len() * channels {
            return Err(Error::Length { name: "features", found: features.len(), expected: self.len() * channels });
        }
        if view.shutter != Shutter::Global {
            return self.taped(view, options, |gaussians, camera, options| {
                let own = Tensor::from_slice(&Device::cpu(), features, &[features.len() / channels.max(1), channels])?;
                features_vars(gaussians, camera, options, &own.into())
            });
        }
        self.list(view, options)?;
        let size = [view.width, view.height];
        let mut out = vec![0.0; size[0] * size[1] * channels];
        let seen: Vec<usize> = self.frame.drawn().collect();
        for first in (0..channels).step_by(3) {
            let here = first..channels.min(first + 3);
            for &gaussian in &seen {
                let row = &features[gaussian * channels..(gaussian + 1) * channels];
                self.frame.splats[gaussian].channels[..here.len()].copy_from_slice(&row[here.clone()]);
            }
            self.drawn.update(&self.frame, false, false);
            let picture = &self.drawn.picture;
            for_pixels(size, |pixel, tile, at| {
                for (plane, channel) in here.clone().enumerate() {
                    out[pixel * channels + channel] = picture[tile][plane][at];
                }
            });
        }
        Ok(out)
    }

    /// Unit normals in the camera's axes (x right, y down, z forward), towards the camera; [H, W, 3], zero where nothing is.
    /// A Gaussian's normal is its shortest axis, a surfel's its third.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn normals(&mut self, gaussians: &Gaussians, view: &View, options: &RenderOptions) -> Result<Vec<f32>, Error> {
        let rotation = |v: [f32; 3]| -> [f32; 3] {
            std::array::from_fn(|i| (0..3).map(|k| view.viewmat[i][k] * v[k]).sum::<f32>())
        };
        let of = |i: usize| {
            let (scales, mean) = (gaussians.log_scales[i], gaussians.means[i]);
            let shortest = (0..3).fold(0, |a, b| if scales[b] < scales[a] { b } else { a });
            let normal = rotation(axis(gaussians.rotations[i], shortest));
            let place = rotation(mean);
            let towards: f32 = (0..3).map(|k| normal[k] * (place[k] + view.viewmat[k][3])).sum();
            normal.map(|x| if towards > 0.0 { -x } else { x })
        };
        let mut sums: Vec<f32> = if gaussians.kernel == Kernel::Surfel {
            self.taped(view, options, |g, camera, options| surfels_vars(g, camera, options)?.slice(2, 4, 7))?
        } else {
            let all: Vec<f32> = (0..gaussians.len()).flat_map(of).collect();
            self.features(view, &all, 3, options)?
        };
        for n in sums.chunks_exact_mut(3) {
            let length = n.iter().map(|x| x * x).sum::<f32>().sqrt();
            n.iter_mut().for_each(|x| *x = if length > 1e-6 { *x / length } else { 0.0 });
        }
        Ok(sums)
    }

    /// Depth (z of the camera) of the Gaussian at which half of the light is taken, [H, W]; 0 where it never is. Unlike the
    /// mean depth it does not lie between surfaces. Of surfels it is the depth of the point that the pixel's ray meets.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn median_depth(&mut self, view: &View, options: &RenderOptions) -> Result<Vec<f32>, Error> {
        if self.is_taped(view) {
            return self.taped(view, options, median_depth_vars);
        }
        self.list(view, options)?;
        let frame = &self.frame;
        let columns = frame.tiles()[0];
        let row = |y: usize| -> Vec<f32> {
            let of = |x: usize| {
                let tile = y / TILE * columns + x / TILE;
                let list = &frame.ids[frame.starts[tile] as usize..frame.starts[tile + 1] as usize];
                let found = median(frame, list, [x as f32 + 0.5, y as f32 + 0.5]);
                found.map_or(0.0, |id| frame.splats[id as usize].channels[3])
            };
            (0..view.width).map(of).collect()
        };
        Ok((0..view.height).into_par_iter().flat_map_iter(row).collect())
    }
}

/// The splat of a list at which half of a pixel's light is taken.
pub(crate) fn median<T: Precision>(frame: &Frame<T>, list: &[u32], pixel: [T; 2]) -> Option<u32> {
    let mut left = T::ONE;
    list.iter().copied().find(|&id| {
        let splat = &frame.splats[id as usize];
        let (dx, dy) = (splat.mean[0] - pixel[0], splat.mean[1] - pixel[1]);
        let [a, b, c] = splat.quadratic;
        let power = dx * (dx * a + dy * b) + dy * dy * c + splat.log_opacity;
        if power >= frame.least {
            left -= left * (power * T::from_f64(LN_2)).exp().min(T::from_f64(ALPHA_MAX));
        }
        left < T::from_f64(MEDIAN)
    })
}

/// Column `k` of the rotation matrix of a quaternion w, x, y, z of any length.
fn axis(quaternion: [f32; 4], k: usize) -> [f32; 3] {
    let length = quaternion.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    let [w, x, y, z] = quaternion.map(|q| q / length);
    match k {
        0 => [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y)],
        1 => [2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x)],
        _ => [2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;
    use crate::render_tests::{scene, view};

    #[test]
    fn features_composite_as_colours_do() {
        let g = scene(Kernel::Classic, 0);
        let (view, options) = (view(), RenderOptions::default());
        // ½ + c₀ Y₀, which is positive here, and two channels more.
        let color = |i: usize| g.sh[i].map(|c| 0.5 + 0.282_094_79 * c);
        let features: Vec<f32> = (0..g.len()).flat_map(|i| [&color(i)[..], &[-1.0, i as f32]].concat()).collect();
        let mut renderer = Renderer::new(&g).unwrap();
        let found = renderer.features(&view, &features, 5, &options).unwrap();
        let image = render(&g, &view, &options).unwrap();
        assert!(image.alpha.iter().any(|a| *a > 0.3));
        for (pixel, row) in found.chunks_exact(5).enumerate() {
            (0..3).for_each(|c| assert!((row[c] - image.colour[pixel][c]).abs() < 1e-6));
            assert!((row[3] + image.alpha[pixel]).abs() < 1e-5 && row[4] >= 0.0);
        }
        let error = renderer.features(&view, &features[1..], 5, &options).unwrap_err().to_string();
        assert!(error.contains("features has 29 entries"), "{error}");
    }

    /// Two large flat Gaussians, the nearer one turned by 30° about the vertical axis and half transparent or not.
    fn sheets(logit: f32) -> (Gaussians, View) {
        let half = 15f32.to_radians();
        let gaussians = Gaussians {
            means: vec![[0.0, 0.0, 2.0], [0.0, 0.0, 5.0]],
            log_scales: vec![[0.5, 0.5, -6.0]; 2],
            rotations: vec![[half.cos(), 0.0, half.sin(), 0.0], [1.0, 0.0, 0.0, 0.0]],
            opacity_logits: vec![logit, 6.0],
            sh: vec![[0.0; 3]; 2],
            ..Gaussians::default()
        };
        let viewmat = std::array::from_fn(|i| std::array::from_fn(|k| (i == k) as u8 as f32));
        (
            gaussians,
            View {
                viewmat,
                intrinsics: [20.0, 20.0, 8.0, 8.0],
                width: 16,
                height: 16,
                projection: Default::default(),
                shutter: Default::default(),
            },
        )
    }

    #[test]
    fn normals_face_the_camera_and_the_median_depth_is_that_of_a_surface() {
        let options = RenderOptions::default();
        let (g, view) = sheets(6.0);
        let mut renderer = Renderer::new(&g).unwrap();
        let normals = renderer.normals(&g, &view, &options).unwrap();
        let middle = 8 * 16 + 8;
        let expected = [-(30f32.to_radians().sin()), 0.0, -(30f32.to_radians().cos())];
        for (found, expected) in normals[3 * middle..3 * middle + 3].iter().zip(expected) {
            assert!((found - expected).abs() < 0.02, "{:?}", &normals[3 * middle..3 * middle + 3]);
        }
        assert_eq!(renderer.median_depth(&view, &options).unwrap()[middle], 2.0);
        // A veil in front moves the mean, not the median.
        let (g, view) = sheets(-1.0);
        let median = Renderer::new(&g).unwrap().median_depth(&view, &options).unwrap()[middle];
        let image = render(&g, &view, &options).unwrap();
        let mean = image.depth[middle] / image.alpha[middle];
        assert!(median == 5.0 && mean > 3.5 && mean < 4.7, "{median}, {mean}");
    }
}
