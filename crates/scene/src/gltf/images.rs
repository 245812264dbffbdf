//! Images and textures of a document, and the picture codecs they use.

use crate::gltf::container::Document;
use crate::gltf::json::Json;
use crate::model::{Filter, Image, Sampler, Texture, Wrap};
use crate::{Error, Result};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;
use std::borrow::Cow;
use std::io::Cursor;

const MAX_SIDE: u32 = 16_384;
/// Pixels of all images of one file (1 GiB as RGBA).
const MAX_PIXELS: u64 = 1 << 28;
const WEBP: &str = "EXT_texture_webp";

/// All textures; a texture without a readable image has `None`.
pub(crate) fn read_textures(root: &Json<'_>, warnings: &mut Vec<String>) -> Result<Vec<Texture>> {
    let n_images = root.len_of("images");
    let samplers = root.objects("samplers")?.iter().map(read_sampler).collect::<Result<Vec<_>>>()?;
    let read = |at: &Json<'_>| -> Result<Texture> {
        let webp = at.extension(WEBP).map(|e| e.index("source", n_images, "images")).transpose()?.flatten();
        let image = webp.or(at.index("source", n_images, "images")?);
        if image.is_none() {
            warnings.push(format!("{}: this texture has no image that is understood", at.pointer()));
        }
        let sampler = at.index("sampler", samplers.len(), "samplers")?.map(|i| samplers[i]).unwrap_or_default();
        Ok(Texture { name: at.text("name")?.unwrap_or_default().to_owned(), image, sampler })
    };
    root.objects("textures")?.iter().map(read).collect()
}

fn read_sampler(at: &Json<'_>) -> Result<Sampler> {
    let wrap = |key: &str| -> Result<Wrap> {
        Ok(match at.count(key)?.unwrap_or(10497) {
            10497 => Wrap::Repeat,
            33648 => Wrap::MirroredRepeat,
            33071 => Wrap::ClampToEdge,
            other => return Err(at.error(format!("{key} {other} does not exist"), "use 10497, 33648 or 33071")),
        })
    };
    let filter = |key: &str| -> Result<(Filter, Option<Filter>)> {
        Ok(match at.count(key)?.unwrap_or(9987) {
            9728 => (Filter::Nearest, None),
            9729 => (Filter::Linear, None),
            9984 => (Filter::Nearest, Some(Filter::Nearest)),
            9985 => (Filter::Linear, Some(Filter::Nearest)),
            9986 => (Filter::Nearest, Some(Filter::Linear)),
            9987 => (Filter::Linear, Some(Filter::Linear)),
            other => return Err(at.error(format!("{key} {other} does not exist"), "use 9728, 9729 or 9984 to 9987")),
        })
    };
    let (min, mip) = filter("minFilter")?;
    Ok(Sampler { wrap_s: wrap("wrapS")?, wrap_t: wrap("wrapT")?, mag: filter("magFilter")?.0, min, mip })
}

/// All images, those that a texture uses decoded. What cannot be decoded is one white pixel and a warning, and the
/// textures that use it lose it: a missing colour is as good as white, a missing normal map is not.
pub(crate) fn read_images(
    document: &Document,
    textures: &mut [Texture],
    warnings: &mut Vec<String>,
) -> Result<Vec<Image>> {
    let entries = document.root().objects("images")?;
    let mut used = vec![false; entries.len()];
    textures.iter().filter_map(|t| t.image).for_each(|i| used[i] = true);
    let mut pixels = 0;
    let mut encoded = Vec::new();
    // Sizes come first, in order, so that the limit strikes the same image every time.
    for (at, used) in entries.iter().zip(used) {
        let name = at.text("name")?.unwrap_or_default();
        encoded.push((name, used.then(|| fetch_within(document, at, &mut pixels))));
    }
    let decoded: Vec<Result<Image, (Image, String)>> = encoded
        .into_par_iter()
        .map(|(name, bytes)| match bytes {
            None => Ok(Image::white(name)),
            Some(bytes) => bytes.and_then(|b| decode(name, &b)).map_err(|reason| (Image::white(name), reason)),
        })
        .collect();
    let mut images = Vec::new();
    for (i, image) in decoded.into_iter().enumerate() {
        images.push(image.unwrap_or_else(|(white, reason)| {
            warnings.push(format!("{}: not shown: {reason}", entries[i].pointer()));
            textures.iter_mut().filter(|t| t.image == Some(i)).for_each(|t| t.image = None);
            white
        }));
    }
    Ok(images)
}

/// The encoded bytes of an image, where its size fits in what is left of the limit.
fn fetch_within<'a>(document: &'a Document, at: &Json<'_>, pixels: &mut u64) -> Result<Cow<'a, [u8]>, String> {
    let bytes = encoded_bytes(document, at)?;
    let (width, height) = reader(&bytes)?.into_dimensions().map_err(|e| e.to_string())?;
    let size = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || *pixels + size > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels are too many"));
    }
    *pixels += size;
    Ok(bytes)
}

/// The bytes of an image as the document has them.
pub(crate) fn encoded_bytes<'a>(document: &'a Document, at: &Json<'_>) -> Result<Cow<'a, [u8]>, String> {
    let text = |e: Error| e.to_string();
    if let Some(view) = at.count("bufferView").map_err(text)? {
        return document.view(view).map(Cow::Borrowed).map_err(text);
    }
    let uri = at.text("uri").map_err(text)?.ok_or("it has neither bufferView nor uri")?;
    document.fetch(uri).map(Cow::Owned)
}

fn reader(bytes: &[u8]) -> Result<ImageReader<Cursor<&[u8]>>, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    match reader.format() {
        Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP) => {}
        _ => return Err("this is no PNG, JPEG or WebP picture".to_owned()),
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    // 16-bit RGBA of the largest picture that the pixel limit allows.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    reader.limits(limits);
    Ok(reader)
}

/// Decodes a PNG, JPEG or WebP picture.
pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Image, String> {
    let picture = reader(bytes)?.decode().map_err(|e| e.to_string())?.into_rgba8();
    let (width, height) = picture.dimensions();
    Ok(Image { name: name.to_owned(), width, height, rgba8: picture.into_raw() })
}

/// Encodes as PNG, without alpha where all of it is opaque.
pub(crate) fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let opaque = image.rgba8.chunks_exact(4).all(|p| p[3] == 255);
    let (color, data) = if opaque {
        let rgb = image.rgba8.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        (ExtendedColorType::Rgb8, Cow::Owned(rgb))
    } else {
        (ExtendedColorType::Rgba8, Cow::Borrowed(&image.rgba8))
    };
    let data: &Vec<u8> = &data;
    let mut out = Vec::new();
    let written = image::codecs::png::PngEncoder::new(&mut out).write_image(data, image.width, image.height, color);
    written
        .map_err(|e| Error::invalid(format!("image {:?}", image.name), format!("cannot be written as PNG: {e}"), ""))?;
    Ok(out)
}
