//! Keys of posed photographs.

use super::dataset::Dataset;
use crate::Result;
use crate::run::Observer;
use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use lumigrad_scene::views::Options;
use std::path::{Path, PathBuf};

job_keys! {
    /// Keys of the photographs of a training.
    PhotoKeys {
        /// Folder of posed pictures: transforms.json, COLMAP or LLFF.
        data: Option<PathBuf>, Path, example "\"photos\"";
        /// Reduce pictures to 1/N of the size in their camera file.
        downscale: Option<usize>, Count(1), example "2";
        /// Bound of the longer side of pictures, pixels.
        max_size: Option<usize>, Count(1), example "800";
        /// What stands behind the scene and transparent pictures: white, black, random or R,G,B.
        background: String, Text, default "\"black\"";
    }
}

impl PhotoKeys {
    /// The photographs, with a warning of what cameras that stand still do not follow.
    ///
    /// # Errors
    /// A folder without posed pictures, files that cannot be read.
    pub fn load(&self, data: &Path, observer: &mut dyn Observer) -> Result<Dataset> {
        let options = Options { downscale: self.downscale, max_size: self.max_size, hdr: false };
        Dataset::load_still(data, &options, observer)
    }
}
