//! Reading pictures of every format, writing PNG.

use super::{Picture, Transfer, exr_file};
use crate::{Error, Result, write_atomically};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

/// Longest side that is read, pixels.
const MAX_SIDE: usize = 1 << 16;
/// Most values (pixels × channels) that are read: 1 GiB as `f32`.
pub(super) const MAX_VALUES: usize = 1 << 28;

/// Whether a picture of this size is acceptable; guards every allocation that a file's header asks for.
pub(super) fn check_size(location: &str, width: usize, height: usize, channels: usize) -> Result<()> {
    let values = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
    let fits = width.max(height) <= MAX_SIDE && values.is_some_and(|n| n <= MAX_VALUES);
    if width == 0 || height == 0 || !fits {
        let message = format!(
            "picture of {width}×{height} pixels, expected 1×1 to {MAX_SIDE} a side and at most {MAX_VALUES} values"
        );
        return Err(Error::invalid(location, message, ""));
    }
    Ok(())
}

impl Picture {
    /// Reads a PNG, JPEG, WebP, EXR or HDR file; the format is found from the contents.
    ///
    /// EXR is linear and premultiplied, HDR linear; the others are sRGB with straight alpha.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, of another format, or larger than the limits.
    pub fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        Self::read(BufReader::new(file), &path.display().to_string())
    }

    /// As [`Self::load`], from bytes; `location` names them in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn decode(bytes: &[u8], location: &str) -> Result<Self> {
        Self::read(Cursor::new(bytes), location)
    }

    fn read<R: BufRead + Seek>(source: R, location: &str) -> Result<Self> {
        let mut reader = reader(source, location)?;
        if reader.format() == Some(ImageFormat::OpenExr) {
            return exr_file::read_picture(reader.into_inner(), location);
        }
        let mut limits = Limits::default();
        (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE as u32), Some(MAX_SIDE as u32));
        limits.max_alloc = Some(4 * MAX_VALUES as u64);
        reader.limits(limits);
        let picture = reader.decode().map_err(|e| unreadable(location, &e.to_string()))?;
        Ok(from_dynamic(picture))
    }

    /// Width and height of a picture file, from its header alone.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn dimensions(path: &Path) -> Result<(usize, usize)> {
        let location = path.display().to_string();
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = reader(BufReader::new(file), &location)?;
        let (width, height) = if reader.format() == Some(ImageFormat::OpenExr) {
            exr_file::dimensions(reader.into_inner(), &location)?
        } else {
            let (w, h) = reader.into_dimensions().map_err(|e| unreadable(&location, &e.to_string()))?;
            (w as usize, h as usize)
        };
        check_size(&location, width, height, 1)?;
        Ok((width, height))
    }

    /// The picture as an 8-bit sRGB PNG with straight alpha; values are clamped to [0, 1] and rounded, NaN becomes 0.
    ///
    /// # Errors
    /// A picture whose data do not fit its size.
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        check_size("picture to write", self.width, self.height, self.channels)?;
        if self.data.len() != self.width * self.height * self.channels || !(1..=4).contains(&self.channels) {
            let found = format!("{} values for {}×{}×{}", self.data.len(), self.width, self.height, self.channels);
            return Err(Error::invalid("picture to write", found, "make the data fit the size"));
        }
        let picture = self.clone().into_srgb().into_straight();
        let bytes: Vec<u8> = picture.data.iter().map(|x| (x.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
        let color = [image::ColorType::L8, image::ColorType::La8, image::ColorType::Rgb8, image::ColorType::Rgba8];
        let mut out = Cursor::new(Vec::new());
        let (width, height) = (self.width as u32, self.height as u32);
        image::write_buffer_with_format(&mut out, &bytes, width, height, color[self.channels - 1], ImageFormat::Png)
            .map_err(|e| Error::invalid("picture to write", e.to_string(), ""))?;
        Ok(out.into_inner())
    }

    /// Writes [`Self::encode_png`] to `path`; the file appears whole or not at all.
    ///
    /// # Errors
    /// As [`Self::encode_png`] and [`write_atomically`].
    pub fn save_png(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.encode_png()?)
    }
}

fn reader<R: BufRead + Seek>(source: R, location: &str) -> Result<ImageReader<R>> {
    let reader = ImageReader::new(source).with_guessed_format().map_err(|e| unreadable(location, &e.to_string()))?;
    match reader.format() {
        Some(_) => Ok(reader),
        None => Err(unreadable(location, "the contents are of no known picture format")),
    }
}

pub(super) fn unreadable(location: &str, why: &str) -> Error {
    Error::invalid(
        location,
        format!("not a readable picture: {why}"),
        "expected a whole PNG, JPEG, WebP, EXR or HDR file",
    )
}

fn from_dynamic(picture: DynamicImage) -> Picture {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let channels = usize::from(picture.color().channel_count());
    let bytes = |v: Vec<u8>| v.into_iter().map(|x| f32::from(x) / 255.0).collect();
    let shorts = |v: Vec<u16>| v.into_iter().map(|x| f32::from(x) / 65535.0).collect();
    let (data, transfer) = match picture {
        DynamicImage::ImageRgb32F(p) => (p.into_raw(), Transfer::Linear),
        DynamicImage::ImageRgba32F(p) => (p.into_raw(), Transfer::Linear),
        DynamicImage::ImageLuma8(p) => (bytes(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageLumaA8(p) => (bytes(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageRgb8(p) => (bytes(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageRgba8(p) => (bytes(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageLuma16(p) => (shorts(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageLumaA16(p) => (shorts(p.into_raw()), Transfer::Srgb),
        DynamicImage::ImageRgb16(p) => (shorts(p.into_raw()), Transfer::Srgb),
        other => {
            let data = shorts(other.into_rgba16().into_raw());
            return Picture { width, height, channels: 4, data, transfer: Transfer::Srgb, premultiplied: false };
        }
    };
    Picture { width, height, channels, data, transfer, premultiplied: false }
}
