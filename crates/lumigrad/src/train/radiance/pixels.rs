//! Pixels of photographs, drawn at random.

use super::super::dataset::{Dataset, Shot};
use super::scene::Light;
use crate::run::fixed;
use crate::volume::{Domain, Rays};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_splat::Background;

/// Pixels of a step.
pub struct Batch {
    /// Rays through them.
    pub rays: Rays,
    /// By how much of a step each ray's samples are shifted.
    pub shifts: Tensor,
    /// Their colours over the background, [N, 3].
    pub colours: Tensor,
    /// How much they count, [N, 1].
    pub weights: Tensor,
    /// What stands behind them, [N, 3].
    pub behind: Tensor,
    /// Rays of each pixel, which are neighbours.
    pub per_pixel: usize,
}

impl Batch {
    /// By how much the light of its rays differs from their pixels, [N, 3].
    ///
    /// # Errors
    /// Light of other rays.
    pub fn missed(&self, light: &Light) -> Result<Var> {
        let left = light.opacities.scale(-1.0)?.offset(1.0)?;
        let shown = light.colours.add(&Var::from(self.behind.clone()).mul(&left)?)?;
        Ok(shown.sub(&self.colours.clone().into())?)
    }
}

/// Pixels of all training pictures that count.
pub struct Pixels {
    /// First pixel of each picture, and of none behind the last.
    starts: Vec<u64>,
    /// Whether nothing is where masks are 0.
    silhouettes: bool,
}

impl Pixels {
    /// Of a data set. Pixels outside of masks do not count, or with `silhouettes` are transparent.
    ///
    /// # Errors
    /// No pixel counts.
    pub fn new(dataset: &Dataset, silhouettes: bool) -> Result<Self> {
        let counts = |shot: &Shot| shot.mask.is_empty() || shot.mask.iter().any(|m| *m > 0.0);
        if !dataset.train.iter().any(counts) {
            return Err(Error::job("the masks of all training pictures leave no pixel"));
        }
        let mut starts = vec![0];
        for shot in &dataset.train {
            starts.push(starts[starts.len() - 1] + (shot.view.width * shot.view.height) as u64);
        }
        Ok(Self { starts, silhouettes })
    }

    /// So many rays, by a seed, `per_pixel` of each pixel: through its centre, or anywhere in it where they are several.
    pub fn draw(
        &self,
        (n, per_pixel, seed): (usize, usize, u64),
        dataset: &Dataset,
        domain: &Domain,
        background: Background,
        device: &Device,
    ) -> Result<Batch> {
        let all = self.starts[self.starts.len() - 1];
        let (mut places, mut colours, mut weights, mut behind, mut shifts) = (vec![], vec![], vec![], vec![], vec![]);
        let n = (n / per_pixel).max(1) * per_pixel;
        for ray in 0..n as u64 {
            let k = ray / per_pixel as u64;
            let pixel = random::hash(seed, 8 * k) % all;
            let picture = self.starts.partition_point(|s| *s <= pixel) - 1;
            let (shot, i) = (&dataset.train[picture], (pixel - self.starts[picture]) as usize);
            let width = shot.view.width;
            let spot = match per_pixel {
                1 => [0.5; 2],
                _ => [5, 6].map(|c| random::uniform(seed, 8 * ray + c)),
            };
            places.push((&shot.view, [(i % width) as f64 + spot[0], (i / width) as f64 + spot[1]]));
            let back = match background {
                Background::Random => [1, 2, 3].map(|c| random::uniform(seed, 8 * k + c) as f32),
                fixed_one => fixed(fixed_one),
            };
            let mask = shot.mask.get(i).copied().unwrap_or(1.0);
            let (kept, weight) = if self.silhouettes { (mask, 1.0) } else { (1.0, mask) };
            let alpha = kept * shot.alpha.get(i).copied().unwrap_or(1.0);
            colours.extend([0, 1, 2].map(|c| shot.colour[i][c] * alpha + back[c] * (1.0 - alpha)));
            weights.push(weight);
            behind.extend(back);
            shifts.push(random::uniform(seed, 8 * ray + 4) as f32);
        }
        let tensor = |data: &[f32], width: usize| Tensor::from_slice(device, data, &[n, width]);
        Ok(Batch {
            rays: Rays::new(domain, &places, device)?,
            shifts: Tensor::from_slice(device, &shifts, &[n])?,
            colours: tensor(&colours, 3)?,
            weights: tensor(&weights, 1)?,
            behind: tensor(&behind, 3)?,
            per_pixel,
        })
    }
}
