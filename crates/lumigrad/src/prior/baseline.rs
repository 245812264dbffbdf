//! What trained priors have to beat: the Gaussian with mean and full covariance of the trained patches.

use super::folder::{CHANNELS, Part};
use super::task::{PriorTask, many};
use crate::Result;
use lumigrad_core::Device;
use lumigrad_guidance::analytic::{Mixture, Pictures};
use lumigrad_guidance::unet::UNetConfig;
use lumigrad_guidance::{DiffusionPrior, Objective, TrainedPrior};

/// Numbers of a patch up to which the full covariance is taken.
const MOST: usize = 1536;

impl PriorTask {
    /// The best Gaussian of the trained patches; of large ones the mixture that the network starts at.
    pub fn best_gaussian(&self) -> Result<Box<dyn DiffusionPrior>> {
        let (seed, p) = (super::frechet::stream(self.job.run.common.seed, 4), self.job.patch);
        if p * p * CHANNELS > MOST {
            // A network at its start says nothing: the least one will do.
            let network = UNetConfig { fold: 1, widths: vec![4], attention: false, ..UNetConfig::small(1, 1, 0) };
            let (gaussian, labels, start) =
                (self.prior.gaussian().clone(), self.folder.labels.clone(), (seed, &self.device));
            return Ok(Box::new(TrainedPrior::new("the Gaussian", network, gaussian, labels, Objective::Iadb, start)?));
        }
        let patches = self.folder.draw(Part::Trained, many(p), seed, &Device::cpu())?.pictures.to_vec::<f32>()?;
        let samples = patches.chunks_exact(p * p * CHANNELS).map(<[f32]>::to_vec).collect();
        Ok(Box::new(Mixture::best_gaussian(Pictures::new("the Gaussian", [p; 2], CHANNELS), samples)?))
    }
}
