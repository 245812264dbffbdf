//! Levenberg–Marquardt on the host.

mod linear;
mod solve;
mod vectors;

use crate::loss::Planes;
use crate::rows::{BLOCK, OPACITY, ROTATION, Rows, SCALE};
use crate::train::pictures::{by_tiles, hide, ignore, over, target};
use crate::train::{Background, Plan, StepReport, Train, TrainState, Trainer};
use crate::{Error, Gaussians, Technique};
use linear::Linear;
use lumigrad_core::ops::random::{hash, uniform};

/// Pictures whose gradients make a step, at most: over all of them rounds of this many.
const GRADIENTS: usize = 100;
/// Pictures whose curvature makes a step, as a part of those.
const CURVED: f64 = 0.25;
/// Iterations of conjugate gradients.
const INNER: usize = 8;
/// Pictures that judge a step: no less than so many, and this part of those of the gradient.
const JUDGES: usize = 4;
const JUDGED: f64 = 0.3;
/// Damping of the first step, and within which it stays.
const LAMBDA: f64 = 0.1;
const LAMBDAS: [f64; 2] = [1e-4, 1e4];
/// Lengths of a step that are tried: the first one that is better is kept. (The best of all was worse after five steps.)
const LENGTHS: [f32; 4] = [1.0, 0.5, 0.25, 0.1];
/// The diagonal is at least this part of its mean over the Gaussians that were seen.
const FLOOR: f64 = 1e-2;

/// Goes on training by damped least squares: the loss's own gradient over many pictures, and the curvature JᵀHJ of which J
/// is the Jacobian of pictures by Gaussians and H a diagonal that bounds the loss's curvature by pixels, over some of them.
///
/// (JᵀHJ + λD) Δ = −g is solved by conjugate gradients, preconditioned by D = diag JᵀHJ, which random signs z estimate:
/// E (Jᵀ√H z)² = D. Nothing is cached: J·p is the forward pass carrying tangents, Jᵀu the backward pass, so that memory is
/// little more than that of training by Adam. Of Δ a length is kept that lowers the loss of some pictures, and λ follows from whether it did.
/// Regularisers count as in [`Trainer`]; strategies do not act.
///
/// **Determinism**: the same seed gives the same bits for any number of threads. **Cost**: of 100 pictures a step takes as
/// long as some 300 of Adam's. **Source**: Höllein et al. 2025, "3DGS-LM", without its cache and its residuals √|d|; a
/// gradient of more pictures than the curvature: Byrd et al. 2011, "On the use of stochastic Hessian information".
pub struct LmTrainer {
    trainer: Trainer,
    lambda: f64,
    work: Linear<f32>,
    /// Of each picture of the curvature, H.
    weights: Vec<Planes<f32>>,
}

/// What a step looks at.
struct Looks {
    gradients: Vec<usize>,
    curved: usize,
    judges: usize,
}

impl LmTrainer {
    /// Goes on from a trainer, or from a state with a damping. Adam's moments are dropped.
    ///
    /// **Errors**: ray casting, of which device trainers have the derivatives along a direction.
    pub fn new(mut trainer: Trainer, damping: Option<f64>) -> Result<Self, Error> {
        if trainer.options.technique == Technique::Raycast {
            let message = "least squares on the host are of splats; take device::LeastSquares for rays".into();
            return Err(Error::Rays { message });
        }
        trainer.moments = std::array::from_fn(|_| Rows::zeros(0, trainer.rows.width));
        let lambda = damping.unwrap_or(LAMBDA);
        Ok(Self { trainer, lambda, work: Linear::default(), weights: vec![] })
    }

    /// What the next step looks at: pictures come in rounds, each one once in a round.
    fn looks(&self) -> Looks {
        let (n, step) = (self.trainer.pictures.len(), self.trainer.step);
        let seed = hash(hash(self.trainer.options.seed, 11), step as u64);
        let mut gradients: Vec<usize> = (0..n).collect();
        gradients.sort_by_key(|&i| hash(seed, i as u64));
        gradients.truncate(GRADIENTS);
        let part = |share: f64, least: usize| ((n.min(GRADIENTS) as f64 * share) as usize).max(least).min(n);
        Looks { gradients, curved: part(CURVED, JUDGES), judges: part(JUDGED, JUDGES) }
    }

    /// How a picture is drawn: all harmonics, and the same background throughout a step.
    fn plan(&self, picture: usize) -> Plan {
        let o = &self.trainer.options;
        let stream = hash(hash(o.seed, 12), self.trainer.step as u64);
        let background = match o.background {
            Background::Colour(colour) => colour,
            Background::Random => std::array::from_fn(|k| uniform(stream, (4 * picture + k) as u64) as f32),
        };
        Plan { picture, background, sh_degree: usize::MAX, means_rate: 0.0, progress: 1.0 }
    }

