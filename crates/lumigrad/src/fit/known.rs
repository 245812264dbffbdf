//! What a Poisson job knows of the wanted picture: derivatives everywhere, or within a mask and colours elsewhere.

use super::poisson::FitPoissonJob;
use super::{image, slopes};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor};
use lumigrad_scene::picture::Picture;
use std::path::Path;

/// What a composition is made of.
pub struct Composition {
    /// The picture that is set in.
    pub source: Picture,
    /// Pixels where it is.
    pub inside: Vec<bool>,
    /// Weight of the picture's colours elsewhere.
    pub value_weight: f64,
    /// Gradient of the picture that is composed into, [pixels, channels, 2].
    pub gradient: Vec<f32>,
}

/// What is known of the wanted picture.
pub struct Known {
    /// The picture itself, or the one that is composed into.
    pub picture: Picture,
    /// Where two are composed.
    pub composition: Option<Composition>,
    /// Laplacians are known, not gradients.
    pub laplacian: bool,
    /// [pixels, channels · axes], 0 outside of a mask.
    pub slopes: Vec<f32>,
    /// Mean square of a pixel's slopes.
    pub slope_scale: f64,
}

/// Points of a step, a rectangle of pixels, and what is known there.
#[derive(Clone)]
pub struct Batch {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Coordinates, [N, 2].
    pub points: Tensor,
    /// Wanted slopes along each axis, or the wanted Laplacian, [N, channels] each.
    pub slopes: Vec<Tensor>,
    /// Weights of their errors, and of values with these, where pictures are composed.
    pub values: Option<[Tensor; 3]>,
}

impl Known {
    /// Reads pictures and takes their derivatives.
    ///
    /// # Errors
    /// Pictures that cannot be read or are of several sizes; a mask that is all bright or all dark.
    pub fn load(path: &Path, job: &FitPoissonJob) -> Result<Self> {
        let load = |path: &Path| image::opaque(path, job.max_size);
        let same = |p: &Path, own: (usize, usize), other: (usize, usize)| match own == other {
            true => Ok(()),
            false => {
                let message = format!("{}x{}, {} has {}x{}", own.0, own.1, path.display(), other.0, other.1);
                Err(Error::file(p.display(), message, "give pictures of one size"))
            }
        };
        let mut picture = load(path)?;
        let laplacian = job.from == "laplacian";
        let composition = match (&job.source, &job.mask) {
            (None, None) if job.mixed => {
                return Err(Error::usage("--mixed", "there is nothing to mix", "give --source and --mask"));
            }
            (None, None) => None,
            (Some(from), Some(mask)) => {
                for p in [from, mask] {
                    same(p, Picture::dimensions(p)?, Picture::dimensions(path)?)?;
                }
                let source;
                (source, picture) = image::alike(load(from)?, picture);
                let bright = load(mask)?;
                let n = bright.channels;
                let inside: Vec<bool> =
                    bright.data.chunks_exact(n).map(|p| p.iter().sum::<f32>() > 0.5 * n as f32).collect();
                if inside.iter().all(|&i| i == inside[0]) {
                    let all = if inside[0] { "bright" } else { "dark" };
                    let help = "make it bright where the source is to be and dark where the picture is to stay";
                    return Err(Error::file(mask.display(), format!("all of the mask is {all}"), help));
                }
                let gradient = slopes::derivatives(&picture, false);
                Some(Composition { source, inside, value_weight: job.value_weight, gradient })
            }
            _ => return Err(Error::usage("--source", "a source and a mask go together", "give --source and --mask")),
        };
        let mut slopes = slopes::derivatives(composition.as_ref().map_or(&picture, |c| &c.source), laplacian);
        let row = slopes.len() / (picture.width * picture.height);
        if let Some(c) = &composition {
            let own = if job.mixed { slopes::derivatives(&picture, laplacian) } else { vec![] };
            let per = row / picture.channels;
            let strength = |s: &[f32]| s.iter().map(|x| x * x).sum::<f32>();
            for (k, slope) in slopes.chunks_exact_mut(per).enumerate() {
                if !c.inside[k / picture.channels] {
                    slope.fill(0.0);
                } else if let Some(own) = own.get(k * per..(k + 1) * per)
                    && strength(own) > strength(slope)
                {
                    slope.copy_from_slice(own);
                }
            }
        }
        let n = composition.as_ref().map_or(slopes.len() / row, |c| c.inside.iter().filter(|&&i| i).count());
        let sum: f64 = slopes.iter().map(|&x| (x as f64).powi(2)).sum();
        // A flat picture has no scale of its own.
        let slope_scale = if sum > 0.0 { sum / n as f64 } else { 1.0 };
        Ok(Self { picture, composition, laplacian, slopes, slope_scale })
    }

