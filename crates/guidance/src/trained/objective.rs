//! What a prior is trained by: which levels of noise, and what an error costs there.

use crate::{Error, Level, Result, Schedule};
use lumigrad_core::ops::random;
use serde::{Deserialize, Serialize};

/// Levels of noise and weights of a training. Both predict the same of a picture and differ in where they look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Objective {
    /// Iterative α-(de)blending (Heitz et al. 2023): ‖D(x_α) − (x − ε)‖² at α uniform in [0, 1].
    Iadb,
    /// Noise-conditioned scores (Song & Ermon 2019): ½σ²‖s(x + σz) + z/σ‖² at geometric levels σ.
    Ncsn {
        /// Smallest σ.
        min: f64,
        /// Largest σ.
        max: f64,
        /// Number of levels.
        levels: usize,
    },
}

impl Objective {
    /// σ from 1 to 0.01 in ten levels, as its authors have it.
    pub const NCSN: Self = Self::Ncsn { min: 0.01, max: 1.0, levels: 10 };

    /// Refuses levels that do not exist.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Ncsn { min, max, levels } if !(min > 0.0 && max >= min && max.is_finite() && levels > 0) => {
                Err(Error::Setting(format!("{levels} noise levels from {min} to {max}, expected 0 < min <= max")))
            }
            _ => Ok(()),
        }
    }

    /// Its schedule.
    pub fn schedule(self) -> Schedule {
        match self {
            Self::Iadb => Schedule::Flow,
            Self::Ncsn { min, max, .. } => Schedule::Geometric { min, max },
        }
    }

    /// Flow levels of `n` pictures. IADB's are one in each n-th part of [0, 1], so that a step's loss varies little.
    pub fn draw(self, n: usize, seed: u64) -> Vec<Level> {
        (0..n)
            .map(|i| {
                let u = random::uniform(seed, i as u64);
                match self {
                    Self::Iadb => {
                        let alpha = (i as f64 + u) / n as f64;
                        Level { a: alpha, sigma: 1.0 - alpha }
                    }
                    Self::Ncsn { min, max, levels } => {
                        let level = (u * levels as f64) as usize;
                        let t = if levels > 1 { level as f64 / (levels - 1) as f64 } else { 0.0 };
                        let sigma = min * (max / min).powf(t);
                        Level { a: 1.0, sigma }.to_flow().0
                    }
                }
            })
            .collect()
    }

    /// Factor of the squared error of D at a flow level. NCSN's loss is ½‖ε̂ − ε‖², and ε̂ − ε = −α(D − (x − ε)).
    pub fn weight(self, level: Level) -> f64 {
        match self {
            Self::Iadb => 1.0,
            Self::Ncsn { .. } => 0.5 * level.a * level.a,
        }
    }
}
