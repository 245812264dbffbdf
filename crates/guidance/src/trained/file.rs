//! Trained priors in files: safetensors with the network's sizes beside its arrays.

use super::arrays::{Arrays, written};
use super::{Objective, TrainedPrior};
use crate::unet::{UNet, UNetConfig};
use crate::{DiffusionPrior, Error, Result, file};
use lumigrad_core::Device;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file of a trained prior in its folder.
pub const FILE: &str = "unet.safetensors";
/// Kind of the prior in the file's metadata.
pub const KIND: &str = "trained";
/// Largest pictures that a file may be for.
const MOST_PIXELS: usize = 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    kind: String,
    objective: Objective,
    network: UNetConfig,
    size: usize,
    channels: usize,
    components: usize,
    labels: Vec<String>,
    facts: BTreeMap<String, String>,
}

impl TrainedPrior {
    pub(super) fn file(&self) -> Result<Vec<u8>> {
        let [size, channels] = self.gaussian.size();
        let description = Description {
            kind: KIND.into(),
            objective: self.objective,
            network: self.network.config().clone(),
            size,
            channels,
            components: self.gaussian.moments()[0].len(),
            labels: self.info().labels.clone(),
            facts: self.kept.facts.clone(),
        };
        written(&serde_json::to_string(&description).expect("numbers and text"), self)
    }

    /// Reads a file's bytes; `name` is what messages call it.
    ///
    /// # Errors
    /// Bytes that are cut off or no trained prior, arrays that are missing, of other shapes, or not finite.
    pub fn from_bytes(name: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        let wrong = |reason: String| Error::File { file: name.into(), reason };
        let arrays = Arrays::new(name, bytes)?;
        let header = file::header(name, bytes)?;
        let d: Description = serde_json::from_value(header).map_err(|e| wrong(format!("its description: {e}")))?;
        if d.kind != KIND {
            return Err(wrong(format!("a prior of the kind {:?}, expected {KIND:?}", d.kind)));
        }
        let inside = |e: Error| wrong(format!("its description: {e}"));
        d.objective.check().map_err(inside)?;
        if !(1..=MOST_PIXELS).contains(&d.size) || !(1..=4).contains(&d.channels) {
            let found = format!("pictures of {} pixels and {} channels", d.size, d.channels);
            return Err(wrong(format!("{found}, expected 1 to {MOST_PIXELS} and 1 to 4")));
        }
        if d.network != Self::sized_for(&d) {
            return Err(wrong("its network's channels or labels are not those of its pictures".into()));
        }
        let gaussian = arrays.mixture(d.size, d.channels, d.components)?;
        let network = UNet::new(d.network).map_err(inside)?;
        let values =
            network.shapes().map(|(name, shape)| arrays.tensor(name, shape, device)).collect::<Result<Vec<_>>>()?;
        let mut prior =
            Self::with_values(&format!("the prior {name}"), network, values, gaussian, d.labels, d.objective)
                .map_err(inside)?;
        prior.kept.facts = d.facts;
        Ok(prior)
    }

    fn sized_for(d: &Description) -> UNetConfig {
        UNetConfig { inputs: 2 * d.channels, outputs: d.channels, labels: d.labels.len(), ..d.network.clone() }
    }
}
