//! The prediction of a mixture, as tensors on any device.

use super::{Covariance, Mixture, cosine_transform, inverse_cosine_transform};
use crate::{Level, Result, of_picture};
use lumigrad_core::ops::pointwise;
use lumigrad_core::{DType, Device, Tensor, Var};
use std::sync::{Arc, Mutex};

/// Components whose weight is below e^this times the largest are left out.
const NEGLIGIBLE: f64 = -30.0;
/// Sets of components that are kept on devices.
const KEPT: usize = 64;

/// Some components on a device.
#[derive(Debug)]
struct Arrays {
    /// [K, 1, D]; of the cosine transform in that basis.
    means: Var,
    /// [K, D, r], principal directions.
    directions: Option<Var>,
    /// [K, 1, r] or [K, 1, D].
    variances: Var,
    /// [K, 1, 1].
    residuals: Var,
}

type Key = (Vec<usize>, DType, Device);

/// What was sent to devices.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Vec<(Key, Arc<Arrays>)>>);

impl Cache {
    fn get(&self, mixture: &Mixture, key: Key) -> Result<Arc<Arrays>> {
        let lock = || self.0.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, found)) = lock().iter().find(|(k, _)| *k == key) {
            return Ok(found.clone());
        }
        let made = Arc::new(Arrays::new(mixture, &key)?);
        let mut kept = lock();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((key, made.clone()));
        Ok(made)
    }
}

impl Arrays {
    fn new(mixture: &Mixture, (which, dtype, device): &Key) -> Result<Self> {
        let (count, d) = (which.len(), mixture.dimensions());
        let put = |data: Vec<f64>, shape: &[usize]| -> Result<Var> {
            Ok(Tensor::from_slice(&Device::cpu(), &data, shape)?.cast(*dtype)?.to_device(device)?.into())
        };
        let components = || which.iter().map(|&k| &mixture.components[k]);
        let mut means = put(components().flat_map(|c| c.mean.iter().copied()).collect(), &[count, 1, d])?;
        let (mut directions, mut variances, mut residuals) = (vec![], vec![], vec![]);
        for c in components() {
            match &c.covariance {
                Covariance::Principal { directions: u, variances: v, residual } => {
                    directions.extend_from_slice(u);
                    variances.extend_from_slice(v);
                    residuals.push(*residual);
                }
                Covariance::Cosine { variances: v } => variances.extend_from_slice(v),
            }
        }
        let r = variances.len() / count;
        let principal = !residuals.is_empty();
        if !principal {
            residuals = vec![0.0; count];
            let [h, w] = mixture.info.size.unwrap_or_default();
            let pictures = means.reshape(&[count, h, w, mixture.info.channels])?;
            means = cosine_transform(&pictures)?.reshape(&[count, 1, d])?;
        }
        let directions = (principal && r > 0).then(|| put(directions, &[count, d, r])).transpose()?;
        Ok(Self {
            means,
            directions,
            variances: put(variances, &[count, 1, r])?,
            residuals: put(residuals, &[count, 1, 1])?,
        })
    }
}

/// ε̂_k [K, n, D] and ln(π_k N_k) [K, n, 1] of the components that count, up to a constant per picture.
struct Seen {
    noises: Var,
    scores: Var,
    /// What was taken from the logarithmic weights of each picture.
    most: Vec<f64>,
}

