//! Fields of space and time that begin as trained fields of space.

use super::FitKeys;
use crate::fields::place::Place;
use crate::fields::{FieldFile, find};
use crate::{Error, Result};
use lumigrad_core::ops::random;
use lumigrad_core::{Device, Tensor};
use lumigrad_field::{Encoding, Field, Parameter};
use std::path::Path;

/// Weights of time, in parts of the mean size of those of space: from zeros they would take long to learn.
const TIME: f64 = 0.1;

/// A network whose weights are those of a trained one, with a row for time that hardly counts.
pub struct Start {
    /// The field, of four coordinates.
    pub field: Field,
    /// Where its domain lies.
    pub place: Place,
    values: Vec<Vec<f32>>,
}

impl Start {
    /// Takes over the network of a file; the job may not ask for another one.
    ///
    /// # Errors
    /// The file is no field of a surface, or one that sees points by an encoding; keys that contradict it.
    pub fn load(path: &Path, keys: &FitKeys, seed: u64) -> Result<Self> {
        let shape = keys.width.or(keys.depth).is_some() || keys.omega.is_some();
        if keys.encoding.is_some() || keys.activation.is_some() || shape || keys.skips {
            let message = "encoding, activation, width, depth, omega and skips are those of the file";
            return Err(Error::usage("--init", message, "leave them out"));
        }
        let none = || Error::file(path.display(), "no field", "give the field.safetensors of fit sdf or fit eikonal");
        let file = FieldFile::load(&find(path).ok_or_else(none)?, &Device::cpu())?;
        let (place, sign) = {
            let solid = file.solid(None)?;
            (solid.place, solid.sign as f32)
        };
        let (field, values) = file.field(3)?;
        if field.encoding != Encoding::Identity || !field.skips.is_empty() {
            let help = "fit the start by fit sdf --encoding none, or by fit eikonal";
            return Err(Error::file(file.name(), "time can be added only to networks that see the point itself", help));
        }
        let mut values = values.iter().map(Tensor::to_vec::<f32>).collect::<lumigrad_core::Result<Vec<Vec<f32>>>>()?;
        // Weights are [in, out]: a coordinate is a row.
        let size = values[0].iter().map(|x| f64::from(x.abs())).sum::<f64>() / values[0].len() as f64;
        values[0].extend((0..field.width as u64).map(|k| (TIME * size * random::normal(seed ^ 0x71e, k)) as f32));
        // Negative inside.
        let last = values.len() - if field.bias { 2 } else { 1 };
        values[last..].iter_mut().flatten().for_each(|x| *x *= sign);
        Ok(Self { field: Field { dim: 4, ..field.clone() }, place, values })
    }

    /// Its parameters.
    pub fn parameters(&self, seed: u64, device: &Device) -> Result<Vec<Parameter>> {
        let own = self.field.start(seed, device)?.into_iter().zip(&self.values);
        own.map(|(p, values)| Ok(Parameter { value: Tensor::from_slice(device, values, p.value.shape())?, ..p }))
            .collect()
    }
}
