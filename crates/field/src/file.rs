//! Fields in files: safetensors with the description in the header.

use crate::{Error, Field, Result};
use lumigrad_core::{Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};

/// What describes a field in its file.
pub trait Description: Serialize + DeserializeOwned {
    /// Key of the description in the header.
    const KEY: &'static str;

    /// Names and shapes of its parameters.
    fn shapes(&self) -> Vec<(String, Vec<usize>)>;

    /// Checks what was read.
    ///
    /// # Errors
    /// What no such field has.
    fn check(&self) -> Result<()>;
}

impl Description for Field {
    const KEY: &'static str = "lumigrad.field";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.shapes()
    }

    fn check(&self) -> Result<()> {
        self.check()
    }
}

/// A field, a [`Field`] or a [`crate::Radiance`], with its parameters and facts about it.
#[derive(Clone, Debug)]
pub struct Model<D = Field> {
    /// The description.
    pub field: D,
    /// Parameters in the order of its shapes.
    pub values: Vec<Tensor>,
    /// Facts by name: what it is a field of, and where its domain lies.
    pub facts: BTreeMap<String, String>,
}

impl<D: Description> Model<D> {
    /// The file. The same model gives the same bytes.
    ///
    /// # Errors
    /// Values that cannot be read back from their device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let broken = |e: &dyn std::fmt::Display| Error::File(e.to_string());
        let arrays = self.field.shapes().into_iter().zip(&self.values).map(|((name, shape), value)| {
            let numbers = value.to_vec::<f32>()?;
            Ok((name, shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let views = arrays.iter().map(|(name, shape, bytes)| {
            Ok((name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| broken(&e))?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        // One entry: maps of several would be written in no fixed order.
        let header = serde_json::json!({ "field": self.field, "facts": self.facts });
        let header = HashMap::from([(D::KEY.to_owned(), header.to_string())]);
        safetensors::serialize(views, Some(header)).map_err(|e| broken(&e))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Bytes that are no field: what was found and what was expected.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let broken = |e: &dyn std::fmt::Display| Error::File(format!("not a whole field: {e}"));
        let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
        let text = header.metadata().as_ref().and_then(|m| m.get(D::KEY));
        let text = text.ok_or_else(|| Error::File(format!("no field of lumigrad: its header has no {}", D::KEY)))?;
        #[derive(serde::Deserialize)]
        struct Header<D> {
            field: D,
            facts: BTreeMap<String, String>,
        }
        let Header::<D> { field, facts } = serde_json::from_str(text).map_err(|e| broken(&e))?;
        field.check()?;
        let mut values = vec![];
        for (name, shape) in field.shapes() {
            let view = file.tensor(&name).map_err(|e| broken(&e))?;
            if view.dtype() != Dtype::F32 || view.shape() != shape {
                let (found, kind) = (view.shape(), view.dtype());
                return Err(Error::File(format!("{name} has shape {found:?} of {kind:?}, expected {shape:?} of F32")));
            }
            let four = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            values.push(Tensor::from_slice(device, &four.collect::<Vec<_>>(), &shape)?);
        }
        Ok(Self { field, values, facts })
    }
}
