//! Files, GLB chunks and URIs: from a path to a JSON document and its buffers.

use crate::gltf::json::Json;
use crate::{Error, Result};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use std::path::{Path, PathBuf};

const MAX_FILE_BYTES: u64 = 1 << 32;
const GLB_MAGIC: &[u8; 4] = b"glTF";
const JSON_CHUNK: u32 = 0x4E4F_534A;
const BIN_CHUNK: u32 = 0x004E_4942;

/// The bytes of one entry of `/buffers`, or why there are none.
#[derive(Clone, Debug)]
pub(crate) enum Buffer {
    Loaded(Vec<u8>),
    Missing(String),
}

/// The JSON document and everything it points to by buffer: the source of truth of a scene.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub json: Value,
    pub buffers: Vec<Buffer>,
    /// How messages call the file.
    pub file: String,
    /// Where relative URIs start; `None` for scenes made in memory.
    pub directory: Option<PathBuf>,
}

impl Document {
    /// Reads a `.glb` or `.gltf` file; buffers that cannot be read are noted, not fatal.
    pub fn read(path: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let file = path.display().to_string();
        let bytes = read_file(path)?;
        let directory = path.parent().map(Path::to_path_buf);
        Self::parse(&bytes, file, directory, warnings)
    }

    /// Parses the bytes of a `.glb` or `.gltf` file.
    pub fn parse(bytes: &[u8], file: String, directory: Option<PathBuf>, warnings: &mut Vec<String>) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::invalid(&file, "the file is empty", ""));
        }
        let (text, chunk) =
            if bytes.starts_with(GLB_MAGIC) { split_glb(bytes, &file, warnings)? } else { (bytes, None) };
        let text = std::str::from_utf8(text).map_err(|e| {
            let at = format!("{file}: byte {}", e.valid_up_to());
            Error::invalid(at, "this is neither GLB nor JSON text in UTF-8", "give a .glb or .gltf file")
        })?;
        let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| {
            Error::invalid(format!("{file}:{}:{}", e.line(), e.column()), format!("broken JSON: {e}"), "")
        })?;
        if !json.is_object() {
            return Err(Json::root(&json, &file).expected("a glTF object"));
        }
        let mut document = Self { json, buffers: Vec::new(), file, directory };
        document.buffers = document.read_buffers(chunk, warnings)?;
        Ok(document)
    }

    pub fn root(&self) -> Json<'_> {
        Json::root(&self.json, &self.file)
    }

    fn read_buffers(&self, chunk: Option<&[u8]>, warnings: &mut Vec<String>) -> Result<Vec<Buffer>> {
        let mut buffers = Vec::new();
        for (i, entry) in self.root().objects("buffers")?.iter().enumerate() {
            let declared = entry.count("byteLength")?;
            let loaded = match (entry.text("uri")?, chunk) {
                (Some(uri), _) => self.fetch(uri),
                (None, Some(chunk)) if i == 0 => Ok(chunk.to_vec()),
                (None, _) => Err("it has no uri and the file has no binary chunk for it".to_owned()),
            };
            buffers.push(match loaded {
                Ok(mut bytes) => {
                    let declared = declared.unwrap_or(bytes.len());
                    if bytes.len() < declared {
                        let found = bytes.len();
                        warnings.push(format!("{}: {found} of {declared} bytes are there", entry.pointer()));
                    }
                    bytes.truncate(declared);
                    Buffer::Loaded(bytes)
                }
                Err(reason) => {
                    warnings.push(format!("{}: not loaded: {reason}", entry.pointer()));
                    Buffer::Missing(reason)
                }
            });
        }
        Ok(buffers)
    }

    /// The bytes behind a URI: a data URI or a file beside the document.
    pub fn fetch(&self, uri: &str) -> Result<Vec<u8>, String> {
        if let Some(data) = uri.strip_prefix("data:") {
            return decode_data_uri(data);
        }
        let shown: String = uri.chars().take(80).collect();
        // Not all exporters escape what a URI must escape.
        let path = percent_decode(uri).unwrap_or_else(|| uri.to_owned());
        let is_scheme = |s: &str| s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let scheme = path.split_once(':').is_some_and(|(s, _)| is_scheme(s));
        let relative = !scheme && !path.starts_with(['/', '\\']);
        match self.directory.as_ref().filter(|_| relative) {
            Some(directory) => read_file(&directory.join(path)).map_err(|e| e.to_string()),
            None => Err(format!("\"{shown}\" is not a relative path")),
        }
    }

    /// The bytes of a buffer view, checked against its buffer.
    pub fn view(&self, index: usize) -> Result<&[u8]> {
        let root = self.root();
        let view = root
            .item("bufferViews", index)
            .ok_or_else(|| root.error(format!("there is no buffer view {index}"), ""))?;
        let buffer = view
            .index("buffer", self.buffers.len(), "buffers")?
            .ok_or_else(|| view.error("\"buffer\" is missing", ""))?;
        let (offset, length) = (view.count("byteOffset")?.unwrap_or(0), view.need_count("byteLength")?);
        let bytes = match &self.buffers[buffer] {
            Buffer::Loaded(bytes) => bytes,
            Buffer::Missing(reason) => {
                return Err(Error::invalid(
                    format!("{}#/buffers/{buffer}", self.file),
                    reason,
                    "put the file beside the scene",
                ));
            }
        };
        let end = offset.checked_add(length).filter(|&end| end <= bytes.len());
        end.map(|end| &bytes[offset..end]).ok_or_else(|| {
            let message = format!("bytes {offset}+{length} do not fit in buffer {buffer} of {} bytes", bytes.len());
            view.error(message, "the file may be truncated")
        })
    }
}

