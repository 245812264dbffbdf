//! Annealed Langevin dynamics (Song & Ermon 2019).

use super::{Predict, weighted};
use crate::{Error, Level, Result, noise};
use lumigrad_core::Tensor;

/// x ← x + ½ηs + √η·z with the score s = −ε̂/σ, `steps` at each level, η = `rate`·(σ/σ_last)² with σ̄ = σ/a for σ.
///
/// **Shapes**: start [n, …], pictures with noise of the first level, in units of pictures (x̄ = x/a). A last step without
/// noise takes x to x̂0 where `denoise` is set (Jolicoeur-Martineau et al. 2020). Noise comes from counters keyed by
/// (seed, step, picture). `predict` gets x_t at the level, and the number of the step.
/// **Errors**: levels without picture or noise; those of `predict`.
pub fn annealed_langevin(
    levels: &[Level],
    steps: usize,
    rate: f64,
    denoise: bool,
    start: &Tensor,
    seed: u64,
    predict: &mut Predict,
) -> Result<Tensor> {
    let Some(last) = levels.last() else {
        return Err(Error::Setting("Langevin dynamics need at least one level".into()));
    };
    if let Some(l) = levels.iter().find(|l| !(l.a > 0.0 && l.sigma > 0.0)) {
        return Err(Error::Level { a: l.a, sigma: l.sigma, reason: "Langevin dynamics need a > 0 and sigma > 0" });
    }
    if !(rate > 0.0 && rate.is_finite()) {
        return Err(Error::Setting(format!("the rate of Langevin dynamics is {rate}, expected more than 0")));
    }
    let mut x = start.clone();
    let mut count = 0;
    let mut noise_at = |x: &Tensor, level: Level, count: usize| predict(&weighted(&[(x, level.a)])?, level, count);
    for &level in levels {
        let sigma = level.ratio();
        let eta = rate * (sigma / last.ratio()).powi(2);
        for _ in 0..steps {
            let e = noise_at(&x, level, count)?;
            let z = noise(x.device(), x.dtype(), x.shape(), seed, count as u64)?;
            x = weighted(&[(&x, 1.0), (&e, -0.5 * eta / sigma), (&z, eta.sqrt())])?;
            count += 1;
        }
    }
    if denoise {
        let e = noise_at(&x, *last, count)?;
        x = weighted(&[(&x, 1.0), (&e, -last.ratio())])?;
    }
    Ok(x)
}

/// The variance that Langevin steps of size η settle at, where the exact one is v: v/(1 − η/(4v)).
///
/// From x′ = (1 − η/(2v))x + √η·z: V = (1 − η/(2v))²V + η.
pub fn langevin_variance(v: f64, eta: f64) -> f64 {
    v / (1.0 - eta / (4.0 * v))
}
