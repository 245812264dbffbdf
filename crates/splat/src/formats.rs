//! Files of Gaussians: 3DGS PLY, SuperSplat's compressed PLY, `.splat`, SPZ, SOG, and glTF with `KHR_gaussian_splatting`.
//!
//! Positions are kept as files have them, in the axes of 3DGS (y down); SPZ files, whose axes are others, are turned.

mod common;
mod compressed;
mod gltf;
mod ply;
mod quantise;
mod sog;
mod splat;
mod spz;
mod table;

pub(crate) use common::bounds;

#[cfg(test)]
mod tests;

use crate::Gaussians;
use std::path::Path;

/// Logarithm of the third scale of surfels, which files leave out.
pub(crate) const FLAT: f32 = -14.0;

/// Why a file cannot be read or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct FormatError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl FormatError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The bytes of a file beside the one that is read, by its name.
type Beside<'a> = dyn FnMut(&str) -> Result<Vec<u8>, FormatError> + 'a;

/// Endings of the formats.
pub const ENDINGS: &[&str] = &["ply", "compressed.ply", "splat", "spz", "sog", "glb", "gltf"];

/// Whether a path holds Gaussians and no mesh: by its ending, and for `.ply`, `.glb` and `.gltf` by a look inside.
pub fn is_splats(path: &Path) -> bool {
    let name = file_name(path);
    match ending(&name) {
        "splat" | "spz" | "sog" => true,
        "json" => name == "meta.json",
        "ply" => std::fs::read(path).is_ok_and(|bytes| {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
            head.contains("scale_0") || head.contains("packed_position")
        }),
        "glb" | "gltf" => std::fs::read(path).is_ok_and(|bytes| gltf::has_splats(&bytes)),
        _ => path.join("meta.json").is_file(),
    }
}

/// The Gaussians of a file; of a folder with `meta.json` (SOG), or of that file.
///
/// # Errors
/// Files that are missing, damaged or of an unknown format.
pub fn read(path: &Path) -> Result<Gaussians, FormatError> {
    let load = |path: &Path| std::fs::read(path).map_err(|e| FormatError::new(e.to_string(), "check the path"));
    let name = file_name(path);
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    // Names inside of files stay in their folder.
    let mut beside =
        |name: &str| match Path::new(name).components().all(|c| matches!(c, std::path::Component::Normal(_))) {
            true => load(&folder.join(name)).map_err(|e| FormatError::new(format!("{name}: {}", e.message), e.help)),
            false => Err(FormatError::new(format!("{name:?} is outside of the folder"), "the file is damaged")),
        };
    if path.is_dir() || name == "meta.json" {
        return sog::read(&mut beside);
    }
    parse(&name, &load(path)?, &mut beside)
}

/// The Gaussians of the bytes of a file of this name, which needs no files beside it.
///
/// # Errors
/// Damaged files, files of an unknown format.
pub fn read_bytes(name: &str, bytes: &[u8]) -> Result<Gaussians, FormatError> {
    let mut beside = |name: &str| Err(FormatError::new(format!("{name} is not there"), "read it from its folder"));
    parse(name, bytes, &mut beside)
}

fn parse(name: &str, bytes: &[u8], beside: &mut Beside) -> Result<Gaussians, FormatError> {
    match ending(name) {
        "ply" => {
            let ply = table::Ply::read(bytes)?;
            if compressed::is_compressed(&ply) { compressed::read(&ply) } else { ply::read(&ply) }
        }
        "splat" => splat::read(bytes),
        "spz" => spz::read(bytes),
        "sog" => sog::read_zip(bytes),
        "glb" | "gltf" => gltf::read(bytes, beside),
        other => Err(unknown(other)),
    }
}

/// The bytes of a file of this name: its ending is the format.
///
/// # Errors
/// Endings that are not known, or that hold no single file.
pub fn write(path: &Path, gaussians: &Gaussians) -> Result<Vec<u8>, FormatError> {
    let name = file_name(path);
    match ending(&name) {
        "ply" if name.ends_with(".compressed.ply") => Ok(compressed::write(gaussians)),
        "ply" => Ok(ply::write(gaussians)),
        "splat" => Ok(splat::write(gaussians)),
        "spz" => Ok(spz::write(gaussians)),
        "sog" => sog::write(gaussians),
        "glb" => Ok(gltf::write(gaussians)),
        other => Err(unknown(other)),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |parts| parts.1)
}

fn unknown(ending: &str) -> FormatError {
    let known: Vec<String> = ENDINGS.iter().map(|e| format!(".{e}")).collect();
    FormatError::new(format!("{ending:?} is no format of splats"), format!("known endings: {}", known.join(", ")))
}
