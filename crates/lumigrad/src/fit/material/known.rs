//! BRDFs that are known.

use super::FitMaterialJob;
use super::angles::Angles;
use super::gltf::Factors;
use super::merl::Merl;
use crate::{Error, Result};
use lumigrad_core::ops::random;

/// A BRDF that a field is fitted to.
pub enum Known {
    /// Of the rasteriser.
    Analytic(Factors),
    /// Of a file.
    Measured(Merl),
}

impl Known {
    /// What a job names.
    ///
    /// # Errors
    /// A file that cannot be read; factors beyond [0, 1]; both a file and a formula.
    pub fn new(job: &FitMaterialJob) -> Result<Self> {
        if let Some(path) = &job.measured {
            if job.brdf.is_some() {
                return Err(Error::usage("--brdf", "there is a measured material too", "give one of both"));
            }
            return Ok(Self::Measured(Merl::load(path)?));
        }
        let [r, g, b] = job.base_color;
        let within = [("--base-color", r), ("--base-color", g), ("--base-color", b)];
        for (flag, x) in within.into_iter().chain([("--metallic", job.metallic), ("--roughness", job.roughness)]) {
            if !(0.0..=1.0).contains(&x) {
                return Err(Error::usage(flag, format!("{x}"), "expected a number from 0 to 1"));
            }
        }
        let plain =
            Factors { base_color: job.base_color, metallic: job.metallic, roughness: job.roughness, specular: 1.0 };
        Ok(Self::Analytic(match job.brdf.as_deref() {
            Some("lambert") => Factors { metallic: 0.0, specular: 0.0, ..plain },
            _ => plain,
        }))
    }

    /// Pairs of directions, of a seed.
    pub fn draw(&self, seed: u64, n: usize) -> Vec<Angles> {
        match self {
            Self::Measured(merl) => (0..n as u64).map(|k| merl.draw(random::hash(seed, k))).collect(),
            Self::Analytic(_) => {
                let angles =
                    |k: u64| Angles::from_unit(std::array::from_fn(|c| random::uniform(seed, 3 * k + c as u64)));
                (0..).map(angles).filter(|a| a.is_above()).take(n).collect()
            }
        }
    }

    /// The BRDF at angles.
    pub fn at(&self, angles: &[Angles]) -> Result<Vec<[f32; 3]>> {
        match self {
            Self::Measured(merl) => Ok(angles.iter().map(|a| merl.at(*a)).collect()),
            Self::Analytic(factors) => factors.at(angles),
        }
    }
}