    /// Draws a picture and what it should be, into the work of the trainer.
    fn draw(&mut self, plan: &Plan) -> Result<(), Error> {
        let camera = self.trainer.camera(plan);
        let picture = &self.trainer.pictures[plan.picture];
        let size = [picture.view.width, picture.view.height];
        let (w, linear) = (&mut self.trainer.work, &mut self.work);
        linear.frame.update(&self.trainer.rows, &self.trainer.smoothing, &camera, size, true)?;
        linear.drawn.update(&linear.frame, false, true);
        over(&linear.drawn.picture, size, plan.background, &mut w.picture);
        target(picture, plan.background, &mut w.target);
        ignore(picture, &w.picture, &mut w.target);
        Ok(())
    }

    /// Mean loss of some pictures, with regularisers.
    fn judge(&mut self, judges: &[usize]) -> Result<f64, Error> {
        let mut sum = 0.0;
        for &k in judges {
            let plan = self.plan(k);
            self.draw(&plan)?;
            let w = &mut self.trainer.work;
            let width = self.trainer.pictures[k].view.width;
            sum += w.loss.value::<false>(&w.picture, &w.target, width) as f64;
        }
        Ok(sum / judges.len() as f64 + self.penalty())
    }

    /// Regularisers.
    fn penalty(&self) -> f64 {
        let (o, rows) = (&self.trainer.options, &self.trainer.rows);
        let n = rows.n.max(1) as f64;
        let (mut opacities, mut scales) = (0.0, 0.0);
        for i in 0..rows.n {
            opacities += 1.0 / (1.0 + (-rows.get(i, OPACITY) as f64).exp());
            scales += (SCALE..ROTATION).map(|k| (rows.get(i, k) as f64).exp()).sum::<f64>();
        }
        o.opacity_weight as f64 * opacities / n + o.scale_weight as f64 * scales / (3.0 * n)
    }

    /// Adds the derivative of regularisers to a gradient, and their slopes to the diagonal: by a logarithm, an exponential
    /// curves as much as it rises.
    fn penalise(&self, gradient: &mut Rows<f32>, diagonal: &mut Rows<f32>) {
        let (o, rows) = (&self.trainer.options, &self.trainer.rows);
        let n = rows.n.max(1) as f32;
        let mut add = |at: usize, by: f32| {
            gradient.data[at] += by;
            diagonal.data[at] += by;
        };
        for i in 0..rows.n {
            let opacity = 1.0 / (1.0 + (-rows.get(i, OPACITY)).exp());
            add(rows.at(i, OPACITY), o.opacity_weight / n * opacity * (1.0 - opacity));
            for k in SCALE..ROTATION {
                add(rows.at(i, k), o.scale_weight / (3.0 * n) * rows.get(i, k).exp());
            }
        }
    }

    /// Gradient and diagonal over the pictures of a step; H of the first ones is kept.
    fn linearise(&mut self, looks: &Looks) -> Result<(Rows<f32>, Rows<f32>), Error> {
        let (n, width) = (self.trainer.rows.n, self.trainer.rows.width);
        let (mut gradient, mut diagonal) = (Rows::zeros(n, width), Rows::zeros(n, width));
        let weight = 1.0 / looks.gradients.len() as f32;
        self.weights.resize_with(looks.curved.max(1), Default::default);
        for (k, &picture) in looks.gradients.iter().enumerate() {
            let plan = self.plan(picture);
            self.draw(&plan)?;
            let (trainer, linear) = (&mut self.trainer, &mut self.work);
            let camera = trainer.camera(&plan);
            let (w, of) = (&mut trainer.work, &trainer.pictures[picture]);
            let size = [of.view.width, of.view.height];
            let curvature = &mut self.weights[k.min(looks.curved.max(1) - 1)];
            let mut spare = Planes::default();
            let curvature = if k < looks.curved { curvature } else { &mut spare };
            w.loss.gradient::<true>(&w.picture, &w.target, size[0], &mut w.by_picture);
            w.loss.curvature(&w.picture, &w.target, size[0], curvature);
            hide(of, &mut w.by_picture);
            hide(of, curvature);
            let rows = (&trainer.rows, &trainer.smoothing[..]);
            by_tiles(&w.by_picture, size, plan.background, &mut w.grads);
            linear.back::<false>(rows, &w.grads, &camera, weight, &mut gradient);
            let seed = hash(hash(trainer.options.seed, 13 + trainer.step as u64), picture as u64);
            for (ch, (probe, h)) in w.by_picture.iter_mut().zip(curvature.iter()).enumerate() {
                for (i, (z, h)) in probe.iter_mut().zip(h).enumerate() {
                    let bits = hash(seed, ((3 * i + ch) / 64) as u64) >> ((3 * i + ch) % 64);
                    *z = if bits & 1 == 1 { h.sqrt() } else { -h.sqrt() };
                }
            }
            by_tiles(&w.by_picture, size, plan.background, &mut w.grads);
            linear.back::<true>(rows, &w.grads, &camera, weight, &mut diagonal);
        }
        self.penalise(&mut gradient, &mut diagonal);
        Ok((gradient, diagonal))
    }

