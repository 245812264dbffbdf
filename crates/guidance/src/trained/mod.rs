//! Priors that are trained here: a U-Net on top of a mixture of Gaussians of the same pictures.
//!
//! The network predicts what the mixture of cosine waves leaves: with x_α = α·x + (1 − α)·ε and the mixture's prediction
//! G(x_α) of x − ε, it is D = G + s(α)·U(x_α, G, α), where s² is the mean square error of the Gaussian with its variances. So U
//! starts at 0, where D is as good as the mixture, and what it must say has about unit size at every level (the preconditioning of
//! Karras et al. 2022, with a mixture in place of their scalar).

mod arrays;
mod file;
mod objective;
#[cfg(test)]
mod tests;
mod trainable;

pub(crate) use arrays::{Arrays, written};
pub use file::{FILE, KIND};
pub use objective::Objective;
pub use trainable::{Kept, Trainable};

use crate::unet::{UNet, UNetConfig, features};
use crate::{Capability, Condition, CosineMixture, DiffusionPrior, Error, Level, Parameterisation, PriorInfo, Result};
use crate::{combine, of_picture};
use lumigrad_core::{Device, Tensor, Var, ops};

/// A trained prior, or one that is about to be.
pub struct TrainedPrior {
    network: UNet,
    kept: Kept,
    gaussian: CosineMixture,
    objective: Objective,
    info: PriorInfo,
}

impl TrainedPrior {
    /// A prior at its start: as good as the mixture. `config` says how large its network is; channels and labels are taken
    /// from the mixture and from `labels`.
    ///
    /// # Errors
    /// Sizes that no network has, or that do not divide the pictures'.
    pub fn new(
        name: &str,
        config: UNetConfig,
        gaussian: CosineMixture,
        labels: Vec<String>,
        objective: Objective,
        (seed, device): (u64, &Device),
    ) -> Result<Self> {
        let network = UNet::new(Self::sized(config, &gaussian, labels.len()))?;
        let values = network.start(seed, device)?;
        Self::with_values(name, network, values, gaussian, labels, objective)
    }

    fn sized(config: UNetConfig, gaussian: &CosineMixture, labels: usize) -> UNetConfig {
        let [_, channels] = gaussian.size();
        UNetConfig { inputs: 2 * channels, outputs: channels, labels, ..config }
    }

    fn with_values(
        name: &str,
        network: UNet,
        values: Vec<Tensor>,
        gaussian: CosineMixture,
        labels: Vec<String>,
        objective: Objective,
    ) -> Result<Self> {
        let ([size, channels], multiple) = (gaussian.size(), network.config().multiple());
        if size % multiple != 0 {
            let message = format!("pictures of {size} pixels, expected a multiple of {multiple} for this network");
            return Err(Error::Setting(message));
        }
        let mut capabilities = vec![Capability::Views];
        if !labels.is_empty() {
            capabilities.push(Capability::Labels);
        }
        let info = PriorInfo {
            name: name.into(),
            size: Some([size; 2]),
            made_for: None,
            multiple,
            pixels: 1,
            channels,
            range: [-1.0, 1.0],
            labels,
            schedule: objective.schedule(),
            parameterisation: Parameterisation::Flow,
            capabilities,
        };
        Ok(Self { network, kept: Kept::new(values), gaussian, objective, info })
    }

    /// Its network.
    pub fn network(&self) -> &UNet {
        &self.network
    }

    /// What it is trained by.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// D(x_α): the prediction of x − ε at flow levels. **Gradients**: to the parameters.
    fn direction(&self, values: &[Var], noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Var> {
        let n = noisy.shape()[0];
        let gaussian = Var::from(self.gaussian.flow(noisy, levels)?);
        let told = features(levels, conditions, n, self.info.labels.len(), noisy.device(), noisy.dtype())?;
        let seen = ops::concat(&[&noisy.clone().into(), &gaussian], 3)?;
        let learnt = self.network.forward(values, &seen, &told.into())?;
        let scales: Vec<f64> = levels.iter().map(|l| self.gaussian.flow_error(l.a).sqrt()).collect();
        combine(&[(&gaussian, &[1.0]), (&learnt, &scales)])
    }

    /// D(x_α) − (x − ε).
    fn error(
        &self,
        values: &[Var],
        pictures: &Tensor,
        noise: &Tensor,
        levels: &[Level],
        conditions: &[Condition],
    ) -> Result<Var> {
        self.check("pictures", pictures, levels, conditions)?;
        let (x, e) = (Var::from(pictures.clone()), Var::from(noise.clone()));
        let (a, s): (Vec<f64>, Vec<f64>) = levels.iter().map(|l| (l.a, l.sigma)).unzip();
        let noisy = combine(&[(&x, &a), (&e, &s)])?;
        let found = self.direction(values, noisy.tensor(), levels, conditions)?;
        combine(&[(&found, &[1.0]), (&x, &[-1.0]), (&e, &[1.0])])
    }

    fn check(&self, what: &str, pictures: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<()> {
        self.info.check(what, pictures.shape())?;
        let n = pictures.shape()[0];
        self.info.check_entries("levels", n, levels.len())?;
        self.info.check_entries("conditions", n, conditions.len())?;
        conditions.iter().try_for_each(|c| self.info.check_condition(c))
    }
}

impl Trainable for TrainedPrior {
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.network.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
    }

    fn kept(&self) -> &Kept {
        &self.kept
    }

    fn kept_mut(&mut self) -> &mut Kept {
        &mut self.kept
    }

    fn gaussian(&self) -> &CosineMixture {
        &self.gaussian
    }

    fn multiplications(&self, size: usize) -> usize {
        self.network.multiplications(size)
    }

    fn loss(&self, values: &[Var], pictures: &Tensor, conditions: &[Condition], seed: u64) -> Result<Var> {
        let n = pictures.shape().first().copied().unwrap_or(0);
        let levels = self.objective.draw(n, seed);
        let noise = ops::random_normal(pictures.device(), pictures.dtype(), pictures.shape(), !seed)?;
        let error = self.error(values, pictures, &noise, &levels, conditions)?;
        let weights: Vec<f64> = levels.iter().map(|l| self.objective.weight(*l).sqrt()).collect();
        Ok(combine(&[(&error, &weights)])?.square()?.mean()?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        self.file()
    }

    fn about(&self) -> serde_json::Value {
        serde_json::json!({ "trained by": self.objective, "network": self.network.config() })
    }
}

impl DiffusionPrior for TrainedPrior {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        self.check("noisy pictures", noisy, levels, conditions)?;
        let n = noisy.shape()[0];
        let (flow, factors): (Vec<Level>, Vec<f64>) = (0..n).map(|i| of_picture(levels, i).to_flow()).unzip();
        let moved = combine(&[(&noisy.clone().into(), &factors)])?.tensor().clone();
        let values = self.kept.constants(noisy.device())?;
        let direction = self.direction(&values, &moved, &flow, conditions)?;
        Parameterisation::Flow.to_noise(direction.tensor(), &moved, &flow)
    }
}
