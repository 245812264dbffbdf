//! Depth maps beside posed pictures.

use crate::picture::Picture;
use crate::{Error, Result};
use image::DynamicImage;
use std::path::{Path, PathBuf};

/// A file of depths along the camera's axis.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthMap {
    /// A 16-bit grey picture, or one of floating-point numbers (.exr, .hdr).
    pub path: PathBuf,
    /// What a 16-bit step stands for in the scene's units; numbers of floating-point files are in these units.
    pub unit: f64,
}

impl DepthMap {
    /// Depths [height, width] at a size, in the scene's units; 0 where none is known. Pixels are taken from where they lie,
    /// not mixed: depths of two surfaces have no mean.
    ///
    /// # Errors
    /// Files that cannot be read, and pictures of 8 bits.
    pub fn load(&self, width: usize, height: usize) -> Result<Vec<f32>> {
        let (own_width, own_height, data) = self.read(&self.path)?;
        let known = |x: f32| if x.is_finite() && x > 0.0 { x } else { 0.0 };
        Ok(nearest([own_width, own_height], [width, height]).map(|i| known(data[i])).collect())
    }

    fn read(&self, path: &Path) -> Result<(usize, usize, Vec<f32>)> {
        let floating = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("exr") || e.eq_ignore_ascii_case("hdr"));
        if floating {
            let picture = Picture::load(path)?;
            let first = picture.data.iter().step_by(picture.channels).copied().collect();
            return Ok((picture.width, picture.height, first));
        }
        let wrong = |message: String| Error::invalid(path.display(), message, "expected a grey picture of 16 bits");
        let decoded = image::ImageReader::open(path).map_err(Error::io(path))?.with_guessed_format();
        let decoded = decoded.map_err(Error::io(path))?.decode().map_err(|e| wrong(e.to_string()))?;
        match decoded {
            DynamicImage::ImageLuma16(grey) => {
                let (width, height) = (grey.width() as usize, grey.height() as usize);
                let data = grey.into_raw().into_iter().map(|x| (x as f64 * self.unit) as f32).collect();
                Ok((width, height, data))
            }
            other => Err(wrong(format!("a depth map of the type {:?}", other.color()))),
        }
    }
}

/// For each pixel of a picture the one of a map of the same view that lies where it does.
pub(super) fn nearest(own: [usize; 2], [width, height]: [usize; 2]) -> impl Iterator<Item = usize> {
    let at = |k: usize, n: usize, own: usize| ((2 * k + 1) * own / (2 * n)).min(own - 1);
    (0..width * height).map(move |i| at(i / width, height, own[1]) * own[0] + at(i % width, width, own[0]))
}
