//! A student in closed form: a Gaussian for each condition.

use crate::of_picture;
use crate::{Capability, Condition, DiffusionPrior, Error, Level, PriorInfo, Result, Student, Subject, combine};
use lumigrad_core::ops::{concat_tensors, slice_tensor};
use lumigrad_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// Part of mean and variance that a picture replaces, after the first ones.
const RATE: f64 = 0.02;
/// Sectors around an object, and bands of height.
const SECTORS: usize = 16;
const BANDS: usize = 5;
/// Smallest variance.
const FLOOR: f64 = 1e-4;

#[derive(Clone, Debug)]
struct Law {
    /// [1, height, width, channels].
    mean: Tensor,
    variance: f64,
    count: f64,
}

/// Learns the renders' law as an isotropic Gaussian for each subject and part of the sphere of views, by moving averages.
///
/// What analytic priors adapt to, and what tests of variational distillation compare with. Conditions that it saw no picture
/// of are N(0, I).
#[derive(Debug)]
pub struct GaussianStudent {
    info: PriorInfo,
    laws: BTreeMap<String, Law>,
}

impl GaussianStudent {
    /// A student that knows nothing. The seed is not needed: learning is deterministic.
    pub fn new(info: PriorInfo, _seed: u64) -> Self {
        let name = format!("the student of {}", info.name);
        let capabilities = [info.capabilities, vec![Capability::Density]].concat();
        Self { info: PriorInfo { name, capabilities, ..info }, laws: BTreeMap::new() }
    }

    fn key(condition: &Condition) -> String {
        let subject = match &condition.subject {
            Subject::Null => String::new(),
            Subject::Labels(labels) => format!("{labels:?}"),
            Subject::Text(text) => text.clone(),
        };
        let place = condition.view.map(|v| {
            let sector = (v.azimuth / std::f64::consts::TAU).rem_euclid(1.0) * SECTORS as f64;
            let band = (v.elevation / std::f64::consts::PI + 0.5).clamp(0.0, 1.0) * BANDS as f64;
            format!(" at {} {}", (sector + 0.5) as usize % SECTORS, (band as usize).min(BANDS - 1))
        });
        subject + &place.unwrap_or_default()
    }

    /// Means [n, …] and variances of n conditions.
    fn laws(&self, like: &Tensor, conditions: &[Condition]) -> Result<(Tensor, Vec<f64>)> {
        let one = [&[1], &like.shape()[1..]].concat();
        let zero = Tensor::zeros(like.device(), like.dtype(), &one)?;
        let found: Vec<(Tensor, f64)> = (0..like.shape()[0])
            .map(|i| match self.laws.get(&Self::key(of_picture(conditions, i))) {
                Some(law) => Ok((law.mean.cast(like.dtype())?.to_device(like.device())?, law.variance)),
                None => Ok((zero.clone(), 1.0)),
            })
            .collect::<Result<_>>()?;
        let means = concat_tensors(&found.iter().map(|f| &f.0).collect::<Vec<_>>(), 0)?;
        Ok((means, found.iter().map(|f| f.1).collect()))
    }

    fn check(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<()> {
        self.info.check("pictures", noisy.shape())?;
        self.info.check_entries("levels", noisy.shape()[0], levels.len())?;
        self.info.check_entries("conditions", noisy.shape()[0], conditions.len())
    }
}

impl DiffusionPrior for GaussianStudent {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        self.check(noisy, levels, conditions)?;
        if noisy.is_empty() {
            return Ok(noisy.clone());
        }
        let (means, variances) = self.laws(noisy, conditions)?;
        let weight = |i: usize| {
            let l = of_picture(levels, i);
            l.sigma / (l.a * l.a * variances[i] + l.sigma * l.sigma).max(1e-30)
        };
        let here: Vec<f64> = (0..variances.len()).map(weight).collect();
        let there: Vec<f64> = here.iter().enumerate().map(|(i, w)| -w * of_picture(levels, i).a).collect();
        Ok(combine(&[(&noisy.clone().into(), &here), (&means.into(), &there)])?.tensor().clone())
    }

