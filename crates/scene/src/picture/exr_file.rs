//! OpenEXR: pictures in, arbitrary named channels in and out.

use super::file::{check_size, unreadable};
use super::{Picture, Transfer};
use crate::{Error, Result, write_atomically};
use exr::meta::MetaData;
use exr::prelude::*;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

/// Bits of a stored value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 16-bit floating point, for colour.
    Half,
    /// 32-bit floating point, for depths, coordinates and ids.
    Float,
}

/// The channels of an EXR file by name, in the file's (alphabetical) order; each `[height, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Channels {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Name and `height · width` values of each channel.
    pub list: Vec<(String, Vec<f32>)>,
}

fn header_size(meta: &MetaData, location: &str) -> Result<(usize, usize)> {
    let mut first = None;
    for header in &meta.headers {
        let size = (header.layer_size.width(), header.layer_size.height());
        check_size(location, size.0, size.1, header.channels.list.len())?;
        if header.channels.list.iter().any(|c| c.sampling != Vec2(1, 1)) {
            return Err(Error::unsupported(location, "a subsampled EXR channel", "save it as plain RGBA"));
        }
        first.get_or_insert(size);
    }
    first.ok_or_else(|| unreadable(location, "an EXR file without layers"))
}

fn read_meta<R: Read + Seek>(source: &mut R, location: &str) -> Result<(usize, usize)> {
    let wrong = |e: &dyn std::fmt::Display| unreadable(location, &e.to_string());
    source.rewind().map_err(|e| wrong(&e))?;
    let meta = MetaData::read_from_buffered(&mut *source, false).map_err(|e| wrong(&e))?;
    source.rewind().map_err(|e| wrong(&e))?;
    header_size(&meta, location)
}

pub(super) fn dimensions<R: Read + Seek>(mut source: R, location: &str) -> Result<(usize, usize)> {
    read_meta(&mut source, location)
}

fn read_channels<R: Read + Seek>(mut source: R, location: &str) -> Result<Channels> {
    read_meta(&mut source, location)?;
    // The whole file goes to memory because the decoder wants a source that can move between threads.
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(|e| unreadable(location, &e.to_string()))?;
    let reader = read().no_deep_data().largest_resolution_level().all_channels().first_valid_layer().all_attributes();
    let picture = reader.from_buffered(Cursor::new(bytes)).map_err(|e| unreadable(location, &e.to_string()))?;
    let layer = picture.layer_data;
    let list = layer.channel_data.list.iter();
    let list = list.map(|c| (c.name.to_string(), c.sample_data.values_as_f32().collect())).collect();
    Ok(Channels { width: layer.size.width(), height: layer.size.height(), list })
}

/// Reads all channels of the first layer.
///
/// # Errors
/// A file that cannot be read, is damaged or larger than the limits.
pub fn load_exr_channels(path: &Path) -> Result<Channels> {
    let file = File::open(path).map_err(Error::io(path))?;
    read_channels(BufReader::new(file), &path.display().to_string())
}

pub(super) fn read_picture<R: Read + Seek>(source: R, location: &str) -> Result<Picture> {
    let all = read_channels(source, location)?;
    let find = |name: &str| all.list.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let (mut planes, alpha): (Vec<_>, _) = match (find("R"), find("G"), find("B"), find("Y")) {
        (Some(r), Some(g), Some(b), _) => (vec![r, g, b], find("A")),
        (.., Some(y)) => (vec![y], find("A")),
        _ => (all.list.iter().take(3).map(|(_, v)| v).collect(), None),
    };
    if planes.len() == 2 {
        planes.pop();
    }
    planes.extend(alpha);
    let pixels = all.width * all.height;
    let data = (0..pixels).flat_map(|i| planes.iter().map(move |p| p[i])).collect();
    let (width, height, channels) = (all.width, all.height, planes.len());
    if channels == 0 {
        return Err(unreadable(location, "an EXR file without channels"));
    }
    Ok(Picture { width, height, channels, data, transfer: Transfer::Linear, premultiplied: alpha.is_some() })
}

/// Writes an EXR file of named channels; `data` is `[height, width, names.len()]`. The file appears whole or not at all.
///
/// # Errors
/// Data that do not fit the size, and what the operating system refuses.
pub fn save_exr(path: &Path, size: (usize, usize), names: &[&str], data: &[f32], precision: Precision) -> Result<()> {
    let location = path.display().to_string();
    let (width, height) = size;
    let n = names.len();
    check_size(&location, width, height, n)?;
    if n == 0 || data.len() != width * height * n {
        let found = format!("{} values for {width}×{height}×{n}", data.len());
        return Err(Error::invalid(location, found, "give one value per pixel and channel"));
    }
    let samples = |c: usize| {
        let values = data.iter().skip(c).step_by(n).copied();
        match precision {
            Precision::Half => FlatSamples::F16(values.map(f16::from_f32).collect()),
            Precision::Float => FlatSamples::F32(values.collect()),
        }
    };
    let list = names.iter().enumerate().map(|(c, name)| AnyChannel::new(*name, samples(c))).collect();
    let encoding = Encoding { compression: Compression::ZIP16, ..Encoding::FAST_LOSSLESS };
    let layer = Layer::new((width, height), LayerAttributes::default(), encoding, AnyChannels::sort(list));
    let mut out = Cursor::new(Vec::new());
    let written = Image::from_layer(layer).write().to_buffered(&mut out);
    written.map_err(|e| Error::invalid(&location, e.to_string(), ""))?;
    write_atomically(path, &out.into_inner())
}

impl Picture {
    /// Writes an EXR file: linear light, premultiplied, half floats; channels Y, YA, RGB or RGBA.
    ///
    /// # Errors
    /// As [`save_exr`].
    pub fn save_exr(&self, path: &Path) -> Result<()> {
        let p = self.clone().into_linear().into_premultiplied();
        let names: &[&str] = match p.channels {
            1 => &["Y"],
            2 => &["Y", "A"],
            3 => &["R", "G", "B"],
            _ => &["R", "G", "B", "A"],
        };
        save_exr(path, (p.width, p.height), names, &p.data, Precision::Half)
    }
}
