//! Training Gaussians on pictures with known cameras.

use crate::project::SH;
use crate::render::{Rows, backward, camera, frame};
use crate::{Error, Gaussians, View, loss, view};
use rayon::prelude::*;

/// A picture to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPicture {
    /// Its camera.
    pub view: View,
    /// Colours [H·W], display-encoded, straight alpha.
    pub colour: Vec<[f32; 3]>,
    /// Opacities [H·W]; empty: opaque.
    pub alpha: Vec<f32>,
}

/// What stands behind Gaussians and transparent pictures while training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Background {
    /// One display-encoded colour.
    Colour([f32; 3]),
    /// Another colour in every step, which keeps transparent places empty.
    Random,
}

/// How to train. Learning rates are those of Adam.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Steps of the whole run: the rate of the means falls log-linearly over them.
    pub steps: usize,
    /// Seed of the order of pictures and of random backgrounds.
    pub seed: u64,
    /// What stands behind.
    pub background: Background,
    /// Near plane.
    pub near: f32,
    /// Rates of the means at the first and the last step, times the scene's extent.
    pub means_rate: [f32; 2],
    /// Rate of the logarithms of the scales.
    pub scales_rate: f32,
    /// Rate of the rotations.
    pub rotations_rate: f32,
    /// Rate of the logits of the opacities.
    pub opacities_rate: f32,
    /// Rate of the constant colour; that of the other harmonics is a twentieth.
    pub colour_rate: f32,
    /// Steps after which one more degree of spherical harmonics is used.
    pub steps_per_degree: usize,
    /// Weight of the mean opacity in the loss.
    pub opacity_weight: f32,
    /// Weight of the mean scale in the loss.
    pub scale_weight: f32,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 2000,
            seed: 0,
            background: Background::Colour([0.0; 3]),
            near: 0.01,
            means_rate: [1.6e-4, 1.6e-6],
            scales_rate: 5e-3,
            rotations_rate: 1e-3,
            opacities_rate: 0.05,
            colour_rate: 2.5e-3,
            steps_per_degree: 1000,
            opacity_weight: 0.0,
            scale_weight: 0.0,
        }
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: usize,
    /// Loss of the picture before the step, regularisers not counted.
    pub loss: f32,
    /// Gaussians that were seen.
    pub n_visible: usize,
}

/// All that changes while training: restored, the run goes on to the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Steps done.
    pub step: usize,
    /// The Gaussians.
    pub gaussians: Gaussians,
    /// Adam's first moments, per Gaussian: mean, log scale, rotation, logit of the opacity, harmonics.
    pub first: Vec<f32>,
    /// Adam's second moments, laid out alike.
    pub second: Vec<f32>,
}

/// Trains Gaussians on the host: one picture per step, (1 − λ) L1 + λ (1 − SSIM) with λ = 0.2, exact Adam.
///
/// **Determinism**: the same seed gives the same bits for any number of threads, interrupted or not.
/// **Source**: Kerbl et al. 2023.
pub struct Trainer {
    options: TrainOptions,
    pictures: Vec<TrainingPicture>,
    extent: f32,
    like: Gaussians,
    rows: Rows<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    step: usize,
}

impl Trainer {
    /// Prepares training.
    ///
    /// **Errors**: no picture, one whose arrays disagree with its view, what [`crate::render`] refuses.
    pub fn new(gaussians: Gaussians, pictures: Vec<TrainingPicture>, options: TrainOptions) -> Result<Self, Error> {
        if pictures.is_empty() {
            return Err(Error::Picture { index: 0, found: 0, expected: 1 });
        }
        for (index, picture) in pictures.iter().enumerate() {
            view::check(&gaussians, &picture.view)?;
            let expected = picture.view.width * picture.view.height;
            let alpha = if picture.alpha.is_empty() { expected } else { picture.alpha.len() };
            for found in [picture.colour.len(), alpha] {
                if found != expected || expected == 0 {
                    return Err(Error::Picture { index, found, expected });
                }
            }
        }
        let rows = Rows::new(&gaussians);
        let zeros = vec![0.0; rows.data.len()];
        let extent = extent(&pictures);
        Ok(Self { options, pictures, extent, like: gaussians, rows, first: zeros.clone(), second: zeros, step: 0 })
    }

    /// Goes on from a saved state.
    ///
    /// **Errors**: as [`Trainer::new`]; moments that do not fit the Gaussians.
    pub fn resume(state: TrainState, pictures: Vec<TrainingPicture>, options: TrainOptions) -> Result<Self, Error> {
        let mut out = Self::new(state.gaussians, pictures, options)?;
        for (name, moments) in [("first moments", &state.first), ("second moments", &state.second)] {
            if moments.len() != out.rows.data.len() {
                return Err(Error::Length { name, found: moments.len(), expected: out.rows.data.len() });
            }
        }
        (out.first, out.second, out.step) = (state.first, state.second, state.step);
        Ok(out)
    }

    /// What [`Trainer::resume`] needs.
    pub fn state(&self) -> TrainState {
        let gaussians = self.gaussians();
        TrainState { step: self.step, gaussians, first: self.first.clone(), second: self.second.clone() }
    }

    /// The Gaussians as they are now.
    pub fn gaussians(&self) -> Gaussians {
        self.rows.gaussians(&self.like)
    }

