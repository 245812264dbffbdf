//! Mixtures of Gaussians of pictures that are independent in cosine waves: the part of a picture's law that needs no network.

use crate::analytic::{cosine_matrix, cosine_transform, inverse_cosine_transform};
use crate::{Error, Level, Result, of_picture};
use lumigrad_core::ops::{pointwise, random};
use lumigrad_core::{Device, Tensor, Var, ops};

/// Least variance of a wave: quantised pictures say nothing of less.
const LEAST: f64 = 1e-7;
/// Rounds of expectation and maximisation.
const ROUNDS: usize = 20;
/// So many pictures of the common variances stand in each component beside its own: what few pictures lack is not 0.
const COMMON: f64 = 5.0;
/// Of the pictures that components begin at.
const SEED: u64 = 0x6d69_7874;
/// Variances of components over the common ones at the start, least and most.
const SPREAD: [f64; 2] = [0.02, 4.0];

/// A mixture of Gaussians of square pictures [N, P, P, C], in each of which cosine waves in both directions and over the channels
/// are independent.
///
/// Photographs look nearly the same wherever they are cut out, and their covariance is nearly diagonal in cosine waves
/// (Ahmed et al. 1974); over red, green and blue the waves are brightness and two opponent colours. Components differ in how
/// strong waves are, because some patches are smooth and others full of detail (Gaussian scale mixtures, Portilla et al. 2003,
/// here with variances of their own for each wave), and in their means, because colours come in kinds. With one component it is
/// a Gaussian.
#[derive(Clone, Debug)]
pub struct CosineMixture {
    size: usize,
    channels: usize,
    /// Of each component.
    weights: Vec<f32>,
    /// Of the waves in the order (wave along y, wave along x, channel wave), for one component after the other.
    means: Vec<f32>,
    /// In the same order.
    variances: Vec<f32>,
}

impl CosineMixture {
    /// From the weight of every component, and the means and the variances of all waves of the first component, the second, and
    /// so on.
    ///
    /// # Errors
    /// Numbers that do not fit P²·C waves, are not finite, or negative.
    pub fn new(size: usize, channels: usize, weights: Vec<f32>, means: Vec<f32>, variances: Vec<f32>) -> Result<Self> {
        let (n, k) = (size * size * channels, weights.len());
        if means.len() != n * k || variances.len() != n * k || n * k == 0 {
            let expected = format!("{k} times {n} means and variances ({size}² pixels of {channels} channels)");
            return Err(Error::shape("a mixture of cosine waves", &[means.len(), variances.len()], expected));
        }
        let good = |x: &f32| *x >= 0.0 && x.is_finite();
        if !weights.iter().all(good) || !variances.iter().all(good) || !means.iter().all(|m| m.is_finite()) {
            let message = "a mixture of cosine waves has weights or variances below 0, or numbers that are not finite";
            return Err(Error::Setting(message.into()));
        }
        let total: f32 = weights.iter().sum();
        if !(total > 0.0) {
            return Err(Error::Setting("a mixture of cosine waves has no weight".into()));
        }
        let weights = weights.into_iter().map(|w| w / total).collect();
        let variances = variances.into_iter().map(|v| v.max(LEAST as f32)).collect();
        Ok(Self { size, channels, weights, means, variances })
    }

