//! Trained priors in files: safetensors with the network's sizes beside its arrays.

use super::{Objective, TrainedPrior};
use crate::unet::{UNet, UNetConfig};
use crate::{CosineMixture, DiffusionPrior, Error, Result, file};
use lumigrad_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The file of a trained prior in its folder.
pub const FILE: &str = "unet.safetensors";
/// Kind of the prior in the file's metadata.
pub const KIND: &str = "trained";
/// Largest pictures that a file may be for.
const MOST_PIXELS: usize = 1024;
/// Most Gaussians under a network.
const MOST_COMPONENTS: usize = 1024;

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
    /// The prior as the bytes of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let [size, channels] = self.gaussian.size();
        let description = Description {
            kind: KIND.into(),
            objective: self.objective,
            network: self.network.config().clone(),
            size,
            channels,
            components: self.gaussian.moments()[0].len(),
            labels: self.info().labels.clone(),
            facts: self.facts.clone(),
        };
        let text = serde_json::to_string(&description).expect("numbers and text");
        let [weights, means, variances] = self.gaussian.moments();
        let shape = vec![weights.len(), size * size * channels];
        let mut arrays: Vec<(String, Vec<usize>, Vec<u8>)> = vec![
            ("waves.weights".into(), vec![weights.len()], floats(weights)),
            ("waves.means".into(), shape.clone(), floats(means)),
            ("waves.variances".into(), shape, floats(variances)),
        ];
        for ((name, shape), value) in self.network.shapes().zip(&self.values) {
            arrays.push((name.into(), shape.to_vec(), floats(&value.to_vec::<f32>()?)));
        }
        let views = arrays.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("sizes agree");
            (name.as_str(), view)
        });
        let metadata = HashMap::from([(file::KEY.to_owned(), text)]);
        Ok(safetensors::serialize(views, Some(metadata)).expect("names differ"))
    }

    /// Reads a file's bytes; `name` is what messages call it.
    ///
    /// # Errors
    /// Bytes that are cut off or no trained prior, arrays that are missing, of other shapes, or not finite.
    pub fn from_bytes(name: &str, bytes: &[u8], device: &Device) -> Result<Self> {
        let wrong = |reason: String| Error::File { file: name.into(), reason };
        let read = |e: safetensors::SafeTensorError| {
            wrong(format!("no safetensors file, or cut off ({e}); expected what `lumigrad prior train` writes"))
        };
        let header = file::header(name, bytes)?;
        let file = SafeTensors::deserialize(bytes).map_err(read)?;
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
        let array = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
            let view = file.tensor(name).map_err(|_| wrong(format!("it has no array {name:?}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                let found = format!("{name} is {:?} of shape {:?}", view.dtype(), view.shape());
                return Err(wrong(format!("{found}, expected F32 of shape {shape:?}")));
            }
            let values: Vec<f32> =
                view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            match values.iter().position(|x| !x.is_finite()) {
                Some(k) => Err(wrong(format!("{name} is not finite at {k}"))),
                None => Ok(values),
            }
        };
        if !(1..=MOST_COMPONENTS).contains(&d.components) {
            return Err(wrong(format!("{} components, expected 1 to {MOST_COMPONENTS}", d.components)));
        }
        let shape = [d.components, d.size * d.size * d.channels];
        let weights = array("waves.weights", &[d.components])?;
        let (means, variances) = (array("waves.means", &shape)?, array("waves.variances", &shape)?);
        let gaussian = CosineMixture::new(d.size, d.channels, weights, means, variances).map_err(inside)?;
        let network = UNet::new(d.network).map_err(inside)?;
        let values = network
            .shapes()
            .map(|(name, shape)| Ok(Tensor::from_slice(device, &array(name, shape)?, shape)?))
            .collect::<Result<Vec<_>>>()?;
        let mut prior =
            Self::with_values(&format!("the prior {name}"), network, values, gaussian, d.labels, d.objective)
                .map_err(inside)?;
        prior.facts = d.facts;
        Ok(prior)
    }

    fn sized_for(d: &Description) -> UNetConfig {
        UNetConfig { inputs: 2 * d.channels, outputs: d.channels, labels: d.labels.len(), ..d.network.clone() }
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}
