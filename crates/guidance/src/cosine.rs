//! Gaussians of pictures that are independent in cosine waves: the part of a picture's law that needs no network.

use crate::analytic::{cosine_matrix, cosine_transform, inverse_cosine_transform};
use crate::{Error, Level, Result, of_picture};
use lumigrad_core::{CallParams, Device, Map, Tensor, Var, ops};

/// Least variance of a wave: quantised pictures say nothing of less.
const LEAST: f64 = 1e-7;

/// A Gaussian of square pictures [N, P, P, C] whose cosine waves in both directions and over the channels are independent.
///
/// Photographs look nearly the same wherever they are cut out, and their covariance is nearly diagonal in cosine waves
/// (Ahmed et al. 1974); over red, green and blue the waves are brightness and two opponent colours. It needs P²·C numbers
/// where a full covariance needs their square.
#[derive(Clone, Debug)]
pub struct CosineGaussian {
    size: usize,
    channels: usize,
    /// Of the waves in the order (wave along y, wave along x, channel wave).
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl CosineGaussian {
    /// From mean and variance of every wave.
    ///
    /// # Errors
    /// Numbers that are not P²·C, not finite, or negative variances.
    pub fn new(size: usize, channels: usize, mean: Vec<f32>, variance: Vec<f32>) -> Result<Self> {
        let n = size * size * channels;
        if mean.len() != n || variance.len() != n || n == 0 {
            let expected = format!("{n} means and variances ({size}² pixels of {channels} channels)");
            return Err(Error::shape("a Gaussian of cosine waves", &[mean.len(), variance.len()], expected));
        }
        if let Some(k) = mean.iter().zip(&variance).position(|(m, v)| !m.is_finite() || !(*v >= 0.0) || v.is_infinite())
        {
            return Err(Error::Setting(format!("wave {k} has mean {} and variance {}", mean[k], variance[k])));
        }
        let variance = variance.into_iter().map(|v| v.max(LEAST as f32)).collect();
        Ok(Self { size, channels, mean, variance })
    }

    /// Estimated from pictures [N, P, P, C].
    ///
    /// # Errors
    /// Pictures that are not square, or none.
    pub fn estimate(pictures: &Tensor) -> Result<Self> {
        let (size, channels) = match *pictures.shape() {
            [n, h, w, c] if h == w && n * h * c > 0 => (h, c),
            _ => return Err(Error::shape("pictures of a Gaussian", pictures.shape(), "[N, P, P, C], at least one")),
        };
        let n = size * size * channels;
        let rows = transform(&pictures.clone().into())?.tensor().to_f64_vec()?;
        let count = (rows.len() / n) as f64;
        let mut mean = vec![0.0; n];
        rows.chunks_exact(n).for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += x / count));
        let mut variance = vec![0.0; n];
        for row in rows.chunks_exact(n) {
            (variance.iter_mut().zip(row.iter().zip(&mean))).for_each(|(v, (x, m))| *v += (x - m) * (x - m) / count);
        }
        let narrow = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
        Self::new(size, channels, narrow(mean), narrow(variance))
    }

    /// Pixels along a side, and channels.
    pub fn size(&self) -> [usize; 2] {
        [self.size, self.channels]
    }

    /// Mean and variance of each wave, in the order (wave along y, wave along x, channel wave).
    pub fn moments(&self) -> [&[f32]; 2] {
        [&self.mean, &self.variance]
    }

    /// The best prediction of x − ε from x_α = α·x + (1 − α)·ε: μ + (αΣ − (1 − α)I)(α²Σ + (1 − α)²I)⁻¹(x_α − αμ).
    ///
    /// **Shapes**: x_α [N, P, P, C] at flow levels (a = α, σ = 1 − α), N or 1 of them. No gradient.
    pub fn flow(&self, noisy: &Tensor, levels: &[Level]) -> Result<Tensor> {
        let (p, c) = (self.size, self.channels);
        let &[n, ..] = noisy.shape() else { return Err(self.unfit(noisy)) };
        if noisy.shape() != [n, p, p, c] {
            return Err(self.unfit(noisy));
        }
        let coefficients = transform(&noisy.clone().into())?;
        let map = Map::cached("guidance/cosine flow", |m| {
            let count = m.int_param();
            let [x] = m.item("waves");
            let (laws, alphas) = (m.table::<2>("laws"), m.table::<1>("alphas"));
            let [mean, variance] = laws.fetch(m.index().modulo(count));
            let [alpha] = alphas.fetch(m.index().quotient(count));
            let sigma = 1.0 - alpha;
            let gain = (alpha * variance - sigma) / (alpha * alpha * variance + sigma * sigma);
            m.output("flow", &[mean + gain * (x - alpha * mean)]);
        });
        let put = |data: Vec<f64>, shape: &[usize]| -> Result<Var> {
            let t = Tensor::from_slice(&Device::cpu(), &data, shape)?.cast(noisy.dtype())?.to_device(noisy.device())?;
            Ok(t.into())
        };
        let laws = self.mean.iter().zip(&self.variance).flat_map(|(m, v)| [*m as f64, *v as f64]).collect();
        let laws = put(laws, &[p * p * c, 2])?;
        let alphas = put((0..n).map(|i| of_picture(levels, i).a).collect(), &[n, 1])?;
        let call = CallParams { int: vec![(p * p * c) as i32], ..CallParams::default() };
        let flow = map.apply_with(&[&coefficients, &laws, &alphas], call)?.remove(0);
        Ok(inverse(&flow.reshape(noisy.shape())?)?.tensor().clone())
    }

    /// The mean square error of [`CosineGaussian::flow`] on pictures of its own law: Σλ/(α²λ + (1 − α)²) over the number of
    /// waves.
    pub fn flow_error(&self, alpha: f64) -> f64 {
        let error = |v: &f32| *v as f64 / (alpha * alpha * *v as f64 + (1.0 - alpha).powi(2));
        self.variance.iter().map(error).sum::<f64>() / self.variance.len() as f64
    }

    fn unfit(&self, noisy: &Tensor) -> Error {
        let expected = format!("[N, {0}, {0}, {1}]", self.size, self.channels);
        Error::shape("noisy pictures", noisy.shape(), expected)
    }
}

