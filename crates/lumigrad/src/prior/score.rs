//! How well a prior denoises pictures that it has not seen.

use super::folder::{Folder, Part, Patches};
use crate::Result;
use lumigrad_core::ops::{self, random};
use lumigrad_core::{Device, Tensor};
use lumigrad_guidance::{Condition, DiffusionPrior, Level};

/// Patches that are denoised at once.
const AT_ONCE: usize = 128;
/// Parts of [0, 1] that errors are told for.
pub const BANDS: usize = 10;

/// Mean square errors of x − ε.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// Over all levels: what IADB minimises.
    pub loss: f64,
    /// In each tenth of the levels, from noise to pictures.
    pub bands: [f64; BANDS],
}

/// Patches of one part, each with a noise and a level that are the same for whatever is scored.
pub struct Trial {
    batches: Vec<(Patches, Tensor, Vec<Level>)>,
}

impl Trial {
    /// `n` patches with levels α spread evenly over [0, 1], one in each n-th part.
    pub fn new(folder: &Folder, part: Part, n: usize, seed: u64, device: &Device) -> Result<Self> {
        let mut batches = vec![];
        for first in (0..n).step_by(AT_ONCE) {
            let count = AT_ONCE.min(n - first);
            let key = random::hash(seed, first as u64);
            let patches = folder.draw(part, count, key, device)?;
            let noise = ops::random_normal(device, patches.pictures.dtype(), patches.pictures.shape(), !key)?;
            let levels = (first..first + count).map(|i| {
                // Pictures of a batch are of all levels.
                let place = (i * 7919 % n) as f64 + random::uniform(!seed, i as u64);
                let alpha = place / n as f64;
                Level { a: alpha, sigma: 1.0 - alpha }
            });
            batches.push((patches, noise, levels.collect()));
        }
        Ok(Self { batches })
    }

    /// The mean over pixels and levels of ‖D − (x − ε)‖², where D = (x_α − ε̂)/α. A prior that knows labels is told those of the
    /// patches.
    pub fn score(&self, prior: &dyn DiffusionPrior) -> Result<Score> {
        let (mut sums, mut counts) = ([0.0; BANDS], [0usize; BANDS]);
        let anything = [Condition::null()];
        for (patches, noise, levels) in &self.batches {
            let conditions = if prior.info().labels.is_empty() { &anything[..] } else { &patches.conditions };
            let (a, s): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
            let (x, e) = (patches.pictures.clone().into(), noise.clone().into());
            let noisy = lumigrad_guidance::combine(&[(&x, &a), (&e, &s)])?;
            let found = prior.predict(noisy.tensor(), levels, conditions)?.to_vec::<f32>()?;
            let noise = noise.to_vec::<f32>()?;
            let pixels = noise.len() / levels.len();
            for ((found, noise), level) in found.chunks(pixels).zip(noise.chunks(pixels)).zip(levels) {
                let error: f64 = found.iter().zip(noise).map(|(a, b)| ((a - b) as f64).powi(2)).sum();
                let band = ((level.a * BANDS as f64) as usize).min(BANDS - 1);
                sums[band] += error / pixels as f64 / (level.a * level.a).max(1e-12);
                counts[band] += 1;
            }
        }
        let loss = sums.iter().sum::<f64>() / counts.iter().sum::<usize>().max(1) as f64;
        Ok(Score { loss, bands: std::array::from_fn(|k| sums[k] / counts[k].max(1) as f64) })
    }
}
