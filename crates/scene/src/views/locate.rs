//! Where pictures and masks of a data set are, and at which size they are used.

use super::{Options, PosedPicture};
use crate::camera::View;
use crate::picture::Picture;
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "PNG", "JPG", "JPEG", "webp", "exr", "hdr"];

/// A picture that was found.
pub(super) struct Place {
    pub path: PathBuf,
    /// Path below the data set without ending and without `images/`.
    pub name: String,
    /// The folder's reduction: K of `images_K`, else 1.
    pub reduction: usize,
    /// Width and height of the file.
    pub size: (usize, usize),
}

pub(super) struct Locator<'a> {
    pub root: &'a Path,
    options: &'a Options,
    /// Folders `images`, `images_K` in the order in which they are searched.
    folders: Vec<(usize, String)>,
}

fn reduction(folder: &str) -> Option<usize> {
    match folder.strip_prefix("images")? {
        "" => Some(1),
        rest => rest.strip_prefix('_')?.parse().ok().filter(|k| *k > 0),
    }
}

impl<'a> Locator<'a> {
    pub fn new(root: &'a Path, options: &'a Options) -> Result<Self> {
        if options.downscale == Some(0) || options.max_size == Some(0) {
            return Err(Error::invalid(root.display(), "downscale and max size must be at least 1", ""));
        }
        let entries = std::fs::read_dir(root).map_err(Error::io(root))?;
        let names = entries.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()));
        let mut folders: Vec<(usize, String)> = names.filter_map(|n| Some((reduction(&n)?, n))).collect();
        folders.sort();
        if let Some(k) = options.downscale {
            folders.retain(|(reduction, _)| *reduction <= k);
            folders.reverse();
        }
        Ok(Self { root, options, folders })
    }

    /// The first folder of pictures that exists, in the order of search.
    pub fn picture_folder(&self) -> Option<(usize, PathBuf)> {
        self.folders.first().map(|(k, name)| (*k, self.root.join(name)))
    }

    /// The picture named by a path below the root, for example `images/a.jpg` or `./train/r_0`.
    pub fn require(&self, relative: &Path, location: &str) -> Result<Place> {
        let relative: PathBuf = relative.components().filter(|c| *c != Component::CurDir).collect();
        let mut parts = relative.components();
        let first = parts.next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        let in_images = first.as_deref().is_some_and(|f| reduction(f).is_some()) && parts.clone().next().is_some();
        let below = if in_images { parts.as_path() } else { relative.as_path() };
        let searched = self.folders.iter().filter(|_| in_images);
        let mut found =
            searched.filter_map(|(k, folder)| Some((*k, self.existing(&self.root.join(folder).join(below))?)));
        let direct = || self.existing(&self.root.join(&relative)).or_else(|| self.existing(&self.root.join(below)));
        // A reduction that was asked for must not fall back to a smaller folder by way of the written path.
        let written = || if in_images && !self.folders.is_empty() { None } else { direct().map(|path| (1, path)) };
        let Some((reduction, path)) = found.next().or_else(written) else {
            let message = format!("picture {} does not exist", self.root.join(&relative).display());
            let help = match self.options.downscale {
                Some(k) if in_images => format!("pictures are needed in images/ or images_N/ with N at most {k}"),
                _ => "put the pictures where the camera file says".into(),
            };
            return Err(Error::invalid(location, message, help));
        };
        let size = Picture::dimensions(&path)?;
        let name = below.with_extension("").to_string_lossy().replace('\\', "/");
        Ok(Place { path, name, reduction, size })
    }

    /// The file itself, or one with the same stem and a picture's ending.
    fn existing(&self, path: &Path) -> Option<PathBuf> {
        let with = |ending: &str| [PathBuf::from(format!("{}.{ending}", path.display())), path.with_extension(ending)];
        let hdr = self.options.hdr.then(|| with("exr")).into_iter().flatten();
        let other = ENDINGS.iter().flat_map(|e| with(e));
        hdr.chain([path.to_path_buf()]).chain(other).find(|p| p.is_file())
    }

    fn mask(&self, name: &str) -> Option<PathBuf> {
        let folder = self.root.join("masks");
        let stem = folder.join(name);
        let candidates = ENDINGS.iter().map(|e| PathBuf::from(format!("{}.{e}", stem.display())));
        // COLMAP appends .png to the whole name of the picture.
        let doubled = ENDINGS.iter().map(|e| PathBuf::from(format!("{}.{e}.png", stem.display())));
        if folder.is_dir() { candidates.chain(doubled).find(|p| p.is_file()) } else { None }
    }

    /// Joins a camera (at the size in the camera file) and a picture, at the size that the options ask for.
    pub fn pose(&self, view: View, place: Place, mask: Option<PathBuf>, location: &str) -> Result<PosedPicture> {
        let (w, h) = place.size;
        let contradiction = (w * view.height).abs_diff(h * view.width) > view.width + view.height;
        if contradiction {
            let message = format!(
                "the picture {} has {w}×{h} pixels, its camera {}×{}",
                place.path.display(),
                view.width,
                view.height
            );
            return Err(Error::invalid(location, message, "use the pictures that the cameras were made for"));
        }
        let (mut width, mut height) = match self.options.downscale {
            Some(k) => ((view.width / k).max(1), (view.height / k).max(1)),
            None => place.size,
        };
        if width > w + 1 || height > h + 1 {
            let message =
                format!("the picture {} has {w}×{h} pixels, {width}×{height} are asked for", place.path.display());
            return Err(Error::invalid(location, message, "use a larger downscale, or larger pictures"));
        }
        let longer = width.max(height);
        if let Some(bound) = self.options.max_size.filter(|bound| *bound < longer) {
            let scaled = |n: usize| ((n as f64 * bound as f64 / longer as f64).round() as usize).max(1);
            (width, height) = (scaled(width), scaled(height));
        }
        let view = View { name: place.name.clone(), ..view.resized(width, height) };
        let mask = mask.or_else(|| self.mask(&place.name));
        Ok(PosedPicture { view, path: place.path, mask, depth: None, normals: None, readout: None })
    }
}
