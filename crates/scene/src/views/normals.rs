//! Normal maps beside posed pictures.

use super::depth::nearest;
use crate::camera::View;
use crate::picture::{Picture, Transfer, load_exr_channels};
use crate::{Error, Result};
use std::path::PathBuf;

/// The axes that a normal map's numbers are along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NormalSpace {
    /// Those of the camera as OpenCV has them: x right, y down, z forward; what faces the camera has a negative z.
    #[default]
    OpenCv,
    /// Those of the camera as OpenGL has them: x right, y up, z backward; what faces the camera has a positive z.
    OpenGl,
    /// Those of the data set's world.
    World,
}

impl NormalSpace {
    /// Names in files.
    pub(super) const NAMES: [(&str, Self); 3] =
        [("opencv", Self::OpenCv), ("opengl", Self::OpenGl), ("world", Self::World)];
}

/// Normals that a colour encodes are of about unit length; what is not stands for none.
const LENGTHS: std::ops::Range<f32> = 0.7..1.3;

/// A file of surface normals.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalMap {
    /// A picture whose colours are 0.5 n + 0.5 (PNG and others), or n itself (.exr, .hdr).
    pub path: PathBuf,
    /// What the numbers mean.
    pub space: NormalSpace,
}

impl NormalMap {
    /// Unit normals [height, width] in the axes of a view's camera (x right, y down, z forward), at the view's size; zeros
    /// where none is known: where the file's alpha is below ½, or its vector's length is not about 1. Pixels are taken from
    /// where they lie, not mixed.
    ///
    /// # Errors
    /// Files that cannot be read, and grey pictures.
    pub fn load(&self, view: &View) -> Result<Vec<[f32; 3]>> {
        let floating = self.path.extension().is_some_and(|e| ["exr", "hdr"].iter().any(|f| e.eq_ignore_ascii_case(f)));
        let picture = self.read(floating)?;
        let channels = picture.channels;
        if channels < 3 {
            let message = format!("a normal map of {channels} channels");
            return Err(Error::invalid(self.path.display(), message, "expected red, green and blue: x, y and z"));
        }
        let of = |i: usize| {
            let pixel = &picture.data[i * channels..(i + 1) * channels];
            let own = [0, 1, 2].map(|k| if floating { pixel[k] } else { 2.0 * pixel[k] - 1.0 });
            let length = own.iter().map(|x| x * x).sum::<f32>().sqrt();
            match LENGTHS.contains(&length) && pixel.get(3).is_none_or(|a| *a >= 0.5) {
                true => self.seen(own.map(|x| x / length), view),
                false => [0.0; 3],
            }
        };
        Ok(nearest([picture.width, picture.height], [view.width, view.height]).map(of).collect())
    }

    /// The file's picture: of an EXR file the channels X, Y and Z where it has them, as `render --aov normal` writes them.
    fn read(&self, floating: bool) -> Result<Picture> {
        if floating && self.path.extension().is_some_and(|e| e.eq_ignore_ascii_case("exr")) {
            let all = load_exr_channels(&self.path)?;
            let find = |name: &str| all.list.iter().find(|(n, _)| n == name).map(|(_, values)| values);
            if let (Some(x), Some(y), Some(z)) = (find("X"), find("Y"), find("Z")) {
                let data = x.iter().zip(y).zip(z).flat_map(|((x, y), z)| [*x, *y, *z]).collect();
                let (width, height) = (all.width, all.height);
                let transfer = Transfer::Linear;
                return Ok(Picture { width, height, channels: 3, data, transfer, premultiplied: false });
            }
        }
        Ok(Picture::load(&self.path)?.into_straight())
    }

    /// In the axes of the camera.
    fn seen(&self, [x, y, z]: [f32; 3], view: &View) -> [f32; 3] {
        match self.space {
            NormalSpace::OpenCv => [x, y, z],
            NormalSpace::OpenGl => [x, -y, -z],
            NormalSpace::World => {
                let row = |r: usize| view.viewmat[r].map(|v| v as f32);
                [0, 1, 2].map(|r| row(r)[0] * x + row(r)[1] * y + row(r)[2] * z)
            }
        }
    }
}
