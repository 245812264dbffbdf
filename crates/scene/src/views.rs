//! Posed pictures: data sets of photographs with cameras.
//!
//! [`Views::load`] reads `transforms.json` data sets (NeRF-synthetic, instant-ngp, nerfstudio), COLMAP models and LLFF
//! folders. Pictures are found and measured at once, decoded only on demand. The world is the data set's own.

pub mod colmap;
mod depth;
mod llff;
mod locate;
mod normals;
mod readout;
mod transforms;

pub use depth::DepthMap;
pub use normals::{NormalMap, NormalSpace};
pub use readout::Readout;
pub use transforms::{load_cameras, save_transforms};

use crate::camera::View;
use crate::picture::Picture;
use crate::{Error, Result};
use locate::Locator;
use std::path::{Path, PathBuf};

/// How to load posed pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Picture size as a fraction of the size in the camera file: floor(W/K) × floor(H/K). `None`: as the files are.
    pub downscale: Option<usize>,
    /// Bound of the longer side, pixels.
    pub max_size: Option<usize>,
    /// Prefer `.exr` files where several have the same stem.
    pub hdr: bool,
}

/// A picture file and its camera.
#[derive(Clone, Debug, PartialEq)]
pub struct PosedPicture {
    /// The camera, at the size the picture is loaded with.
    pub view: View,
    /// The picture's file; may be larger than the view.
    pub path: PathBuf,
    /// The mask's file: what is black in it is to be ignored.
    pub mask: Option<PathBuf>,
    /// Depths of what it shows.
    pub depth: Option<DepthMap>,
    /// Normals of what it shows.
    pub normals: Option<NormalMap>,
    /// How the camera moved while a rolling shutter read the picture out; the view is its pose in the middle.
    pub readout: Option<Readout>,
}

impl PosedPicture {
    /// RGBA in linear light, premultiplied, area-resampled in light to the view's size.
    ///
    /// # Errors
    /// As [`Picture::load`].
    pub fn load_linear(&self) -> Result<Picture> {
        let picture = Picture::load(&self.path)?.into_rgba().into_linear().into_premultiplied();
        Ok(picture.resized(self.view.width, self.view.height))
    }

    /// RGBA encoded as sRGB, straight alpha, area-resampled in encoded values (as published benchmarks do) to the view's
    /// size.
    ///
    /// # Errors
    /// As [`Picture::load`].
    pub fn load_encoded(&self) -> Result<Picture> {
        let picture = Picture::load(&self.path)?.into_rgba().into_srgb();
        Ok(picture.resized(self.view.width, self.view.height).into_straight())
    }

    /// The mask `[height, width]` in [0, 1] at the view's size: the last colour channel of its file, or its alpha where
    /// it has one; `None` where the picture has no mask.
    ///
    /// # Errors
    /// As [`Picture::load`].
    pub fn load_mask(&self) -> Result<Option<Vec<f32>>> {
        let Some(path) = &self.mask else { return Ok(None) };
        let picture = Picture::load(path)?;
        let n = picture.channels;
        let data = picture.data.iter().skip(n - 1).step_by(n).copied().collect();
        let mask = Picture { channels: 1, data, premultiplied: false, ..picture };
        Ok(Some(mask.resized(self.view.width, self.view.height).data))
    }

    /// Depths `[height, width]` at the view's size, 0 where none is known; `None` where the picture has no depth map.
    ///
    /// # Errors
    /// As [`DepthMap::load`].
    pub fn load_depth(&self) -> Result<Option<Vec<f32>>> {
        self.depth.as_ref().map(|d| d.load(self.view.width, self.view.height)).transpose()
    }

    /// Unit normals `[height, width]` in the camera's axes at the view's size, zeros where none is known; `None` where the
    /// picture has no normal map.
    ///
    /// # Errors
    /// As [`NormalMap::load`].
    pub fn load_normals(&self) -> Result<Option<Vec<[f32; 3]>>> {
        self.normals.as_ref().map(|n| n.load(&self.view)).transpose()
    }
}