    /// Renders one picture, and moves all Gaussians towards it.
    pub fn step(&mut self) -> StepReport {
        let n = self.pictures.len();
        let random = |k: u64| hash(self.options.seed ^ hash(self.step as u64 * 8 + k));
        // Every picture once per round, in an order that changes from round to round.
        let picture = &self.pictures[order(n, hash(self.options.seed ^ hash((self.step / n) as u64)))[self.step % n]];
        let background = match self.options.background {
            Background::Colour(colour) => colour,
            Background::Random => std::array::from_fn(|k| (random(k as u64) >> 40) as f32 / (1u64 << 24) as f32),
        };
        let view = &picture.view;
        let mut camera = camera::<f32>(&self.like, view, self.options.near);
        camera.sh_degree = camera.sh_degree.min(self.step / self.options.steps_per_degree.max(1));
        let frame = frame(&self.rows, &camera, [view.width, view.height]);
        let drawn = frame.forward();
        let over = |c: [f32; 3], t: f32| std::array::from_fn(|ch| c[ch] + t * background[ch]);
        let colour: Vec<[f32; 3]> = drawn.iter().map(|(s, t)| over([s[0], s[1], s[2]], *t)).collect();
        let alpha = |i: usize| picture.alpha.get(i).copied().unwrap_or(1.0);
        let target = picture.colour.iter().enumerate().map(|(i, c)| over(c.map(|c| c * alpha(i)), 1.0 - alpha(i)));
        let (loss, by_colour) = loss::loss(&colour, &target.collect::<Vec<_>>(), view.width);
        let by_pixel = by_colour
            .iter()
            .map(|g| ([g[0], g[1], g[2], 0.0], g[0] * background[0] + g[1] * background[1] + g[2] * background[2]));
        let grads = backward(&self.rows, &camera, &frame, &drawn, &by_pixel.collect::<Vec<_>>());
        self.step += 1;
        self.adam(&grads);
        StepReport { step: self.step, loss, n_visible: frame.splats.len() }
    }

    /// Exact Adam on all rows; the regularisers' gradients join here. Numbers that are not finite change nothing.
    fn adam(&mut self, grads: &[f32]) {
        const BETAS: [f32; 2] = [0.9, 0.999];
        let o = &self.options;
        let done = (self.step as f32 / o.steps.max(1) as f32).min(1.0);
        let means = self.extent * o.means_rate[0].powf(1.0 - done) * o.means_rate[1].powf(done);
        let correct = BETAS.map(|b| 1.0 - (b as f64).powi(self.step.min(1 << 20) as i32) as f32);
        let width = self.rows.width;
        let n = (self.rows.data.len() / width).max(1) as f32;
        let rows = self.rows.data.par_chunks_mut(width).zip(grads.par_chunks(width));
        let moments = self.first.par_chunks_mut(width).zip(self.second.par_chunks_mut(width));
        rows.zip(moments).for_each(|((row, grads), (first, second))| {
            for k in 0..width {
                let (rate, regulariser) = match k {
                    0..3 => (means, 0.0),
                    3..6 => (o.scales_rate, o.scale_weight * row[k].exp() / (3.0 * n)),
                    6..10 => (o.rotations_rate, 0.0),
                    10 => {
                        let opacity = 1.0 / (1.0 + (-row[k]).exp());
                        (o.opacities_rate, o.opacity_weight * opacity * (1.0 - opacity) / n)
                    }
                    k if k < SH + 3 => (o.colour_rate, 0.0),
                    _ => (o.colour_rate / 20.0, 0.0),
                };
                let g = grads[k] + regulariser;
                if !g.is_finite() {
                    continue;
                }
                first[k] = BETAS[0] * first[k] + (1.0 - BETAS[0]) * g;
                second[k] = BETAS[1] * second[k] + (1.0 - BETAS[1]) * g * g;
                let moved = row[k] - rate * (first[k] / correct[0]) / ((second[k] / correct[1]).sqrt() + 1e-15);
                if moved.is_finite() {
                    row[k] = moved;
                }
            }
        });
    }
}

/// 1.1 × the largest distance of a camera from the cameras' mean; 1 where all stand together.
fn extent(pictures: &[TrainingPicture]) -> f32 {
    let eye = |p: &TrainingPicture| -> [f32; 3] {
        let m = &p.view.viewmat;
        std::array::from_fn(|k| -(0..3).map(|i| m[i][k] * m[i][3]).sum::<f32>())
    };
    let eyes: Vec<[f32; 3]> = pictures.iter().map(eye).collect();
    let mean: [f32; 3] = std::array::from_fn(|k| eyes.iter().map(|e| e[k]).sum::<f32>() / eyes.len() as f32);
    let distance = |e: &[f32; 3]| (0..3).map(|k| (e[k] - mean[k]).powi(2)).sum::<f32>().sqrt();
    let largest = eyes.iter().map(distance).fold(0.0, f32::max);
    if largest > 0.0 { 1.1 * largest } else { 1.0 }
}

/// Counter-based random bits (the finaliser of SplitMix64, Steele et al. 2014).
fn hash(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e3779b97f4a7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d049bb133111eb);
    x ^ (x >> 31)
}

/// A permutation of 0..n.
fn order(n: usize, seed: u64) -> Vec<usize> {
    let mut out: Vec<usize> = (0..n).collect();
    out.sort_by_key(|&i| hash(seed ^ i as u64));
    out
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
