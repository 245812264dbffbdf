//! At which step of its training a model knows a level of noise.

use super::config::read_text;
use crate::{Error, Level, Parameterisation, Result, Schedule};
use serde::Deserialize;

/// What is read of `scheduler_config.json`; the sampler that it names does not matter, for ours need levels only.
#[derive(Deserialize)]
struct Config {
    #[serde(default = "first")]
    beta_start: f64,
    #[serde(default = "last")]
    beta_end: f64,
    #[serde(default = "scaled")]
    beta_schedule: String,
    #[serde(default = "thousand")]
    num_train_timesteps: usize,
    #[serde(default = "epsilon")]
    prediction_type: String,
    #[serde(default)]
    rescale_betas_zero_snr: bool,
}

// The values of Stable Diffusion 1 and 2, for files that leave some out.
fn first() -> f64 {
    0.00085
}
fn last() -> f64 {
    0.012
}
fn scaled() -> String {
    "scaled_linear".into()
}
fn thousand() -> usize {
    1000
}
fn epsilon() -> String {
    "epsilon".into()
}

/// Most steps that a file may ask for.
const MOST_STEPS: usize = 1 << 16;

/// The levels that a model was trained at, and what it predicts.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// atan(σ/a) of every step, rising.
    angles: Vec<f64>,
    /// Closed form of the same levels, for methods that draw times.
    pub schedule: Schedule,
    /// What the network predicts.
    pub parameterisation: Parameterisation,
}

impl Scheduler {
    /// Reads `scheduler_config.json`.
    ///
    /// # Errors
    /// No JSON; schedules or predictions that are not known; numbers that are none of noise.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let c: Config = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let n = c.num_train_timesteps;
        let rising = 0.0 < c.beta_start && c.beta_start <= c.beta_end && c.beta_end < 1.0;
        if !(rising && (2..=MOST_STEPS).contains(&n)) {
            let (start, end) = (c.beta_start, c.beta_end);
            return Err(format!(
                "beta from {start} to {end} in {n} steps, expected 0 < start ≤ end < 1 and steps from 2"
            ));
        }
        let part = |i: usize| i as f64 / (n - 1) as f64;
        let between = |from: f64, to: f64, i: usize| from + (to - from) * part(i);
        let ends = [c.beta_start, c.beta_end].map(|b| b * n as f64);
        let (schedule, betas): (_, Vec<f64>) = match c.beta_schedule.as_str() {
            "linear" => (
                Schedule::Linear { start: ends[0], end: ends[1] },
                (0..n).map(|i| between(c.beta_start, c.beta_end, i)).collect(),
            ),
            "scaled_linear" => (
                Schedule::ScaledLinear { start: ends[0], end: ends[1] },
                (0..n).map(|i| between(c.beta_start.sqrt(), c.beta_end.sqrt(), i).powi(2)).collect(),
            ),
            "squaredcos_cap_v2" => {
                let alpha_bar = |i: usize| Schedule::Cosine.level(i as f64 / n as f64).alpha_bar();
                (Schedule::Cosine, (0..n).map(|i| (1.0 - alpha_bar(i + 1) / alpha_bar(i)).min(0.999)).collect())
            }
            other => {
                return Err(format!("beta_schedule is {other:?}, expected scaled_linear, linear or squaredcos_cap_v2"));
            }
        };
        let parameterisation = match c.prediction_type.as_str() {
            "epsilon" => Parameterisation::Noise,
            "v_prediction" => Parameterisation::Velocity,
            "sample" => Parameterisation::Clean,
            other => return Err(format!("prediction_type is {other:?}, expected epsilon, v_prediction or sample")),
        };
        let mut a: Vec<f64> = betas
            .iter()
            .scan(1.0, |product: &mut f64, beta| {
                *product *= 1.0 - beta;
                Some(product.sqrt())
            })
            .collect();
        if c.rescale_betas_zero_snr {
            // The last step is pure noise, the first stays (Lin et al. 2024, algorithm 1).
            let (most, least) = (a[0], a[n - 1]);
            a.iter_mut().for_each(|a| *a = (*a - least) * most / (most - least));
        }
        let angles = a.iter().map(|a| (1.0 - a * a).max(0.0).sqrt().atan2(*a)).collect();
        Ok(Self { angles, schedule, parameterisation })
    }

    /// The step of a level's ratio σ/a, between whole ones by its angle; more noise than the last step has is the last.
    pub fn step(&self, level: Level) -> f64 {
        let angle = level.sigma.atan2(level.a);
        let above = self.angles.partition_point(|known| *known < angle);
        match above {
            0 => 0.0,
            k if k == self.angles.len() => (k - 1) as f64,
            k => {
                let (lo, hi) = (self.angles[k - 1], self.angles[k]);
                (k - 1) as f64 + (angle - lo) / (hi - lo)
            }
        }
    }

    /// As [`Scheduler::parse`], naming the file.
    ///
    /// # Errors
    /// As [`Scheduler::parse`].
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let bad = |reason: String| Error::File { file: path.display().to_string(), reason };
        Self::parse(&read_text(path)?).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// √ᾱ of Stable Diffusion 1 at some steps, as published with its schedulers: ᾱ₀ = 0.99915, ᾱ₉₉₉ = 0.0047.
    #[test]
    fn levels_are_found_at_their_steps() {
        let scheduler = Scheduler::parse("{}").unwrap();
        let end = |k: usize| scheduler.angles[k].cos().powi(2);
        assert!((end(0) - 0.99915).abs() < 1e-9 && (end(999) - 0.00466).abs() < 1e-5, "{} {}", end(0), end(999));
        for step in [0.0, 1.0, 250.0, 999.0] {
            let angle = scheduler.angles[step as usize];
            let level = Level::new(3.0 * angle.cos(), 3.0 * angle.sin()).unwrap();
            assert!((scheduler.step(level) - step).abs() < 1e-9);
        }
        assert_eq!(scheduler.step(Level::new(0.0, 1.0).unwrap()), 999.0);
        assert_eq!(scheduler.step(Level::new(1.0, 0.0).unwrap()), 0.0);
        // The closed form is that of many steps.
        for t in [0.1, 0.5, 0.9] {
            let found = scheduler.step(scheduler.schedule.level(t));
            assert!((found - 1000.0 * t).abs() < 4.0, "{t}: {found}");
        }
    }

    #[test]
    fn other_schedules_are_read_or_refused() {
        let of = |text: &str| Scheduler::parse(text);
        let velocity = of(r#"{"prediction_type": "v_prediction", "rescale_betas_zero_snr": true}"#).unwrap();
        assert_eq!(velocity.parameterisation, Parameterisation::Velocity);
        assert!((velocity.angles[999] - std::f64::consts::FRAC_PI_2).abs() < 1e-9);
        assert!(
            of(r#"{"beta_schedule": "linear"}"#).is_ok() && of(r#"{"beta_schedule": "squaredcos_cap_v2"}"#).is_ok()
        );
        for bad in [
            r#"{"beta_schedule": "sigmoid"}"#,
            r#"{"prediction_type": "flow"}"#,
            r#"{"beta_end": 1.5}"#,
            r#"{"num_train_timesteps": 1}"#,
            r#"{"num_train_timesteps": 99999999}"#,
            "{",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