/// Points of a structure-from-motion reconstruction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// World positions `[P, 3]`.
    pub positions: Vec<[f32; 3]>,
    /// Colours `[P, 3]`, sRGB encoded in [0, 1].
    pub colors: Vec<[f32; 3]>,
}

/// The posed pictures of a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Views {
    /// Pictures to fit.
    pub train: Vec<PosedPicture>,
    /// Held-out pictures; empty where there is only one.
    pub test: Vec<PosedPicture>,
    /// The data set's point cloud, where it has one.
    pub points: Option<Points>,
}

/// What a reader found: pictures, each with whether it is held out where the data set says so.
struct Found {
    pictures: Vec<(PosedPicture, Option<bool>)>,
    points: Option<Points>,
}

impl Views {
    /// Loads the data set in folder `dir`: `transforms_train.json` (with `_test` or `_val`), else `transforms.json`, else
    /// COLMAP `sparse/0`, else LLFF `poses_bounds.npy`.
    ///
    /// Held out is what the data set says, else every 8th picture in the order of names, beginning with the first.
    ///
    /// # Errors
    /// A folder without poses (the message names the COLMAP commands to run), files that break their format, cameras
    /// that are not finite, pictures that are missing or whose shape contradicts their camera.
    pub fn load(dir: &Path, options: &Options) -> Result<Self> {
        if !dir.is_dir() {
            return Err(Error::invalid(dir.display(), "not a folder", "give a folder of posed pictures"));
        }
        let locator = Locator::new(dir, options)?;
        let found = if transforms::is_present(dir) {
            transforms::load(&locator)?
        } else if let Some(model) = colmap::model_folder(dir) {
            load_colmap(&locator, &model)?
        } else if dir.join("poses_bounds.npy").is_file() {
            llff::load(&locator)?
        } else {
            return Err(no_poses(dir));
        };
        if found.pictures.is_empty() {
            return Err(Error::invalid(dir.display(), "the data set has no pictures", ""));
        }
        Ok(split(found))
    }

    /// All pictures: train, then test.
    pub fn all(&self) -> impl Iterator<Item = &PosedPicture> {
        self.train.iter().chain(&self.test)
    }
}

fn split(found: Found) -> Views {
    let Found { mut pictures, points } = found;
    let own_split = pictures.iter().any(|(_, held_out)| held_out.is_some());
    if !own_split {
        pictures.sort_by(|(a, _), (b, _)| a.view.name.cmp(&b.view.name));
        let several = pictures.len() > 1;
        pictures.iter_mut().enumerate().for_each(|(i, (_, test))| *test = Some(several && i % 8 == 0));
    }
    let (test, train): (Vec<_>, Vec<_>) = pictures.into_iter().partition(|(_, held_out)| *held_out == Some(true));
    let strip = |list: Vec<(PosedPicture, Option<bool>)>| list.into_iter().map(|(picture, _)| picture).collect();
    Views { train: strip(train), test: strip(test), points }
}

fn load_colmap(locator: &Locator, folder: &Path) -> Result<Found> {
    let model = colmap::read(folder)?;
    let mut pictures = Vec::new();
    for image in &model.images {
        let location = format!("{}: image {:?}", folder.display(), image.name);
        let place = locator.require(&Path::new("images").join(&image.name), &location)?;
        let view = model.view(image).map_err(|m| Error::invalid(&location, m, "the reconstruction is damaged"))?;
        pictures.push((locator.pose(view, place, None, &location)?, None));
    }
    Ok(Found { pictures, points: Some(model.points()) })
}

fn no_poses(dir: &Path) -> Error {
    let d = dir.display();
    let help = format!(
        "estimate the poses with COLMAP: colmap feature_extractor --database_path {d}/database.db --image_path {d}/images && \
         colmap exhaustive_matcher --database_path {d}/database.db && mkdir -p {d}/sparse && \
         colmap mapper --database_path {d}/database.db --image_path {d}/images --output_path {d}/sparse"
    );
    let expected = "no camera poses: expected transforms.json, transforms_train.json, sparse/0 with cameras and images, or poses_bounds.npy";
    Error::invalid(d, expected, help)
}

#[cfg(test)]
mod tests;
