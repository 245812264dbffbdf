//! Fields in files: safetensors with the description in the header.

use crate::{Error, Field, Result, arrays};
use lumigrad_core::{Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

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
        let header = serde_json::json!({ "field": self.field, "facts": self.facts });
        arrays::to_bytes(self.field.shapes(), &self.values, (D::KEY, header.to_string()))
    }

    /// Whether a file says that it holds such a field.
    pub fn is_in(bytes: &[u8]) -> bool {
        arrays::text(bytes, D::KEY).is_ok_and(|text| text.is_some())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Bytes that are no field, or one whose parameters are not finite: what was found and what was expected.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let text = arrays::text(bytes, D::KEY)?;
        let text = text.ok_or_else(|| Error::File(format!("no field of lumigrad: its header has no {}", D::KEY)))?;
        #[derive(serde::Deserialize)]
        struct Header<D> {
            field: D,
            facts: BTreeMap<String, String>,
        }
        let Header::<D> { field, facts } =
            serde_json::from_str(&text).map_err(|e| Error::File(format!("not a whole field: {e}")))?;
        field.check()?;
        let values = arrays::from_bytes(bytes, field.shapes(), device)?;
        Ok(Self { field, values, facts })
    }
}
