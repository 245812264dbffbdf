//! Priors over functions: trained on pictures of one size, they know pictures of any (∞-Diff, Bond-Taylor & Willcocks 2023).
//!
//! Functions and noise are mollified, y ↦ Ty with a Gaussian filter, so that values at points mean something; the network sees
//! Ty at a quarter of the pixels, drawn anew for each picture, and predicts Tz there. White noise ε of H × W pixels is z/r, with r
//! the pixels along a side over those trained at: waves of z have then the same variance at any resolution. As for
//! [`TrainedPrior`](crate::TrainedPrior), the network says what a Gaussian leaves, here that of functions with independent cosine
//! waves: Tz = Tz_G + s(α)·U. Outside, z is Tz through a Wiener filter, but only what the network adds is filtered: waves that
//! the mollifier takes away are the Gaussian's.

mod file;
#[cfg(test)]
mod tests;
mod waves;

pub use file::KIND;
pub use waves::Waves;

use crate::trained::{Kept, Trainable};
use crate::unet::{PointConfig, PointNet, features};
use crate::{
    Capability, Condition, CosineMixture, DiffusionPrior, Level, Parameterisation, PriorInfo, Result, Schedule,
};
use crate::{combine, of_picture};
use lumigrad_core::ops::{self, random};
use lumigrad_core::{Device, Tensor, Var};
use waves::Sized;

/// Share of pixels that the network sees of a picture in training.
const SEEN: f64 = 0.25;
/// Times that levels are drawn from.
const TIMES: [f64; 2] = [0.005, 0.995];

/// A prior over functions, trained or about to be.
pub struct InfinitePrior {
    network: PointNet,
    kept: Kept,
    waves: Waves,
    info: PriorInfo,
}

impl InfinitePrior {
    /// A prior at its start: as good as the Gaussian with the first two moments of the mixture's pictures, wave by wave.
    ///
    /// # Errors
    /// Sizes that no network has; a mixture of several components.
    pub fn new(
        name: &str,
        config: PointConfig,
        gaussian: CosineMixture,
        labels: Vec<String>,
        (seed, device): (u64, &Device),
    ) -> Result<Self> {
        let channels = gaussian.size()[1];
        let network = PointNet::new(config.sized(labels.len()), [2 * channels, channels])?;
        let values = network.start(seed, device)?;
        Self::with_values(name, network, values, gaussian, labels)
    }

    fn with_values(
        name: &str,
        network: PointNet,
        values: Vec<Tensor>,
        gaussian: CosineMixture,
        labels: Vec<String>,
    ) -> Result<Self> {
        let ([size, channels], components) = (gaussian.size(), gaussian.moments()[0].len());
        if components != 1 || size != network.config().size {
            let found = format!("{components} Gaussians over {size}x{size} pixels");
            let expected = format!("one over {0}x{0}", network.config().size);
            return Err(crate::Error::Setting(format!("{found} under a network of points, expected {expected}")));
        }
        let mut capabilities = vec![Capability::Views];
        if !labels.is_empty() {
            capabilities.push(Capability::Labels);
        }
        let info = PriorInfo {
            name: name.into(),
            size: None,
            made_for: Some([size; 2]),
            multiple: network.config().coarse,
            pixels: 1,
            channels,
            range: [-1.0, 1.0],
            labels,
            schedule: Schedule::Cosine,
            parameterisation: Parameterisation::Noise,
            capabilities,
        };
        Ok(Self { network, kept: Kept::new(values), waves: Waves::new(gaussian), info })
    }

    /// Its network.
    pub fn network(&self) -> &PointNet {
        &self.network
    }

    /// The Gaussian and the mollifier.
    pub fn waves(&self) -> &Waves {
        &self.waves
    }

    /// What the network adds to mollified noise, s·U, and what the Gaussian says of the noise, in coefficients, for coefficients of
    /// α·x + (1 − α)·z at flow levels.
    fn learnt(
        &self,
        values: &[Var],
        waves: &Sized,
        noisy: &Var,
        known: &Var,
        (levels, conditions): (&[Level], &[Condition]),
    ) -> Result<(Var, Var)> {
        let n = noisy.shape()[0];
        let of = |f: &dyn Fn(&Level) -> f64| (0..n).map(|i| f(of_picture(levels, i))).collect::<Vec<f64>>();
        let alphas = Tensor::from_slice(&Device::cpu(), &of(&|l| l.a), &[n, 1, 1, 1])?;
        let alphas = alphas.cast(noisy.dtype())?.to_device(noisy.device())?;
        let [clean, noise] = waves.guesses(noisy, &alphas.into())?;
        let seen = [noisy, &clean].map(|c| waves.pictures(&waves.mollified(c)?));
        let [own, guess] = seen;
        let told = features(levels, conditions, n, self.info.labels.len(), noisy.device(), noisy.dtype())?;
        let found = self.network.forward(values, &ops::concat(&[&own?, &guess?], 3)?, known, &told.into())?;
        Ok((combine(&[(&found, &of(&|l| self.waves.error(l.a)))])?, noise))
    }

