//! Priors over functions in files: safetensors with the network's sizes beside its arrays.

use super::InfinitePrior;
use crate::trained::{Arrays, written};
use crate::unet::{PointConfig, PointNet};
use crate::{DiffusionPrior, Error, Result};
use lumigrad_core::{Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Kind of the prior in the file's metadata.
pub const KIND: &str = "infinite";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    kind: String,
    network: PointConfig,
    channels: usize,
    labels: Vec<String>,
    facts: BTreeMap<String, String>,
}

impl InfinitePrior {
    pub(super) fn file(&self) -> Result<Vec<u8>> {
        let description = Description {
            kind: KIND.into(),
            network: self.network.config().clone(),
            channels: self.info().channels,
            labels: self.info().labels.clone(),
            facts: self.kept.facts.clone(),
        };
        written(&serde_json::to_string(&description).expect("numbers and text"), self)
    }

    /// Reads a file's bytes; `name` is what messages call it.
    ///
    /// # Errors
    /// Bytes that are cut off or no such prior, arrays that are missing, of other shapes, or not finite.
    pub fn from_bytes(name: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        let wrong = |reason: String| Error::File { file: name.into(), reason };
        let inside = |e: Error| wrong(format!("its description: {e}"));
        let arrays = Arrays::new(name, bytes)?;
        let d: Description = serde_json::from_value(crate::file::header(name, bytes)?)
            .map_err(|e| wrong(format!("its description: {e}")))?;
        if d.kind != KIND || !(1..=4).contains(&d.channels) {
            return Err(wrong(format!(
                "a prior of kind {:?} with {} channels, expected {KIND:?}, 1 to 4",
                d.kind, d.channels
            )));
        }
        if d.network != d.network.clone().sized(d.labels.len()) {
            return Err(wrong("its network's channels or labels are not those of its pictures".into()));
        }
        d.network.check().map_err(inside)?;
        let size = d.network.size;
        let gaussian = arrays.mixture(size, d.channels, 1)?;
        let network = PointNet::new(d.network, [2 * d.channels, d.channels]).map_err(inside)?;
        let values = network.shapes().into_iter().map(|(array, shape)| arrays.tensor(&array, &shape, device));
        let values = values.collect::<Result<Vec<Tensor>>>()?;
        let mut prior =
            Self::with_values(&format!("the prior {name}"), network, values, gaussian, d.labels).map_err(inside)?;
        prior.kept.facts = d.facts;
        Ok(prior)
    }
}
