//! What networks predict, and how it becomes ε̂.

use crate::{Level, Result, combine, of_picture};
use lumigrad_core::Tensor;

/// What a network predicts of x_t = a·x + σ·ε. All are linear in each other, given x_t.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameterisation {
    /// The noise ε̂.
    Noise,
    /// v = a·ε − σ·x (Salimans & Ho 2022), for a² + σ² = 1.
    Velocity,
    /// The picture x̂0.
    Clean,
    /// x − ε, the direction from noise to pictures (IADB). Rectified flows that predict ε − x are its negative.
    Flow,
    /// ∇ log p(x_t) = −ε̂/σ.
    Score,
}

/// Smallest factor that is divided by: pure noise says nothing of the picture, and a picture nothing of noise.
const SMALLEST: f64 = 1e-12;

impl Parameterisation {
    /// (p, q) with output = p·ε̂ + q·x_t.
    fn of_noise(self, level: Level) -> (f64, f64) {
        let Level { a, sigma } = level;
        let a_safe = a.max(SMALLEST);
        match self {
            Self::Noise => (1.0, 0.0),
            // x̂0 = (x_t − σε̂)/a.
            Self::Clean => (-sigma / a_safe, 1.0 / a_safe),
            Self::Velocity => (a + sigma * sigma / a_safe, -sigma / a_safe),
            Self::Flow => (-sigma / a_safe - 1.0, 1.0 / a_safe),
            Self::Score => (-1.0 / sigma.max(SMALLEST), 0.0),
        }
    }

    /// (p, q) with ε̂ = p·output + q·x_t.
    fn to_noise_weights(self, level: Level) -> (f64, f64) {
        let Level { a, sigma } = level;
        let norm = a * a + sigma * sigma;
        match self {
            Self::Noise => (1.0, 0.0),
            Self::Clean => (-a / sigma.max(SMALLEST), 1.0 / sigma.max(SMALLEST)),
            // From v = aε − σx and x_t = ax + σε: σx_t + av = (a² + σ²)ε.
            Self::Velocity => (a / norm, sigma / norm),
            // x_t − aD = (a + σ)ε.
            Self::Flow => (-a / (a + sigma), 1.0 / (a + sigma)),
            Self::Score => (-sigma, 0.0),
        }
    }

    /// How much ε̂ changes with the output, given x_t.
    pub fn noise_of_output(self, level: Level) -> f64 {
        self.to_noise_weights(level).0
    }

    /// ε̂ of a network's output.
    ///
    /// **Shapes**: output and x_t [n, …] alike; levels n or 1. No division by a: defined for pure noise. `Clean` at σ = 0 is
    /// undefined and gives large numbers.
    pub fn to_noise(self, output: &Tensor, noisy: &Tensor, levels: &[Level]) -> Result<Tensor> {
        weighted(output, noisy, levels, |l| self.to_noise_weights(l))
    }

    /// The output that a network of this kind would give for ε̂ (what it is trained to where ε̂ is the true noise). `Clean`,
    /// `Velocity` and `Flow` are undefined at a = 0.
    pub fn from_noise(self, noise: &Tensor, noisy: &Tensor, levels: &[Level]) -> Result<Tensor> {
        weighted(noise, noisy, levels, |l| self.of_noise(l))
    }
}

fn weighted(y: &Tensor, noisy: &Tensor, levels: &[Level], f: impl Fn(Level) -> (f64, f64)) -> Result<Tensor> {
    let n = levels.len();
    let (p, q): (Vec<f64>, Vec<f64>) = (0..n).map(|i| f(*of_picture(levels, i))).unzip();
    Ok(combine(&[(&y.clone().into(), &p), (&noisy.clone().into(), &q)])?.tensor().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_core::{Device, Tensor};

    const ALL: [Parameterisation; 5] = [
        Parameterisation::Noise,
        Parameterisation::Velocity,
        Parameterisation::Clean,
        Parameterisation::Flow,
        Parameterisation::Score,
    ];

    #[test]
    fn every_parameterisation_gives_the_noise_back() {
        let (x, e) = ([0.3, -0.8, 1.2], [0.5, -0.1, 2.0]);
        for level in [Level::new(0.8, 0.6).unwrap(), Level::flow(0.3).unwrap(), Level::new(1.0, 7.0).unwrap()] {
            let noisy: Vec<f64> = x.iter().zip(&e).map(|(x, e)| level.a * x + level.sigma * e).collect();
            let tensor = |v: &[f64]| Tensor::from_slice(&Device::cpu(), v, &[1, 1, 1, 3]).unwrap();
            let noisy = tensor(&noisy);
            // By definition, not by conversion.
            let truth = |kind: Parameterisation, i: usize| match kind {
                Parameterisation::Noise => e[i],
                Parameterisation::Clean => x[i],
                Parameterisation::Velocity => level.a * e[i] - level.sigma * x[i],
                Parameterisation::Flow => x[i] - e[i],
                Parameterisation::Score => -e[i] / level.sigma,
            };
            for kind in ALL {
                let output = tensor(&[0, 1, 2].map(|i| truth(kind, i)));
                let back = kind.to_noise(&output, &noisy, &[level]).unwrap().to_vec::<f64>().unwrap();
                let there = kind.from_noise(&tensor(&e), &noisy, &[level]).unwrap().to_vec::<f64>().unwrap();
                for i in 0..3 {
                    assert!((back[i] - e[i]).abs() < 1e-12, "{kind:?} {level:?}");
                    assert!((there[i] - truth(kind, i)).abs() < 1e-12, "{kind:?} {level:?}");
                }
            }
        }
    }
}
