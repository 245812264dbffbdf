//! DDIM on several pictures at once, with their clean estimates averaged (SyncTweedies).

use super::Canvas;
use crate::{Error, Level, Result, combine};
use lumigrad_core::{Tensor, Var};

/// How pictures are kept alike.
#[derive(Clone, Copy, Debug)]
pub struct Synchrony<'a> {
    /// What they show.
    pub canvas: &'a Canvas,
    /// Part of the steps, from the first on, after which pictures go on by themselves.
    pub until: f64,
}

/// A deterministic step (Song et al. 2021, DDIM, η = 0): x' = a'·x̂0 + σ'·ε̂.
///
/// # Errors
/// Shapes that differ.
pub fn ddim_step(clean: &Tensor, noise: &Tensor, to: Level) -> Result<Tensor> {
    Ok(combine(&[(&clean.clone().into(), &[to.a]), (&noise.clone().into(), &[to.sigma])])?.tensor().clone())
}

/// Pictures [V, h, w, C] from noise, by DDIM through falling `levels`; with a [`Synchrony`] they agree on a canvas.
///
/// In every step each picture has its own ε̂ and clean estimate x̂0 = (x_t − σε̂)/a; estimates are averaged on the canvas
/// and shown again, and each picture takes its step with the shared x̂0 and its own ε̂. The result is the last x̂0: after
/// the last level for which `until` holds it is shared.
///
/// `predict` gives ε̂ of a batch at a level; `each` sees every step's number and x̂0, and may end the run by `false`.
///
/// **Determinism**: as that of `predict`; pictures that agree everywhere are those of plain DDIM to the last bit.
/// **Source**: Kim et al. 2024, SyncTweedies, case 2; DDIM is the same without a canvas.
///
/// # Errors
/// No level, a first level of pure noise only (a < 10⁻⁴: x̂0 would be divided by it), shapes, what `predict` says.
pub fn synchronised(
    noise: &Tensor,
    levels: &[Level],
    synchrony: Option<Synchrony<'_>>,
    predict: &mut dyn FnMut(&Tensor, Level) -> Result<Tensor>,
    each: &mut dyn FnMut(usize, &Tensor) -> Result<bool>,
) -> Result<Tensor> {
    let &[_, _, _, channels] = noise.shape() else {
        return Err(Error::shape("noise", noise.shape(), "[views, height, width, channels]"));
    };
    let Some(first) = levels.first() else { return Err(Error::Setting("sampling needs at least one level".into())) };
    if let Some(level) = levels.iter().find(|l| !(l.a >= 1e-4)) {
        return Err(Error::Level { a: level.a, sigma: level.sigma, reason: "the clean estimate is divided by a" });
    }
    let (shape, pixels) = (noise.shape().to_vec(), noise.len() / channels.max(1));
    // The first picture is noise alone.
    let mut x = combine(&[(&noise.clone().into(), &[(first.a * first.a + first.sigma * first.sigma).sqrt()])])?.tensor().clone();
    let n = levels.len();
    let mut clean = x.clone();
    for (k, level) in levels.iter().enumerate() {
        if level.sigma == 0.0 {
            break;
        }
        let noise = predict(&x, *level)?;
        let weights = [1.0 / level.a, -level.sigma / level.a];
        clean = combine(&[(&x.into(), &weights[..1]), (&noise.clone().into(), &weights[1..])])?.tensor().clone();
        if let Some(Synchrony { canvas, until }) = synchrony
            && (k as f64) < until * n as f64
        {
            let own = Var::from(clean.reshape(&[pixels, channels])?);
            clean = canvas.show(&canvas.average(&own)?, &own)?.tensor().reshape(&shape)?;
        }
        if !each(k, &clean)? {
            break;
        }
        x = match levels.get(k + 1) {
            Some(next) => ddim_step(&clean, &noise, *next)?,
            None => clean.clone(),
        };
    }
    Ok(clean)
}
