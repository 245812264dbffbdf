//! Arrays of trained priors in safetensors files.

use super::Trainable;
use crate::{CosineMixture, Error, Result, file};
use lumigrad_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

/// Most Gaussians under a network.
const MOST_COMPONENTS: usize = 1024;

/// A prior's file: its description, the mixture under its network, its parameters.
///
/// # Errors
/// Those of the device.
pub fn written(description: &str, prior: &dyn Trainable) -> Result<Vec<u8>> {
    let [size, channels] = prior.gaussian().size();
    let [weights, means, variances] = prior.gaussian().moments();
    let shape = vec![weights.len(), size * size * channels];
    let mut arrays: Vec<(String, Vec<usize>, Vec<u8>)> = vec![
        ("waves.weights".into(), vec![weights.len()], floats(weights)),
        ("waves.means".into(), shape.clone(), floats(means)),
        ("waves.variances".into(), shape, floats(variances)),
    ];
    for ((name, shape), value) in prior.shapes().into_iter().zip(prior.values()) {
        arrays.push((name, shape, floats(&value.to_vec::<f32>()?)));
    }
    let views = arrays.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("sizes agree");
        (name.as_str(), view)
    });
    let metadata = HashMap::from([(file::KEY.to_owned(), description.to_owned())]);
    Ok(safetensors::serialize(views, Some(metadata)).expect("names differ"))
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Arrays of a file that is read.
pub struct Arrays<'a> {
    name: &'a str,
    file: SafeTensors<'a>,
}

impl<'a> Arrays<'a> {
    /// Of a file's bytes; `name` is what messages call it.
    ///
    /// # Errors
    /// Bytes that are cut off or no such file.
    pub fn new(name: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| Error::File {
            file: name.into(),
            reason: format!("no safetensors file, or cut off ({e}); expected what `lumigrad prior train` writes"),
        })?;
        Ok(Self { name, file })
    }

    fn wrong(&self, reason: String) -> Error {
        Error::File { file: self.name.into(), reason }
    }

    fn numbers(&self, array: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let view = self.file.tensor(array).map_err(|_| self.wrong(format!("it has no array {array:?}")))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            let found = format!("{array} is {:?} of shape {:?}", view.dtype(), view.shape());
            return Err(self.wrong(format!("{found}, expected F32 of shape {shape:?}")));
        }
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match values.iter().position(|x| !x.is_finite()) {
            Some(k) => Err(self.wrong(format!("{array} is not finite at {k}"))),
            None => Ok(values),
        }
    }

    /// An array of a shape.
    ///
    /// # Errors
    /// One that is missing, has another shape, or is not finite.
    pub fn tensor(&self, array: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(device, &self.numbers(array, shape)?, shape)?)
    }

    /// The mixture under a network.
    ///
    /// # Errors
    /// Arrays that are missing or make none.
    pub fn mixture(&self, size: usize, channels: usize, components: usize) -> Result<CosineMixture> {
        if !(1..=MOST_COMPONENTS).contains(&components) {
            return Err(self.wrong(format!("{components} components, expected 1 to {MOST_COMPONENTS}")));
        }
        let shape = [components, size * size * channels];
        let weights = self.numbers("waves.weights", &[components])?;
        let (means, variances) = (self.numbers("waves.means", &shape)?, self.numbers("waves.variances", &shape)?);
        CosineMixture::new(size, channels, weights, means, variances)
            .map_err(|e| self.wrong(format!("its description: {e}")))
    }
}