/// Waves over the channels of [N, P, P, C], or back.
fn channels(x: &Var, inverse: bool) -> Result<Var> {
    let c = x.shape()[3];
    let m = Tensor::from_slice(&Device::cpu(), &cosine_matrix(c), &[c, c])?.cast(x.dtype())?.to_device(x.device())?;
    let rows = ops::matmul_with(&x.reshape(&[x.len() / c, c])?, false, &m.into(), !inverse)?;
    Ok(rows.reshape(x.shape())?)
}

/// Waves [N, wave along y, wave along x, channel wave] of pictures.
fn transform(pictures: &Var) -> Result<Var> {
    channels(&cosine_transform(pictures)?, false)
}

/// The inverse of [`transform`].
fn inverse(waves: &Var) -> Result<Var> {
    inverse_cosine_transform(&channels(waves, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::ops::random;

    #[test]
    fn waves_are_undone() {
        let x = lumigrad_testkit::real(&[2, 4, 4, 3], 1);
        let back = inverse(&transform(&x.clone().into()).unwrap()).unwrap();
        for (a, b) in back.tensor().to_vec::<f64>().unwrap().iter().zip(x.to_vec::<f64>().unwrap()) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn the_flow_of_a_scalar_gaussian_is_that_of_the_formula_and_its_error_is_as_stated() {
        // One pixel of one channel: mean 0.5, variance 0.09.
        let gaussian = CosineGaussian::new(1, 1, vec![0.5], vec![0.09]).unwrap();
        let n = 200_000;
        let put = |data: Vec<f64>| Tensor::from_slice(&Device::cpu(), &data, &[n, 1, 1, 1]).unwrap();
        for alpha in [0.0, 0.3, 0.9] {
            let level = Level::flow(alpha).unwrap();
            let pair: Vec<[f64; 2]> =
                (0..n as u64).map(|i| [0.5 + 0.3 * random::normal(1, i), random::normal(2, i)]).collect();
            let noisy: Vec<f64> = pair.iter().map(|[x, e]| alpha * x + (1.0 - alpha) * e).collect();
            let found = gaussian.flow(&put(noisy.clone()), &[level]).unwrap().to_vec::<f64>().unwrap();
            // E[x − ε | x_α] of jointly normal numbers: mean + covariance / variance · (x_α − mean).
            let slope = (alpha * 0.09 - (1.0 - alpha)) / (alpha * alpha * 0.09 + (1.0 - alpha) * (1.0 - alpha));
            assert!((found[7] - (0.5 + slope * (noisy[7] - alpha * 0.5))).abs() < 1e-6);
            let error = found.iter().zip(&pair).map(|(d, [x, e])| (d - (x - e)).powi(2)).sum::<f64>() / n as f64;
            assert!((error / gaussian.flow_error(alpha) - 1.0).abs() < 0.02, "{error} at {alpha}");
        }
    }

    #[test]
    fn estimates_find_the_law_of_their_samples() {
        let (n, p, c) = (20_000, 2, 3);
        let variance: Vec<f32> = (1..=12).map(|k| 1.0 / k as f32).collect();
        let mean: Vec<f32> = (0..12).map(|k| 0.1 * k as f32).collect();
        let waves: Vec<f64> = (0..n * 12)
            .map(|i| mean[i % 12] as f64 + (variance[i % 12] as f64).sqrt() * random::normal(3, i as u64))
            .collect();
        let waves = Var::from(Tensor::from_slice(&Device::cpu(), &waves, &[n, p, p, c]).unwrap());
        let found = CosineGaussian::estimate(inverse(&waves).unwrap().tensor()).unwrap();
        for k in 0..12 {
            assert!((found.mean[k] - mean[k]).abs() < 0.03, "{} for {}", found.mean[k], mean[k]);
            assert!((found.variance[k] / variance[k] - 1.0).abs() < 0.05, "{} for {}", found.variance[k], variance[k]);
        }
    }
}