    /// Estimated from pictures [N, P, P, C] by expectation and maximisation with so many components.
    ///
    /// # Errors
    /// Pictures that are not square, or none; no components.
    pub fn estimate(pictures: &Tensor, components: usize) -> Result<Self> {
        let (count, size, channels) = match *pictures.shape() {
            [n, h, w, c] if h == w && n * h * c * components > 0 => (n, h, c),
            _ => return Err(Error::shape("pictures of a mixture", pictures.shape(), "[N, P, P, C], at least one")),
        };
        let (n, k) = (size * size * channels, components);
        let waves = transform(&pictures.clone().into())?.reshape(&[count, n])?;
        let squares = waves.square()?;
        let mean = waves.mean_axis(0)?.tensor().to_f64_vec()?;
        let common: Vec<f64> = (squares.mean_axis(0)?.tensor().to_f64_vec()?.iter().zip(&mean))
            .map(|(square, mean)| (square - mean * mean).max(LEAST))
            .collect();
        let strength = |c: usize| match k {
            1 => 1.0,
            _ => SPREAD[0] * (SPREAD[1] / SPREAD[0]).powf(c as f64 / (k - 1) as f64),
        };
        let mut weights = vec![1.0 / k as f64; k];
        let mut means: Vec<f64> = mean.repeat(k);
        let mut variances: Vec<f64> =
            (0..k).flat_map(|c| common.iter().map(move |v| (v * strength(c)).max(LEAST))).collect();
        for round in 0..if k > 1 { ROUNDS } else { 1 } {
            // ln w − ½ Σ ((x − μ)²/λ + ln λ), then the share of each component in each picture.
            let put = |data: &[f64], shape: &[usize]| -> Result<Var> {
                Ok(Tensor::from_slice(&Device::cpu(), data, shape)?
                    .cast(pictures.dtype())?
                    .to_device(pictures.device())?
                    .into())
            };
            let inverse: Vec<f64> = variances.iter().map(|v| -0.5 / v).collect();
            let slopes: Vec<f64> = means.iter().zip(&variances).map(|(m, v)| m / v).collect();
            let offset = |(c, w): (usize, &f64)| {
                let of_component = means[c * n..][..n].iter().zip(&variances[c * n..][..n]);
                w.max(1e-30).ln() - 0.5 * of_component.map(|(m, v)| m * m / v + v.ln()).sum::<f64>()
            };
            let offsets: Vec<f64> = weights.iter().enumerate().map(offset).collect();
            let fit = ops::matmul_with(&squares, false, &put(&inverse, &[k, n])?, true)?
                .add(&ops::matmul_with(&waves, false, &put(&slopes, &[k, n])?, true)?)?
                .add(&put(&offsets, &[k])?)?;
            let shares = fit.softmax()?;
            let sums = |x: &Var| ops::matmul_with(&shares, true, x, false)?.tensor().to_f64_vec();
            let (firsts, seconds) = (sums(&waves)?, sums(&squares)?);
            let totals = shares.sum_axis(0)?.tensor().to_f64_vec()?;
            for c in 0..k {
                weights[c] = totals[c] / count as f64;
                // A component of less than one picture stays as it is.
                if totals[c] < 1.0 {
                    continue;
                }
                for i in c * n..(c + 1) * n {
                    means[i] = firsts[i] / totals[c];
                    let own = seconds[i] - totals[c] * means[i] * means[i];
                    let kept = if k > 1 { COMMON } else { 0.0 };
                    variances[i] = ((own + kept * common[i - c * n]) / (totals[c] + kept)).max(LEAST);
                }
            }
            if round == 0 && k > 1 {
                // Components begin at the colour of a picture that is theirs, drawn by their shares.
                let (shares, waves) = (shares.tensor().to_f64_vec()?, waves.tensor().to_f64_vec()?);
                for c in 0..k {
                    let mut left = totals[c] * random::uniform(SEED, c as u64);
                    let reached = |i: &usize| {
                        left -= shares[i * k + c];
                        left <= 0.0
                    };
                    let picture = (0..count).find(reached).unwrap_or(0);
                    means[c * n..][..channels].copy_from_slice(&waves[picture * n..][..channels]);
                }
            }
        }
        let narrow = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
        Self::new(size, channels, narrow(weights), narrow(means), narrow(variances))
    }

    /// Pixels along a side, and channels.
    pub fn size(&self) -> [usize; 2] {
        [self.size, self.channels]
    }

    /// Weights of components, then means and variances of waves for one component after the other; waves in the order
    /// (wave along y, wave along x, channel wave).
    pub fn moments(&self) -> [&[f32]; 3] {
        [&self.weights, &self.means, &self.variances]
    }

    /// The best prediction of x − ε from x_α = α·x + (1 − α)·ε: the mean over components, by how likely x_α is in each, of
    /// μ + (αΣ − (1 − α)I)(α²Σ + (1 − α)²I)⁻¹(x_α − αμ).
    ///
    /// **Shapes**: x_α [N, P, P, C] at flow levels (a = α, σ = 1 − α), N or 1 of them. No gradient. **Cost**: memory for
    /// N · components · P²·C numbers.
    pub fn flow(&self, noisy: &Tensor, levels: &[Level]) -> Result<Tensor> {
        let (p, c, k) = (self.size, self.channels, self.weights.len());
        let count = match *noisy.shape() {
            [n, h, w, d] if [h, w, d] == [p, p, c] => n,
            _ => {
                let expected = format!("[N, {p}, {p}, {c}]");
                return Err(Error::shape("noisy pictures", noisy.shape(), expected));
            }
        };
        let n = p * p * c;
        let put = |data: Vec<f64>, shape: &[usize]| -> Result<Var> {
            let t = Tensor::from_slice(&Device::cpu(), &data, shape)?.cast(noisy.dtype())?.to_device(noisy.device())?;
            Ok(t.into())
        };
        let wide = |values: &[f32]| values.iter().map(|x| *x as f64).collect::<Vec<f64>>();
        let alphas = put((0..count).map(|i| of_picture(levels, i).a).collect(), &[count, 1, 1])?;
        let means = put(wide(&self.means), &[1, k, n])?;
        let variances = put(wide(&self.variances), &[1, k, n])?;
        let waves = transform(&noisy.clone().into())?.reshape(&[count, 1, n])?;
        let found = pointwise("guidance/cosine flow", &[&waves, &means, &variances, &alphas], |x| {
            let (a, s) = (x[3], 1.0 - x[3]);
            x[1] + (x[0] - a * x[1]) * (a * x[2] - s) / (a * a * x[2] + s * s)
        })?;
        let mixed = if k == 1 {
            found
        } else {
            let fit = pointwise("guidance/cosine fit", &[&waves, &means, &variances, &alphas], |x| {
                let (a, s) = (x[3], 1.0 - x[3]);
                let (off, v) = (x[0] - a * x[1], a * a * x[2] + s * s);
                -0.5 * (off * off / v + v.ln())
            })?;
            let weights = self.weights.iter().map(|w| (*w as f64).max(1e-30).ln()).collect();
            let shares = fit.sum_axis(2)?.add(&put(weights, &[1, k])?)?.softmax()?;
            shares.reshape(&[count, 1, k])?.matmul(&found)?
        };
        Ok(inverse(&mixed.reshape(noisy.shape())?)?.tensor().clone())
    }

