//! Pictures of one size in a folder, in the order of their names.

use crate::run::job::Kind::*;
use crate::run::job::job_keys;
use crate::run::require_memory;
use crate::{Error, Result};
use lumigrad_scene::picture::{Picture, Transfer};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

job_keys! {
    /// Keys of fits that write frames.
    FrameKeys {
        /// Make a video of the frames too: .mp4, .webm or .gif, by an installed ffmpeg.
        video: Option<PathBuf>, Path, example "\"field.mp4\"";
        /// Frames in a second of the video.
        rate: f64, Amount, default "25.0";
    }
}

/// Endings of pictures.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// A sequence of pictures without alpha, display-encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frames {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Of a pixel: 3.
    pub channels: usize,
    /// Frames.
    pub count: usize,
    /// [frames, rows, columns, channels]
    pub data: Vec<u8>,
}

impl Frames {
    /// Reads the pictures of a folder, reduced to a longer side, at most so many of them.
    ///
    /// # Errors
    /// A folder that is missing or has no pictures; pictures of several sizes; files that cannot be read.
    pub fn load(folder: &Path, max_size: Option<usize>, most: Option<usize>) -> Result<Self> {
        let mut paths = pictures(folder)?;
        paths.truncate(most.unwrap_or(usize::MAX));
        let (w, h) = Picture::dimensions(&paths[0])?;
        let (w, h) = super::image::reduced((w, h), max_size);
        let bytes = (w * h) as u64 * paths.len() as u64 * 3;
        require_memory(
            2 * bytes,
            &folder.display().to_string(),
            "reduce the frames by --max-size, or take fewer by --max-frames",
        )?;
        let mut frames = Self::default();
        for path in &paths {
            let picture = super::image::load(path, max_size)?.into_srgb().over([0.0; 3]);
            let own = (picture.width, picture.height, picture.channels);
            if frames.count == 0 {
                (frames.width, frames.height, frames.channels) = own;
            }
            if own != (frames.width, frames.height, frames.channels) {
                let describe = |(w, h, c): (usize, usize, usize)| format!("{w}x{h} with {c} channels");
                let first = describe((frames.width, frames.height, frames.channels));
                let message = format!("{}; the first frame, {}, is {first}", describe(own), name(&paths[0]));
                return Err(Error::file(path.display(), message, "give frames of one size"));
            }
            frames.data.extend(picture.data.iter().map(|&x| to_byte(x)));
            frames.count += 1;
        }
        Ok(frames)
    }

    /// Pixels of a frame.
    pub fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// A frame as a picture.
    pub fn picture(&self, frame: usize) -> Picture {
        let n = self.pixels() * self.channels;
        let data = self.data[frame * n..(frame + 1) * n].iter().map(|&b| b as f32 / 255.0).collect();
        picture(self.width, self.height, data)
    }
}

/// A display-encoded picture without alpha.
pub fn picture(width: usize, height: usize, data: Vec<f32>) -> Picture {
    let channels = data.len() / (width * height).max(1);
    Picture { width, height, channels, data, transfer: Transfer::Srgb, premultiplied: false }
}

/// A value as a file of 8 bits has it.
pub fn to_byte(x: f32) -> u8 {
    (x.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Pictures of a folder in the order of their names, numbers in them by value.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let help = "give a folder of PNG, JPEG or WebP files";
    if folder.is_file() {
        return Err(Error::file(folder.display(), "a file, expected a folder of frames", help));
    }
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut paths = vec![];
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if path.is_file() && ending.is_some_and(|e| ENDINGS.contains(&&*e)) && !name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(Error::file(folder.display(), "no frames", help));
    }
    paths.sort_by(|a, b| by_numbers(&name(a), &name(b)));
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Order of names in which 9 comes before 10.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    while let (Some(p), Some(q)) = (x.chars().next(), y.chars().next()) {
        let digits = |s: &str| s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (m, n) = (digits(x), digits(y));
        let order = if m > 0 && n > 0 {
            let (u, v) = (x[..m].trim_start_matches('0'), y[..n].trim_start_matches('0'));
            (x, y) = (&x[m..], &y[n..]);
            u.len().cmp(&v.len()).then(u.cmp(v))
        } else {
            (x, y) = (&x[p.len_utf8()..], &y[q.len_utf8()..]);
            p.cmp(&q)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    x.len().cmp(&y.len()).then(a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let mut names = ["f10.png", "f9.png", "f09b.png", "e11.png", "f009.png", "f.png", "ä1.png"];
        names.sort_by(|a, b| by_numbers(a, b));
        assert_eq!(names, ["e11.png", "f.png", "f009.png", "f9.png", "f09b.png", "f10.png", "ä1.png"]);
    }
}