/// What the components see, for checked inputs; `logs[i]` are their logarithmic weights for picture i.
fn seen(mixture: &Mixture, noisy: &Tensor, levels: &[Level], logs: &[&[f64]]) -> Result<Seen> {
    let (n, d) = (noisy.shape()[0], mixture.dimensions());
    let most: Vec<f64> = logs.iter().map(|l| l.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect();
    let counts = |k: usize| (0..n).any(|i| logs[i][k] - most[i] > NEGLIGIBLE);
    let which: Vec<usize> = (0..mixture.components.len()).filter(|&k| counts(k)).collect();
    let count = which.len();
    let put = |data: Vec<f64>, shape: &[usize]| -> Result<Var> {
        let host = Tensor::from_slice(&Device::cpu(), &data, shape)?;
        Ok(host.cast(noisy.dtype())?.to_device(noisy.device())?.into())
    };
    let level = |f: fn(&Level) -> f64| put((0..n).map(|i| f(of_picture(levels, i))).collect(), &[1, n, 1]);
    let (a, sigma) = (level(|l| l.a)?, level(|l| l.sigma)?);
    let places = which.iter().flat_map(|&k| (0..n).map(move |i| (k, i)));
    let weights = places.map(|(k, i)| (logs[i][k] - most[i]).max(-1e4)).collect();
    let weights = put(weights, &[count, n, 1])?;
    let arrays = mixture.cache.get(mixture, (which, noisy.dtype(), noisy.device().clone()))?;
    let cosine = matches!(mixture.components[0].covariance, Covariance::Cosine { .. });
    let noisy_var = Var::from(noisy.clone());
    let x = if cosine { cosine_transform(&noisy_var)? } else { noisy_var };
    let x = x.reshape(&[1, n, d])?;
    let off = pointwise("guidance/off mean", &[&x, &a, &arrays.means], |v| v[0] - v[1] * v[2])?;
    let (noises, distances) = match cosine {
        true => diagonal(&off, &a, &sigma, &arrays)?,
        false => principal(&off, &a, &sigma, &arrays)?,
    };
    let scores = pointwise("guidance/score", &[&weights, &distances], |v| v[0] - 0.5 * v[1])?;
    Ok(Seen { noises, scores, most })
}

/// ε̂ [n, …] for checked inputs; `logs[i]` are the components' logarithmic weights for picture i.
pub(super) fn predict(mixture: &Mixture, noisy: &Tensor, levels: &[Level], logs: &[&[f64]]) -> Result<Tensor> {
    let Seen { noises, scores, .. } = seen(mixture, noisy, levels, logs)?;
    let [count, n, d] = [0, 1, 2].map(|k| noises.shape()[k]);
    let mixed = match count {
        1 => noises.reshape(&[n, d])?,
        _ => {
            let largest = scores.max_axis(0)?.reshape(&[1, n, 1])?;
            let parts = pointwise("guidance/part", &[&scores, &largest], |v| (v[0] - v[1]).max(-80.0).exp())?;
            let total = parts.sum_axis(0)?.reshape(&[1, n, 1])?;
            parts.div(&total)?.mul(&noises)?.sum_axis(0)?
        }
    };
    let cosine = matches!(mixture.components[0].covariance, Covariance::Cosine { .. });
    let mixed = if cosine { inverse_cosine_transform(&mixed.reshape(noisy.shape())?)? } else { mixed };
    Ok(mixed.tensor().reshape(noisy.shape())?)
}

/// ln p(x_t) of each picture.
pub(super) fn log_density(mixture: &Mixture, noisy: &Tensor, levels: &[Level], logs: &[&[f64]]) -> Result<Vec<f64>> {
    let Seen { scores, most, .. } = seen(mixture, noisy, levels, logs)?;
    let [count, n] = [0, 1].map(|k| scores.shape()[k]);
    let scores = scores.tensor().to_f64_vec()?;
    let log_sum = |values: &mut dyn Iterator<Item = f64>| {
        let all: Vec<f64> = values.collect();
        let top = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        top + all.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
    };
    let constant = 0.5 * mixture.dimensions() as f64 * std::f64::consts::TAU.ln();
    let one = |i: usize| {
        let joint = log_sum(&mut (0..count).map(|k| scores[k * n + i])) + most[i];
        joint - log_sum(&mut logs[i].iter().copied()) - constant
    };
    Ok((0..n).map(one).collect())
}

/// ε̂_k [K, n, D] and −2 ln N up to a constant [K, n, 1], independent coefficients.
fn diagonal(off: &Var, a: &Var, sigma: &Var, arrays: &Arrays) -> Result<(Var, Var)> {
    let inputs = [off, a, sigma, &arrays.variances];
    let noise =
        pointwise("guidance/diagonal noise", &inputs, |v| v[2] * v[0] / (v[1] * v[1] * v[3] + v[2] * v[2]).max(1e-30))?;
    let distance = pointwise("guidance/diagonal distance", &inputs, |v| {
        let variance = (v[1] * v[1] * v[3] + v[2] * v[2]).max(1e-30);
        v[0] * v[0] / variance + variance.ln()
    })?;
    let [count, n, _] = [0, 1, 2].map(|k| off.shape()[k]);
    Ok((noise, distance.sum_axis(2)?.reshape(&[count, n, 1])?))
}

/// The same for r principal directions by Woodbury's identity.
fn principal(off: &Var, a: &Var, sigma: &Var, arrays: &Arrays) -> Result<(Var, Var)> {
    let [count, n, d] = [0, 1, 2].map(|k| off.shape()[k]);
    let r = arrays.variances.shape()[2];
    let rest =
        pointwise("guidance/rest", &[a, sigma, &arrays.residuals], |v| (v[0] * v[0] * v[2] + v[1] * v[1]).max(1e-30))?;
    let squares = off.square()?.sum_axis(2)?.reshape(&[count, n, 1])?;
    let Some(directions) = &arrays.directions else {
        let noise = pointwise("guidance/isotropic noise", &[off, sigma, &rest], |v| v[1] * v[0] / v[2])?;
        let free = Tensor::scalar(&Device::cpu(), d as f64)?.cast(off.dtype())?.to_device(off.device())?;
        let distance = pointwise("guidance/isotropic distance", &[&squares, &rest, &free.into()], |v| {
            v[0] / v[1] + v[2] * v[1].ln()
        })?;
        return Ok((noise, distance));
    };
    let along = off.matmul(directions)?;
    let inputs = [&along, a, sigma, &arrays.variances, &arrays.residuals];
    // What of a direction's coordinate is not noise: a²(λ − ρ)/(a²λ + σ²).
    let kept = pointwise("guidance/kept", &inputs, |v| {
        let a2 = v[1] * v[1];
        v[0] * a2 * (v[3] - v[4]) / (a2 * v[3] + v[2] * v[2]).max(1e-30)
    })?;
    let back = lumigrad_core::ops::matmul_with(&kept, false, directions, true)?;
    let noise = pointwise("guidance/principal noise", &[off, &back, sigma, &rest], |v| v[2] * (v[0] - v[1]) / v[3])?;
    let saved = kept.mul(&along)?.sum_axis(2)?.reshape(&[count, n, 1])?;
    let logs = pointwise("guidance/log variance", &[a, sigma, &arrays.variances], |v| {
        (v[0] * v[0] * v[2] + v[1] * v[1]).max(1e-30).ln()
    })?;
    let logs = logs.sum_axis(2)?.reshape(&[count, n, 1])?;
    let free = Tensor::scalar(&Device::cpu(), (d - r) as f64)?.cast(off.dtype())?.to_device(off.device())?;
    let distance = pointwise("guidance/principal distance", &[&squares, &saved, &rest, &logs, &free.into()], |v| {
        (v[0] - v[1]) / v[2] + v[3] + v[4] * v[2].ln()
    })?;
    Ok((noise, distance))
}