    /// Derivatives of a pixel.
    pub fn row(&self) -> usize {
        self.picture.channels * if self.laplacian { 1 } else { 2 }
    }

    /// Whether derivatives are known at a pixel, not colours.
    pub fn is_inside(&self, pixel: usize) -> bool {
        self.composition.as_ref().is_none_or(|c| c.inside[pixel])
    }

    /// What is known in a rectangle whose first pixel is `origin`; beyond the picture's edges it begins anew.
    ///
    /// Points are the pixels' centres; where two pictures are composed, anywhere in the pixels by `draw` of a number, so that a
    /// field cannot jump between the last pixel outside of a mask and the first one inside.
    pub fn rectangle(
        &self,
        places: &[f32],
        [origin, size]: [[usize; 2]; 2],
        draw: impl Fn(u64) -> f64,
        device: &Device,
    ) -> Result<Batch> {
        let channels = self.picture.channels;
        let (w, h) = (self.picture.width, self.picture.height);
        let row = |y: usize| (0..size[1]).map(move |x| (origin[0] + y) % h * w + (origin[1] + x) % w);
        let pixels: Vec<usize> = (0..size[0]).flat_map(row).collect();
        let pixel = 2.0 / w.max(h) as f64;
        let moves = if self.composition.is_some() { pixel } else { 0.0 };
        let shift = |k: u64| (moves * (draw(k) - 0.5)) as f32;
        let shifts: Vec<[f32; 2]> = (0..pixels.len() as u64).map(|k| [shift(2 * k), shift(2 * k + 1)]).collect();
        let tensor = |values: Vec<f32>, width: usize| Tensor::from_slice(device, &values, &[pixels.len(), width]);
        let axes = self.row() / channels;
        let slopes = (0..axes).map(|axis| {
            let of = |&p: &usize| (0..channels).map(move |c| self.slopes[(p * channels + c) * axes + axis]);
            tensor(pixels.iter().flat_map(of).collect(), channels)
        });
        let slopes = slopes.collect::<lumigrad_core::Result<_>>()?;
        let values = self.composition.as_ref().map(|c| {
            let each = |inside: f32, outside: f32| {
                let of =
                    move |&p: &usize| std::iter::repeat_n(if self.is_inside(p) { inside } else { outside }, channels);
                tensor(pixels.iter().flat_map(of).collect(), channels)
            };
            let wanted = pixels.iter().zip(&shifts).flat_map(|(&p, d)| {
                (p * channels..(p + 1) * channels)
                    .map(|k| self.picture.data[k] + d[0] * c.gradient[2 * k] + d[1] * c.gradient[2 * k + 1])
            });
            Ok::<_, Error>([each(1.0, 0.0)?, each(0.0, c.value_weight as f32)?, tensor(wanted.collect(), channels)?])
        });
        let at = |(&p, d): (&usize, &[f32; 2])| [places[2 * p] + d[0], places[2 * p + 1] + d[1]];
        let points = pixels.iter().zip(&shifts).flat_map(at).collect();
        Ok(Batch { size, points: tensor(points, 2)?, slopes, values: values.transpose()? })
    }

    /// What derivatives leave open: a factor (1 for gradients, whose scale is known) and an offset per channel, those that
    /// bring the field closest to the picture.
    pub fn alignment(&self, found: &[f32]) -> (f64, Vec<f64>) {
        let channels = self.picture.channels;
        if self.composition.is_some() {
            return (1.0, vec![0.0; channels]);
        }
        let mean = |data: &[f32], c: usize| {
            let own = data.iter().skip(c).step_by(channels);
            own.map(|&x| x as f64).sum::<f64>() * channels as f64 / data.len() as f64
        };
        let target = &self.picture.data;
        let means: Vec<(f64, f64)> = (0..channels).map(|c| (mean(found, c), mean(target, c))).collect();
        let (mut own, mut shared) = (0.0, 0.0);
        for (k, (&x, &y)) in found.iter().zip(target).enumerate() {
            let (m, t) = means[k % channels];
            own += (x as f64 - m).powi(2);
            shared += (x as f64 - m) * (y as f64 - t);
        }
        let scale = if self.laplacian && own > 0.0 { shared / own } else { 1.0 };
        (scale, means.iter().map(|(m, t)| t - scale * m).collect())
    }
}