/// Reads a regular file of bounded size.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let meta = std::fs::metadata(path).map_err(Error::io(path))?;
    // Devices and pipes may never end.
    if !meta.is_file() {
        return Err(Error::invalid(path.display(), "this is not a regular file", ""));
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(Error::unsupported(
            path.display(),
            format!("a file of {} bytes", meta.len()),
            "files may have up to 4 GiB",
        ));
    }
    std::fs::read(path).map_err(Error::io(path))
}

fn split_glb<'a>(bytes: &'a [u8], file: &str, warnings: &mut Vec<String>) -> Result<(&'a [u8], Option<&'a [u8]>)> {
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let broken =
        |at: usize, message: &str| Error::invalid(format!("{file}: byte {at}"), message, "the file may be truncated");
    let version = word(4).ok_or_else(|| broken(4, "the GLB header is cut off"))?;
    if version != 2 {
        return Err(Error::unsupported(file, format!("GLB version {version}"), "convert the file to glTF 2.0"));
    }
    let length = word(8).ok_or_else(|| broken(8, "the GLB header is cut off"))? as usize;
    if length != bytes.len() {
        warnings.push(format!("{file}: the GLB header says {length} bytes, the file has {}", bytes.len()));
    }
    let (mut at, mut text, mut binary) = (12, None, None);
    while at < bytes.len().min(length.max(12)) {
        let (Some(size), Some(kind)) = (word(at), word(at + 4)) else {
            return Err(broken(at, "a chunk header is cut off"));
        };
        let start = at + 8;
        let end = start.checked_add(size as usize).filter(|&end| end <= bytes.len());
        let data = end.map(|end| &bytes[start..end]).ok_or_else(|| broken(at, "a chunk is longer than the file"))?;
        match kind {
            JSON_CHUNK if text.is_none() => text = Some(data),
            BIN_CHUNK if text.is_some() && binary.is_none() => binary = Some(data),
            _ => {}
        }
        at = start + data.len();
    }
    let text = text.ok_or_else(|| broken(12, "there is no JSON chunk"))?;
    Ok((text, binary))
}

fn decode_data_uri(data: &str) -> Result<Vec<u8>, String> {
    let (meta, payload) = data.split_once(',').ok_or("the data URI has no comma")?;
    if !meta.ends_with(";base64") {
        return percent_decode_bytes(payload).ok_or_else(|| "the data URI has a broken %-escape".to_owned());
    }
    // Exporters disagree on padding and trailing bits; both are harmless.
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
    engine.decode(payload.trim()).map_err(|e| format!("the data URI is broken: {e}"))
}

fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(percent_decode_bytes(text)?).ok().filter(|s| !s.contains('\0'))
}

fn percent_decode_bytes(text: &str) -> Option<Vec<u8>> {
    let (bytes, mut out, mut i) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while i < bytes.len() {
        if bytes[i] == b'%' {
            let digits = std::str::from_utf8(bytes.get(i + 1..i + 3)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    Some(out)
}
