//! What training, files and reports need of a prior that is trained here.

use crate::{Condition, CosineMixture, DiffusionPrior, Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use std::collections::BTreeMap;

/// What training changes of a prior.
pub struct Kept {
    /// Parameters of the network.
    pub(crate) values: Vec<Tensor>,
    /// What is known of it, for people.
    pub(crate) facts: BTreeMap<String, String>,
}

impl Kept {
    /// Parameters of which nothing is known yet.
    pub(crate) fn new(values: Vec<Tensor>) -> Self {
        Self { values, facts: BTreeMap::new() }
    }

    /// The parameters where they are needed, as constants.
    pub(crate) fn constants(&self, device: &Device) -> Result<Vec<Var>> {
        Ok(self.values.iter().map(|t| Ok(t.to_device(device)?.into())).collect::<lumigrad_core::Result<_>>()?)
    }
}

/// A prior whose network is trained here, on top of a mixture of Gaussians of cosine waves.
pub trait Trainable: DiffusionPrior {
    /// Name and shape of each parameter.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// What training changes.
    fn kept(&self) -> &Kept;

    /// The same, to be changed.
    fn kept_mut(&mut self) -> &mut Kept;

    /// The mixture under the network.
    fn gaussian(&self) -> &CosineMixture;

    /// Multiplications of the network for a picture of `size` pixels along a side.
    fn multiplications(&self, size: usize) -> usize;

    /// The loss of a step on pictures [N, P, P, C], with noise and levels drawn from `seed`: recorded by `values`.
    ///
    /// # Errors
    /// Shapes; conditions that it does not know.
    fn loss(&self, values: &[Var], pictures: &Tensor, conditions: &[Condition], seed: u64) -> Result<Var>;

    /// The prior as the bytes of a file.
    ///
    /// # Errors
    /// Those of the device.
    fn to_bytes(&self) -> Result<Vec<u8>>;

    /// What it is trained by, and the sizes of its network, as JSON.
    fn about(&self) -> serde_json::Value;

    /// Parameters of the network.
    fn values(&self) -> &[Tensor] {
        &self.kept().values
    }

    /// What is known of it, for people: how it was trained, what it scored.
    fn facts(&self) -> &BTreeMap<String, String> {
        &self.kept().facts
    }

    /// The same, to be changed.
    fn facts_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.kept_mut().facts
    }

    /// Takes other parameters.
    ///
    /// # Errors
    /// Numbers or shapes that are not the network's.
    fn set_values(&mut self, values: Vec<Tensor>) -> Result<()> {
        let own = &mut self.kept_mut().values;
        match values.len() == own.len() && values.iter().zip(own.iter()).all(|(a, b)| a.shape() == b.shape()) {
            true => *own = values,
            false => return Err(Error::shape("parameters of a prior", &[values.len()], "the arrays of its network")),
        }
        Ok(())
    }
}
