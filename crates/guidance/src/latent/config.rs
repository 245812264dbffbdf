//! Configurations of networks: JSON of which every key must be understood.

use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

/// Largest JSON file that is read, bytes: vocabularies have one or two million.
const LARGEST: u64 = 64 << 20;

/// The text of a small file.
pub fn read_text(path: &Path) -> Result<String> {
    let bad = |reason: String| Error::File { file: path.display().to_string(), reason };
    let size = std::fs::metadata(path).map_err(|e| bad(format!("it cannot be read ({e})")))?.len();
    if size > LARGEST {
        return Err(bad(format!("{size} bytes are too many (at most {LARGEST})")));
    }
    std::fs::read_to_string(path).map_err(|e| bad(format!("it cannot be read ({e})")))
}

/// JSON of any kind.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bad = |reason: String| Error::File { file: path.display().to_string(), reason };
    serde_json::from_str(&read_text(path)?).map_err(|e| bad(format!("no JSON of the kind expected here: {e}")))
}

/// Keys of a configuration that are still to be read.
pub struct Config {
    file: String,
    left: Map<String, Value>,
}

impl Config {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: path.display().to_string(), left: read_json(path)? })
    }

    /// An error about this file.
    pub fn wrong(&self, reason: String) -> Error {
        Error::File { file: self.file.clone(), reason }
    }

    /// The value of a key, which no longer counts as unread; `null` is no value.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        match self.left.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let found = value.to_string();
                let read = serde_json::from_value(value);
                read.map(Some).map_err(|e| self.wrong(format!("{key} is {found}, which is of another kind ({e})")))
            }
        }
    }

    /// The value of a key, or what it is where it is missing.
    pub fn or<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// A key that must be there.
    pub fn required<T: DeserializeOwned>(&mut self, key: &str) -> Result<T> {
        self.optional(key)?.ok_or_else(|| self.wrong(format!("it has no {key}")))
    }

    /// A number of things within bounds.
    pub fn count(&mut self, key: &str, default: usize, [least, most]: [usize; 2]) -> Result<usize> {
        let found = self.or(key, default)?;
        match (least..=most).contains(&found) {
            true => Ok(found),
            false => Err(self.wrong(format!("{key} is {found}, expected {least} to {most}"))),
        }
    }

    /// Channels of the levels of a network, the finest first.
    pub fn widths(&mut self, key: &str) -> Result<Vec<usize>> {
        let found: Vec<usize> = self.required(key)?;
        match (1..=8).contains(&found.len()) && found.iter().all(|w| (1..=8192).contains(w)) {
            true => Ok(found),
            false => Err(self.wrong(format!("{key} is {found:?}, expected 1 to 8 widths of 1 to 8192"))),
        }
    }

    /// Refuses values of a key that change the network to one that is not known here.
    pub fn only(&mut self, key: &str, known: &[Value]) -> Result<()> {
        match self.left.remove(key) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if known.contains(&found) => Ok(()),
            Some(found) => {
                let known: Vec<String> = known.iter().map(Value::to_string).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(" or ") };
                Err(self.wrong(format!(
                    "{key} is {found}, which lumigrad does not know (expected {known}); it reads networks of the kinds \
                     of Stable Diffusion 1 and 2"
                )))
            }
        }
    }

    /// Refuses keys that nothing has read, which may change the network; notes (`_…`) may stay.
    pub fn finish(self) -> Result<()> {
        match self.left.iter().find(|(key, value)| !key.starts_with('_') && !value.is_null()) {
            None => Ok(()),
            Some((key, value)) => Err(self.wrong(format!(
                "{key} is {value}, a key that lumigrad does not know and that may change the network; it reads networks \
                 of the kinds of Stable Diffusion 1 and 2"
            ))),
        }
    }
}
