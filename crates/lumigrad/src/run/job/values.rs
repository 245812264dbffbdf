//! Typed values of job keys.

use lumigrad_scene::environment::Environment;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::path::PathBuf;

/// Columns and rows of a picture, written `WxH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) = sides.ok_or_else(|| D::Error::custom(format!("expected WxH, found {text:?}")))?;
        Ok(Self { width, height })
    }
}

/// What to match.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum ViewSource {
    /// This many views, synthesised from the target.
    Count(usize),
    /// A folder of posed pictures.
    Folder(PathBuf),
}

/// Light from all around.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum EnvironmentChoice {
    /// The same radiance from everywhere.
    Radiance([f32; 3]),
    /// An equirectangular picture.
    File(PathBuf),
}

impl EnvironmentChoice {
    /// The light itself.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no light.
    pub fn load(&self) -> crate::Result<Environment> {
        Ok(match self {
            Self::Radiance(rgb) => Environment::constant(*rgb),
            Self::File(path) => Environment::load(path)?,
        })
    }
}

/// A parameter that may change.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ParamEntry {
    /// Pointer or pattern.
    pub pointer: String,
    /// Learning rate; `None`: chosen by what the parameter is.
    pub lr: Option<f64>,
}

/// Where a parameter starts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum InitEntry {
    /// One number for all elements.
    Number(f64),
    /// A vector for every row.
    Vector(Vec<f64>),
    /// A picture, or `noise:SIGMA`.
    Text(String),
}
