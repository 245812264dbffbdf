//! Fields in files: safetensors with the description in the header.

use crate::{Error, Field, Result, arrays};
use lumigrad_core::{Device, Tensor};
use std::collections::BTreeMap;

/// Key of the description in the header.
const FIELD: &str = "lumigrad.field";

/// A field with its parameters and facts about it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The description.
    pub field: Field,
    /// Parameters in the order of [`Field::shapes`].
    pub values: Vec<Tensor>,
    /// Facts by name: what it is a field of, and where its domain lies.
    pub facts: BTreeMap<String, String>,
}

impl Model {
    /// The file. The same model gives the same bytes.
    ///
    /// # Errors
    /// Values that cannot be read back from their device.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = serde_json::json!({ "field": self.field, "facts": self.facts });
        arrays::to_bytes(self.field.shapes(), &self.values, (FIELD, header.to_string()))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Bytes that are no field, or one whose parameters are not finite: what was found and what was expected.
    pub fn from_bytes(bytes: &[u8], device: &Device) -> Result<Self> {
        let text = arrays::text(bytes, FIELD)?;
        let text = text.ok_or_else(|| Error::File(format!("no field of lumigrad: its header has no {FIELD}")))?;
        #[derive(serde::Deserialize)]
        struct Header {
            field: Field,
            facts: BTreeMap<String, String>,
        }
        let Header { field, facts } =
            serde_json::from_str(&text).map_err(|e| Error::File(format!("not a whole field: {e}")))?;
        field.check()?;
        let values = arrays::from_bytes(bytes, field.shapes(), device)?;
        Ok(Self { field, values, facts })
    }
}