    /// (1/K) Σ JᵀHJ p over the pictures of the curvature.
    fn curve(&mut self, looks: &Looks, p: &Rows<f32>, out: &mut Rows<f32>) -> Result<(), Error> {
        out.data.fill(0.0);
        let weight = 1.0 / looks.curved as f32;
        for (k, &picture) in looks.gradients[..looks.curved].iter().enumerate() {
            let plan = self.plan(picture);
            let (trainer, linear) = (&self.trainer, &mut self.work);
            let camera = trainer.camera(&plan);
            let view = &trainer.pictures[picture].view;
            let size = [view.width, view.height];
            let rows = (&trainer.rows, &trainer.smoothing[..]);
            linear.along(rows, p, &camera, size)?;
            let mut change = std::mem::take(&mut linear.change);
            linear::weigh(&mut change, &self.weights[k], size, plan.background);
            linear.back::<false>(rows, &change, &camera, weight, out);
            linear.change = change;
        }
        Ok(())
    }
}

/// D of its estimate: nowhere too small.
fn floored(mut found: Rows<f32>) -> Rows<f32> {
    let width = found.width;
    let (mut sums, mut counts) = (vec![0.0f64; width], vec![0usize; width]);
    for (at, numbers) in found.data.as_chunks::<BLOCK>().0.iter().enumerate() {
        sums[at % width] += numbers.iter().map(|x| *x as f64).sum::<f64>();
        counts[at % width] += numbers.iter().filter(|x| **x > 0.0).count();
    }
    let least: Vec<f32> = sums.iter().zip(&counts).map(|(s, &n)| (FLOOR * s / n.max(1) as f64) as f32).collect();
    for (at, numbers) in found.data.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        numbers.iter_mut().for_each(|x| *x += least[at % width].max(1e-30));
    }
    found
}

impl Train for LmTrainer {
    fn step(&mut self, _progress: f64) -> Result<StepReport, Error> {
        let looks = self.looks();
        let judges: Vec<usize> = looks.gradients.iter().rev().take(looks.judges).copied().collect();
        let before = self.judge(&judges)?;
        let (gradient, diagonal) = self.linearise(&looks)?;
        let diagonal = floored(diagonal);
        let found = self.solve(&looks, &gradient, &diagonal)?;
        drop(gradient);
        let mut kept = None;
        let start = self.trainer.rows.clone();
        for length in LENGTHS {
            vectors::each(&mut self.trainer.rows, [&start, &found.step], |x, [from, by]| {
                let to = from + length * by;
                *x = if to.is_finite() { to } else { from };
            });
            let loss = self.judge(&judges)?;
            // Also what is not a number is no better.
            if loss < before {
                kept = Some((length, loss));
                break;
            }
        }
        let loss = match kept {
            Some((length, loss)) => {
                let foreseen = found.decrease * f64::from(length * (2.0 - length));
                let gain = (before - loss) / foreseen.max(1e-30);
                let factor = if length < 1.0 || gain < 0.25 {
                    2.0
                } else if gain > 0.6 {
                    0.5
                } else {
                    1.0
                };
                self.lambda *= factor;
                loss
            }
            None => {
                self.trainer.rows = start;
                self.lambda *= 4.0;
                before
            }
        };
        self.lambda = self.lambda.clamp(LAMBDAS[0], LAMBDAS[1]);
        self.trainer.step += 1;
        let loss = (loss - self.penalty()) as f32;
        Ok(StepReport { step: self.trainer.step, loss, n_visible: self.trainer.rows.n })
    }

    fn gaussians(&self) -> Result<Gaussians, Error> {
        self.trainer.gaussians()
    }

    fn state(&self) -> Result<TrainState, Error> {
        let zeros = || vec![0.0; self.trainer.rows.n * self.trainer.rows.width];
        let (first, second) = (zeros(), zeros());
        Ok(TrainState { damping: Some(self.lambda), first, second, ..self.trainer.state()? })
    }

    fn len(&self) -> usize {
        self.trainer.len()
    }
}

#[cfg(test)]
mod tests;
