//! A prior whose pictures look at each other.

use crate::{Capability, Condition, DiffusionPrior, Level, PriorInfo, Result};
use lumigrad_core::Tensor;
use std::sync::Arc;

/// A prior that predicts all pictures of a batch together ([`DiffusionPrior::predict_together`]): keys and values of self-attention
/// are those of all of them, so that they are of one style.
pub struct Together {
    prior: Arc<dyn DiffusionPrior>,
    info: PriorInfo,
}

impl Together {
    /// Of a prior that can share features; `needed` is who needs it, as in [`PriorInfo::require`].
    ///
    /// # Errors
    /// One that cannot.
    pub fn new(prior: Arc<dyn DiffusionPrior>, needed: &str) -> Result<Self> {
        prior.info().require(Capability::Share, needed)?;
        let kept = |c: &Capability| matches!(c, Capability::Labels | Capability::Text | Capability::Views);
        let capabilities = prior.info().capabilities.iter().copied().filter(kept).collect();
        Ok(Self { info: PriorInfo { capabilities, ..prior.info().clone() }, prior })
    }
}

impl DiffusionPrior for Together {
    fn info(&self) -> &PriorInfo {
        &self.info
    }

    fn predict(&self, noisy: &Tensor, levels: &[Level], conditions: &[Condition]) -> Result<Tensor> {
        self.prior.predict_together(noisy, levels, conditions)
    }
}
