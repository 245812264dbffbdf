//! Pictures inside a page.

use crate::Result;
use base64::Engine;
use lumigrad_scene::picture::{Picture, Transfer};

/// A picture as a PNG file in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The file.
    pub png: Vec<u8>,
}

impl Image {
    /// A picture as it would be saved as PNG, reduced where a side is longer than `max_side`.
    ///
    /// # Errors
    /// The picture's data do not fit its size.
    pub fn new(picture: &Picture, max_side: usize) -> Result<Self> {
        let (w, h) = (picture.width, picture.height);
        let longest = w.max(h);
        let picture = if longest > max_side {
            let side = |n: usize| (n * max_side).div_ceil(longest);
            picture.clone().resized(side(w), side(h))
        } else {
            picture.clone()
        };
        Ok(Self { width: picture.width, height: picture.height, png: picture.encode_png()? })
    }

    /// Display-encoded values `[height, width, channels]` (1 to 4 channels, alpha straight) as they are.
    ///
    /// # Errors
    /// The values do not fit the size.
    pub fn from_encoded(values: &[f32], width: usize, height: usize) -> Result<Self> {
        let channels = values.len() / (width * height).max(1);
        let data = values.to_vec();
        let picture = Picture { width, height, channels, data, transfer: Transfer::Srgb, premultiplied: false };
        Self::new(&picture, usize::MAX)
    }

    /// The picture as the address of an `<img>`.
    pub fn data_uri(&self) -> String {
        format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(&self.png))
    }
}
