//! Low-rank changes of a denoiser's attention (Hu et al. 2022): the student of variational distillation.

use super::{Ask, LatentPrior};
use crate::{Condition, DiffusionPrior, Error, Level, PriorInfo, Result, Student, combine};
use lumigrad_core::ops::{matmul_with, random_normal};
use lumigrad_core::{DType, Device, Tape, Tensor, Var};
use lumigrad_optim::{Adam, Group};

/// Rate of Adam (Wang et al. 2023).
const RATE: f64 = 1e-4;
/// Largest rank.
const MOST_RANK: usize = 256;
/// Name of the number of steps in a state.
const STEPS: &str = "steps";

/// A denoiser whose attention projections W are W + A·B, with A and B of a rank; at first A = 0, and it predicts what the prior does.
pub struct Adapter {
    prior: LatentPrior,
    info: PriorInfo,
    /// A and B of each projection, by turns.
    factors: Vec<Tensor>,
    adam: Adam,
}

impl Adapter {
    /// An adapter of `rank` for all attention projections.
    ///
    /// # Errors
    /// A rank of 0 or more than 256.
    pub fn new(prior: LatentPrior, rank: usize, seed: u64) -> Result<Self> {
        if !(1..=MOST_RANK).contains(&rank) {
            return Err(Error::Setting(format!("an adapter of rank {rank}, expected 1 to {MOST_RANK}")));
        }
        let model = &prior.0;
        let (mut factors, mut groups) = (vec![], vec![]);
        for &k in model.denoiser.adaptable() {
            let [rows, columns] = *model.weights.home()[k].shape() else { unreachable!("projections are matrices") };
            let b = random_normal(&Device::cpu(), DType::F32, &[rank, columns], seed.wrapping_add(k as u64))?;
            factors.push(Tensor::zeros(&Device::cpu(), DType::F32, &[rows, rank])?);
            factors.push(lumigrad_core::ops::scale_tensor(&b, 1.0 / rank as f64)?);
            groups.extend(["a", "b"].map(|which| Group::new(format!("{k}.{which}"), RATE)));
        }
        let info = PriorInfo { name: format!("the student of {}", prior.info().name), ..prior.info().clone() };
        Ok(Self { info, adam: Adam::new(groups), factors, prior })
    }

    /// The denoiser's parameters with the changes.
    fn changed(&self, factors: &[Var], device: &Device) -> Result<Vec<Var>> {
        let mut p = self.prior.0.weights.on(device)?.to_vec();
        for (pair, &k) in factors.chunks_exact(2).zip(self.prior.0.denoiser.adaptable()) {
            p[k] = p[k].add(&matmul_with(&pair[0], false, &pair[1], false)?)?;
        }
        Ok(p)
    }

    fn settle(&mut self, device: &Device) -> Result<()> {
        for factor in &mut self.factors {
            *factor = factor.to_device(device)?;
        }
        Ok(())
    }
}

impl DiffusionPrior for Adapter {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        let device = noisy.device();
        let factors = self.factors.iter().map(|f| Ok(f.to_device(device)?.into())).collect::<Result<Vec<Var>>>()?;
        let p = self.changed(&factors, device)?;
        self.prior.0.noise(&p, noisy, levels, conditions, &Ask::default())
    }
}

impl Student for Adapter {
    /// One step of Adam on the mean squared error of ε̂.
    fn learn(&mut self, latents: &Tensor, noise: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<f64> {
        let model = self.prior.0.clone();
        model.check(latents, levels, conditions)?;
        if latents.is_empty() {
            return Ok(0.0);
        }
        let device = latents.device();
        self.settle(device)?;
        let levels: Vec<Level> = levels.iter().map(|l| l.to_variance_preserving().0).collect();
        let (a, sigma): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let (x, e) = (latents.cast(DType::F32)?, noise.cast(DType::F32)?);
        let noisy = combine(&[(&x.into(), &a), (&e.clone().into(), &sigma)])?;
        let tape = Tape::new();
        let factors: Vec<Var> = self.factors.iter().map(|f| tape.variable(f.clone())).collect();
        let p = self.changed(&factors, device)?;
        let output = model.output(&p, &noisy, &levels, conditions, &Ask::default())?;
        // ε̂ is linear in the output, given what is noisy.
        let kind = model.scheduler.parameterisation;
        let target = kind.from_noise(&e, noisy.tensor(), &levels)?;
        let scales: Vec<f64> = levels.iter().map(|l| kind.noise_of_output(*l)).collect();
        let negative: Vec<f64> = scales.iter().map(|s| -s).collect();
        let loss = combine(&[(&output, &scales), (&target.into(), &negative)])?.square()?.mean()?;
        let mut gradients = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = factors.iter().map(|f| gradients.take(f)).collect();
        drop(factors);
        self.adam.step(&mut self.factors.iter_mut().collect::<Vec<_>>(), &gradients, 1.0)?;
        Ok(loss.tensor().item()?)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let (steps, moments) = self.adam.state();
        let named = self.adam.groups().iter().zip(&self.factors).map(|(g, f)| (g.name.clone(), f.clone()));
        let steps = Tensor::from_slice(&Device::cpu(), &[steps], &[1]).into_iter().map(|t| (STEPS.to_string(), t));
        named.chain(moments).chain(steps).collect()
    }

    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<()> {
        let found = |name: &str| state.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
        let missing = |name: &str| Error::Setting(format!("a student's state has no {name} of this adapter"));
        let mut factors = vec![];
        for (group, own) in self.adam.groups().iter().zip(&self.factors) {
            let factor = found(&group.name).filter(|f| f.shape() == own.shape());
            factors.push(factor.ok_or_else(|| missing(&group.name))?);
        }
        let steps = found(STEPS).ok_or_else(|| missing(STEPS))?.to_vec::<u32>()?;
        self.adam.load_state(steps.first().copied().unwrap_or(0), found);
        self.factors = factors;
        Ok(())
    }
}