    /// The mean square error of the Gaussian with this mixture's moments, on pictures of its own law:
    /// Σλ/(α²λ + (1 − α)²) over the number of waves. The mixture's is at most that.
    pub fn flow_error(&self, alpha: f64) -> f64 {
        let n = self.means.len() / self.weights.len();
        let of_wave = |i: usize| {
            let parts = |values: &[f32], power: i32| -> f64 {
                let of = self.weights.iter().zip(values[i..].iter().step_by(n));
                of.map(|(w, x)| *w as f64 * (*x as f64).powi(power)).sum()
            };
            let v = parts(&self.variances, 1) + parts(&self.means, 2) - parts(&self.means, 1).powi(2);
            v / (alpha * alpha * v + (1.0 - alpha).powi(2))
        };
        (0..n).map(of_wave).sum::<f64>() / n as f64
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
pub(crate) fn transform(pictures: &Var) -> Result<Var> {
    channels(&cosine_transform(pictures)?, false)
}

/// The inverse of [`transform`].
pub(crate) fn inverse(waves: &Var) -> Result<Var> {
    inverse_cosine_transform(&channels(waves, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let gaussian = CosineMixture::new(1, 1, vec![1.0], vec![0.5], vec![0.09]).unwrap();
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
        let found = CosineMixture::estimate(inverse(&waves).unwrap().tensor(), 1).unwrap();
        for k in 0..12 {
            assert!((found.means[k] - mean[k]).abs() < 0.03, "{} for {}", found.means[k], mean[k]);
            assert!(
                (found.variances[k] / variance[k] - 1.0).abs() < 0.05,
                "{} for {}",
                found.variances[k],
                variance[k]
            );
        }
    }

    #[test]
    fn the_flow_of_a_mixture_is_the_mean_over_what_its_components_say() {
        let (variances, weights, means) = ([0.01, 1.0], [0.3, 0.7], [0.2, -0.4]);
        let mixture = CosineMixture::new(1, 1, vec![0.3, 0.7], vec![0.2, -0.4], vec![0.01, 1.0]).unwrap();
        for (x, alpha) in [(0.1, 0.9), (-1.5, 0.6), (0.4, 0.2)] {
            let noisy = Tensor::from_slice(&Device::cpu(), &[x], &[1, 1, 1, 1]).unwrap();
            let found = mixture.flow(&noisy, &[Level::flow(alpha).unwrap()]).unwrap().to_vec::<f64>().unwrap()[0];
            let sigma = 1.0 - alpha;
            let (mut sum, mut total) = (0.0, 0.0);
            for ((v, w), m) in variances.iter().zip(weights).zip(means) {
                let y = x - alpha * m;
                let spread: f64 = alpha * alpha * v + sigma * sigma;
                let density = w * (-0.5 * y * y / spread).exp() / spread.sqrt();
                sum += density * (m + (alpha * v - sigma) / spread * y);
                total += density;
            }
            assert!((found - sum / total).abs() < 1e-6, "{found} for {}", sum / total);
        }
    }

    #[test]
    fn estimates_tell_strong_pictures_from_weak_ones() {
        let n = 4000;
        let data: Vec<f64> =
            (0..n * 4).map(|i| (if i / 4 % 4 == 0 { 1.0 } else { 0.1 }) * random::normal(5, i as u64)).collect();
        let pictures = Tensor::from_slice(&Device::cpu(), &data, &[n, 2, 2, 1]).unwrap();
        let found = CosineMixture::estimate(&pictures, 2).unwrap();
        assert!((found.weights[1] - 0.25).abs() < 0.03, "{:?}", found.weights);
        assert!((found.variances[0] / 0.01 - 1.0).abs() < 0.1 && (found.variances[7] - 1.0).abs() < 0.15);
    }
}
