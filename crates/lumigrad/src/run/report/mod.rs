//! Reports: one HTML page that needs nothing else, not even a network.
//!
//! Fill a [`Report`] and write it. Pictures are inside as PNG, curves as SVG; sliders compare the views before and after.

mod chart;
mod image;
mod page;

pub use chart::{Curve, Series};
pub use image::Image;

use crate::Result;
use std::path::Path;

/// What a report shows. Empty parts are left out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Headline.
    pub title: String,
    /// One line below it.
    pub subtitle: String,
    /// The figures that matter, largest first.
    pub figures: Vec<Figure>,
    /// Things that the reader should know.
    pub warnings: Vec<String>,
    /// Views, each in several states.
    pub sliders: Vec<Slider>,
    /// Curves over iterations.
    pub curves: Vec<Curve>,
    /// Sounds.
    pub clips: Vec<Clip>,
    /// Moving pictures.
    pub films: Vec<Film>,
    /// Recovered pictures, each in several states.
    pub galleries: Vec<Gallery>,
    /// Tables: parameters, timings.
    pub tables: Vec<Table>,
    /// The complete job.
    pub job: String,
}

/// A headline figure.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// Its value with its unit.
    pub value: String,
    /// What it is to be compared with; may be empty.
    pub note: String,
}

impl Figure {
    /// A figure with a note.
    pub fn new(label: impl Into<String>, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into(), note: note.into() }
    }
}

/// One view in several states. The slider shows the first two at the start, by convention "before" and "after".
#[derive(Clone, Debug, Default)]
pub struct Slider {
    /// Name of the view.
    pub name: String,
    /// A figure of the view, such as its PSNR; may be empty.
    pub note: String,
    /// State and picture, all of one size.
    pub states: Vec<(String, Image)>,
}

/// A sound that can be played.
#[derive(Clone, Debug, Default)]
pub struct Clip {
    /// What it is.
    pub name: String,
    /// A WAV file that browsers play: 16-bit PCM.
    pub wav: Vec<u8>,
}

/// Pictures one after another, over and over.
#[derive(Clone, Debug, Default)]
pub struct Film {
    /// What it shows.
    pub name: String,
    /// More about it; may be empty.
    pub note: String,
    /// The pictures, all of one size.
    pub frames: Vec<Image>,
    /// How long all of them take.
    pub seconds: f64,
}

/// One picture of the scene, such as a texture, in several states side by side.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    /// Its pointer.
    pub name: String,
    /// A figure such as its PSNR; may be empty.
    pub note: String,
    /// State and picture.
    pub states: Vec<(String, Image)>,
}

/// A table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Title.
    pub title: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Cells of each row; numbers are set flush right.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        page::page(self)
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(lumigrad_scene::write_atomically(path, self.to_html().as_bytes())?)
    }
}

#[cfg(test)]
mod tests;