    fn log_density(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Vec<f64>> {
        self.check(noisy, levels, conditions)?;
        let n = noisy.shape()[0];
        if noisy.is_empty() {
            return Ok(vec![0.0; n]);
        }
        let (means, variances) = self.laws(noisy, conditions)?;
        let a: Vec<f64> = (0..n).map(|i| -of_picture(levels, i).a).collect();
        let off = combine(&[(&noisy.clone().into(), &[1.0]), (&means.into(), &a)])?;
        let d = noisy.len() / n;
        let squares = off.square()?.reshape(&[n, d])?.sum_axis(1)?.tensor().to_f64_vec()?;
        let log = |(i, s): (usize, f64)| {
            let l = of_picture(levels, i);
            let v = (l.a * l.a * variances[i] + l.sigma * l.sigma).max(1e-30);
            -0.5 * (s / v + d as f64 * (std::f64::consts::TAU * v).ln())
        };
        Ok(squares.into_iter().enumerate().map(log).collect())
    }
}

impl Student for GaussianStudent {
    /// Moments of the pictures; noise and levels are needed for the loss alone.
    fn learn(&mut self, pictures: &Tensor, noise: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<f64> {
        self.check(pictures, levels, conditions)?;
        let n = pictures.shape()[0];
        if pictures.is_empty() {
            return Ok(0.0);
        }
        let (a, sigma): (Vec<f64>, Vec<f64>) =
            (0..n).map(|i| (of_picture(levels, i).a, of_picture(levels, i).sigma)).unzip();
        let noise = Var::from(noise.clone());
        let noisy = combine(&[(&pictures.clone().into(), &a), (&noise, &sigma)])?;
        let off = Var::from(self.predict(noisy.tensor(), levels, conditions)?).sub(&noise)?;
        let loss = off.square()?.mean()?.tensor().item()?;
        for i in 0..n {
            let picture = slice_tensor(pictures, 0, i, i + 1)?;
            let key = Self::key(of_picture(conditions, i));
            let law = match self.laws.remove(&key) {
                None => Law { mean: picture, variance: FLOOR, count: 1.0 },
                Some(law) => {
                    // Plain averages at first, then moving ones.
                    let rate = RATE.max(1.0 / (law.count + 1.0));
                    let mean = law.mean.cast(picture.dtype())?.to_device(picture.device())?;
                    let off = Var::from(picture.clone()).sub(&mean.clone().into())?;
                    let spread = off.square()?.mean()?.tensor().item()?;
                    let mean = combine(&[(&mean.into(), &[1.0 - rate]), (&picture.into(), &[rate])])?;
                    let variance = ((1.0 - rate) * (law.variance + rate * spread)).max(FLOOR);
                    Law { mean: mean.tensor().clone(), variance, count: law.count + 1.0 }
                }
            };
            if law.variance.is_finite() {
                self.laws.insert(key, law);
            }
        }
        Ok(loss)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut out = vec![];
        for (key, law) in &self.laws {
            let facts = Tensor::from_slice(&Device::cpu(), &[law.variance, law.count], &[2]);
            if let Ok(facts) = facts {
                out.push((format!("mean{key}"), law.mean.clone()));
                out.push((format!("facts{key}"), facts));
            }
        }
        out
    }

    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let mut laws = BTreeMap::new();
        for pair in state.chunks(2) {
            let [(name, mean), (_, facts)] = pair else {
                return Err(Error::Setting("a student's state ends amid a law".into()));
            };
            self.info.check(name, mean.shape())?;
            match (name.strip_prefix("mean"), facts.to_f64_vec()?.as_slice()) {
                (Some(key), &[variance, count]) if variance > 0.0 => {
                    laws.insert(key.to_string(), Law { mean: mean.clone(), variance, count });
                }
                _ => return Err(Error::Setting(format!("{name} is no law of a Gaussian student"))),
            }
        }
        self.laws = laws;
        Ok(())
    }
}