    fn check(&self, what: &str, pictures: &Tensor, entries: [usize; 2], conditions: &[Condition]) -> Result<()> {
        self.info.check(what, pictures.shape())?;
        let n = pictures.shape()[0];
        self.info.check_entries("levels", n, entries[0])?;
        self.info.check_entries("conditions", n, entries[1])?;
        conditions.iter().try_for_each(|c| self.info.check_condition(c))
    }

    /// The mean squared error of Tz at points that are drawn by `seed`, a quarter of the pixels of pictures [N, H, W, C] of the
    /// trained size, and its value where the Gaussian speaks alone. Recorded by `values`.
    fn errors(&self, values: &[Var], pictures: &Tensor, conditions: &[Condition], seed: u64) -> Result<[Var; 2]> {
        let shape = pictures.shape().to_vec();
        let n = shape.first().copied().unwrap_or(0);
        self.check("pictures", pictures, [n.max(1), conditions.len()], conditions)?;
        let [from, to] = TIMES;
        let time = |i: usize| from + (to - from) * (i as f64 + random::uniform(seed, i as u64)) / n as f64;
        let levels: Vec<Level> = (0..n).map(|i| self.info.schedule.level(time(i)).to_flow().0).collect();
        let noise = Var::from(ops::random_normal(pictures.device(), pictures.dtype(), &shape, !seed)?);
        let (h, w) = (shape[1], shape[2]);
        let points = random::hash(seed, 0x901);
        let known: Vec<f64> = (0..n * h * w).map(|k| (random::uniform(points, k as u64) < SEEN) as u8 as f64).collect();
        let share = known.iter().sum::<f64>().max(1.0) / (n * h * w).max(1) as f64;
        let known = Tensor::from_slice(&Device::cpu(), &known, &[n, h, w, 1])?;
        let known = Var::from(known.cast(pictures.dtype())?.to_device(pictures.device())?);
        let waves = self.waves.at([h, w], pictures)?;
        let (a, s): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let noisy = combine(&[(&pictures.clone().into(), &a), (&noise.scale(waves.ratio)?, &s)])?;
        let (learnt, guess) = self.learnt(values, &waves, &waves.of(&noisy)?, &known, (&levels, conditions))?;
        let left = waves.pictures(&waves.mollified(&waves.of(&noise.scale(waves.ratio)?)?.sub(&guess)?)?)?;
        let mean = |error: &Var| -> Result<Var> { Ok(error.mul(&known)?.square()?.mean()?.scale(1.0 / share)?) };
        Ok([mean(&learnt.sub(&left)?)?, mean(&left)?])
    }
}

impl Trainable for InfinitePrior {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.network.shapes()
    }

    fn kept(&self) -> &Kept {
        &self.kept
    }

    fn kept_mut(&mut self) -> &mut Kept {
        &mut self.kept
    }

    fn gaussian(&self) -> &CosineMixture {
        self.waves.gaussian()
    }

    fn multiplications(&self, size: usize) -> usize {
        self.network.multiplications(size)
    }

    fn loss(&self, values: &[Var], pictures: &Tensor, conditions: &[Condition], seed: u64) -> Result<Var> {
        let [own, _] = self.errors(values, pictures, conditions, seed)?;
        Ok(own)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.file()
    }

    fn about(&self) -> serde_json::Value {
        serde_json::json!({ "trained by": { "kind": KIND }, "network": self.network.config() })
    }
}

impl DiffusionPrior for InfinitePrior {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        self.check("noisy pictures", noisy, [levels.len(), conditions.len()], conditions)?;
        let [n, h, w] = [0, 1, 2].map(|k| noisy.shape()[k]);
        if n == 0 {
            return Ok(noisy.clone());
        }
        let waves = self.waves.at([h, w], noisy)?;
        // σε = (σ/r)·z.
        let level = |i: usize| {
            let l = of_picture(levels, i);
            Level { a: l.a, sigma: l.sigma / waves.ratio }.to_flow()
        };
        let (flow, factors): (Vec<Level>, Vec<f64>) = (0..n).map(level).unzip();
        let moved = waves.of(&combine(&[(&noisy.clone().into(), &factors)])?)?;
        let known = Tensor::full(noisy.device(), noisy.dtype(), &[1, h, w, 1], 1.0)?;
        let values = self.kept.constants(noisy.device())?;
        let (learnt, guess) = self.learnt(&values, &waves, &moved, &known.into(), (&flow, conditions))?;
        let noise = guess.add(&waves.sharpened(&waves.of(&learnt)?)?)?;
        Ok(crate::cosine::inverse(&noise)?.tensor().clone())
    }
}
