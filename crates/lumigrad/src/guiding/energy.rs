//! How well pictures fit a prior.

use crate::Result;
use lumigrad_core::ops::random_normal;
use lumigrad_core::{DType, Tensor};
use lumigrad_guidance::{Capability, Condition, DiffusionPrior, combine, one_by_one};

/// Times of the levels at which pictures are denoised.
const TIMES: [f64; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
/// Seed of the noise, the same for all conditions and all pictures that are compared.
const SEED: u64 = 0x0e4e;

/// What a prior says of pictures.
pub struct Judged {
    /// Mean squared error of ε̂, per number, over levels and pictures: the lower, the likelier are the pictures (the
    /// variational bound of −log p without its weights).
    pub energy: f64,
    /// Part of the pictures whose own label explains them best; `None` where the prior has fewer than two labels.
    pub recognised: Option<f64>,
}

/// Judges pictures [n, h, w, 3] in the prior's range as what is `wanted`.
///
/// Labels are told apart by whose prediction has the smallest error (Li et al. 2023, "Your diffusion model is secretly a
/// zero-shot classifier"), at the same levels and with the same noise.
///
/// # Errors
/// As the prior's.
pub fn judge(prior: &dyn DiffusionPrior, pictures: &Tensor, wanted: &Condition) -> Result<Judged> {
    let own = losses(prior, pictures, wanted)?;
    let energy = own.iter().sum::<f64>() / own.len().max(1) as f64;
    let labels = prior.info().labels.len();
    let lumigrad_guidance::Subject::Labels(asked) = &wanted.subject else {
        return Ok(Judged { energy, recognised: None });
    };
    if labels < 2 || asked.len() != 1 {
        return Ok(Judged { energy, recognised: None });
    }
    let mut best = vec![true; own.len()];
    for label in (0..labels).filter(|l| *l != asked[0]) {
        let condition = Condition { view: wanted.view, ..Condition::label(label) };
        let other = losses(prior, pictures, &condition)?;
        best.iter_mut().zip(own.iter().zip(other)).for_each(|(best, (own, other))| *best &= *own < other);
    }
    let recognised = best.iter().filter(|b| **b).count() as f64 / best.len().max(1) as f64;
    Ok(Judged { energy, recognised: Some(recognised) })
}

/// Mean squared errors of ε̂, per number, of each picture.
fn losses(prior: &dyn DiffusionPrior, pictures: &Tensor, condition: &Condition) -> Result<Vec<f64>> {
    // Networks of latents are large: one picture at a time.
    let slow = prior.info().can(Capability::Encode);
    let pictures = &if slow { one_by_one(pictures, |_, x| prior.entered(x))? } else { prior.entered(pictures)? };
    let n = pictures.shape()[0];
    let size = pictures.len() / n.max(1);
    let mut sums = vec![0.0; n];
    for (k, t) in TIMES.into_iter().enumerate() {
        let level = prior.info().schedule.level(t);
        let noise = random_normal(pictures.device(), DType::F32, pictures.shape(), SEED + k as u64)?;
        let noisy = combine(&[(&pictures.clone().into(), &[level.a]), (&noise.clone().into(), &[level.sigma])])?;
        let predict = |x: &Tensor| prior.predict(x, &[level], std::slice::from_ref(condition));
        let found = if slow { one_by_one(noisy.tensor(), |_, x| predict(x))? } else { predict(noisy.tensor())? };
        let found = found.to_vec::<f32>()?;
        let noise = noise.to_vec::<f32>()?;
        for (i, sum) in sums.iter_mut().enumerate() {
            let part = i * size..(i + 1) * size;
            let squares = found[part.clone()].iter().zip(&noise[part]).map(|(a, b)| ((a - b) as f64).powi(2));
            *sum += squares.sum::<f64>() / (size * TIMES.len()) as f64;
        }
    }
    Ok(sums)
}
