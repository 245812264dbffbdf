//! Levels of noise and schedules of them.

use crate::{Error, Result};

/// How much of a picture and how much noise there is: x_t = a·x + σ·ε with ε ~ N(0, I).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Factor of the picture, at least 0.
    pub a: f64,
    /// Factor of the noise (standard deviation), at least 0.
    pub sigma: f64,
}

impl Level {
    /// A level.
    ///
    /// # Errors
    /// When a factor is negative, not a number or infinite, or both are 0.
    pub fn new(a: f64, sigma: f64) -> Result<Self> {
        let good = |x: f64| x >= 0.0 && x.is_finite();
        match good(a) && good(sigma) && a + sigma > 0.0 {
            true => Ok(Self { a, sigma }),
            false => Err(Error::Level { a, sigma, reason: "both are at least 0, finite, and one is positive" }),
        }
    }

    /// The level of variance-preserving diffusion (a² + σ² = 1) with ᾱ = a².
    pub fn variance_preserving(alpha_bar: f64) -> Result<Self> {
        Self::new(alpha_bar.max(0.0).sqrt(), (1.0 - alpha_bar).max(0.0).sqrt())
    }

    /// The level of a straight flow from noise (α = 0) to pictures (α = 1): a = α, σ = 1 − α.
    pub fn flow(alpha: f64) -> Result<Self> {
        Self::new(alpha, 1.0 - alpha)
    }

    /// σ/a: what counts. Infinite for pure noise.
    pub fn ratio(self) -> f64 {
        self.sigma / self.a
    }

    /// ᾱ of the variance-preserving level with the same ratio: a²/(a² + σ²).
    pub fn alpha_bar(self) -> f64 {
        self.a * self.a / (self.a * self.a + self.sigma * self.sigma)
    }

    /// α of the flow's level with the same ratio: a/(a + σ).
    pub fn flow_alpha(self) -> f64 {
        self.a / (self.a + self.sigma)
    }

    /// The variance-preserving level with the same ratio, and the factor that takes x_t there.
    pub fn to_variance_preserving(self) -> (Self, f64) {
        let f = 1.0 / (self.a * self.a + self.sigma * self.sigma).sqrt();
        (Self { a: self.a * f, sigma: self.sigma * f }, f)
    }

    /// The flow's level with the same ratio, and the factor that takes x_t there.
    pub fn to_flow(self) -> (Self, f64) {
        let f = 1.0 / (self.a + self.sigma);
        (Self { a: self.a * f, sigma: self.sigma * f }, f)
    }
}

/// How the level goes from pictures (t = 0) to noise (t = 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// ᾱ = cos²(π/2·(t + s)/(1 + s)) over its value at 0, s = 0.008 (Nichol & Dhariwal 2021).
    Cosine,
    /// ᾱ = exp(−β₀t − (β₁ − β₀)t²/2), the continuous form of β linear in time (Song et al. 2021).
    Linear {
        /// β at t = 0 (0.1 for the usual thousand steps from 1e-4).
        start: f64,
        /// β at t = 1 (20 for the usual thousand steps to 0.02).
        end: f64,
    },
    /// ᾱ = exp(−∫β), √β linear in time (Rombach et al. 2022: Stable Diffusion).
    ScaledLinear {
        /// β at t = 0 (0.85 for the usual thousand steps from 0.00085).
        start: f64,
        /// β at t = 1 (12 for the usual thousand steps to 0.012).
        end: f64,
    },
    /// a = 1 − t, σ = t (rectified flow, IADB).
    Flow,
    /// a = 1, σ = σ_min·(σ_max/σ_min)^t (noise-conditioned scores, Song & Ermon 2019).
    Geometric {
        /// σ at t = 0.
        min: f64,
        /// σ at t = 1.
        max: f64,
    },
}

impl Schedule {
    /// β from 0.1 to 20.
    pub const LINEAR: Self = Self::Linear { start: 0.1, end: 20.0 };

    /// The level at `t`, clamped into [0, 1].
    pub fn level(self, t: f64) -> Level {
        let t = if t.is_nan() { 1.0 } else { t.clamp(0.0, 1.0) };
        let preserving = |alpha_bar: f64| {
            let alpha_bar = alpha_bar.clamp(0.0, 1.0);
            Level { a: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() }
        };
        match self {
            Self::Cosine => {
                let f = |t: f64| (std::f64::consts::FRAC_PI_2 * (t + 0.008) / 1.008).cos().powi(2);
                preserving(f(t) / f(0.0))
            }
            Self::Linear { start, end } => preserving((-start * t - 0.5 * (end - start) * t * t).exp()),
            Self::ScaledLinear { start, end } => {
                let (from, by) = (start.sqrt(), end.sqrt() - start.sqrt());
                preserving((-t * (from * from + from * by * t + by * by * t * t / 3.0)).exp())
            }
            Self::Flow => Level { a: 1.0 - t, sigma: t },
            Self::Geometric { min, max } => Level { a: 1.0, sigma: min * (max / min).powf(t) },
        }
    }

    /// The time whose level has this ratio σ/a, by bisection: t of a level of another schedule. Ratios outside the schedule
    /// give 0 or 1.
    pub fn time(self, ratio: f64) -> f64 {
        let (mut lo, mut hi) = (0.0f64, 1.0f64);
        for _ in 0..60 {
            let middle = 0.5 * (lo + hi);
            // Pure noise has an infinite ratio, and NaN counts as noise.
            if self.level(middle).ratio() <= ratio { lo = middle } else { hi = middle }
        }
        0.5 * (lo + hi)
    }

    /// `steps + 1` levels at equal steps of time from `from` down to `to` (both in [0, 1]).
    pub fn levels(self, from: f64, to: f64, steps: usize) -> Vec<Level> {
        (0..=steps).map(|k| self.level(from + (to - from) * k as f64 / steps.max(1) as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_go_from_pictures_to_noise() {
        for schedule in
            [Schedule::Cosine, Schedule::LINEAR, Schedule::Flow, Schedule::Geometric { min: 0.01, max: 50.0 }]
        {
            assert!(schedule.level(0.0).ratio() < 0.02, "{schedule:?}");
            assert!(schedule.level(1.0).ratio() > 40.0, "{schedule:?}");
            let ratios: Vec<f64> = schedule.levels(0.0, 1.0, 100).iter().map(|l| l.ratio()).collect();
            assert!(ratios.windows(2).all(|w| w[0] < w[1]), "{schedule:?}");
        }
    }

    #[test]
    fn the_time_of_a_ratio_is_the_inverse_of_the_level() {
        for schedule in
            [Schedule::Cosine, Schedule::LINEAR, Schedule::Flow, Schedule::Geometric { min: 0.01, max: 50.0 }]
        {
            for t in [0.02, 0.3, 0.5, 0.98] {
                assert!((schedule.time(schedule.level(t).ratio()) - t).abs() < 1e-9, "{schedule:?} at {t}");
            }
        }
    }

    #[test]
    fn levels_of_other_families_keep_the_ratio() {
        let level = Level::new(0.3, 1.7).unwrap();
        for (other, factor) in [level.to_flow(), level.to_variance_preserving()] {
            assert!((other.ratio() - level.ratio()).abs() < 1e-12);
            assert!((other.a - level.a * factor).abs() < 1e-12);
        }
        assert!(Level::new(0.0, 0.0).is_err() && Level::new(f64::NAN, 1.0).is_err() && Level::new(1.0, -1.0).is_err());
    }
}
