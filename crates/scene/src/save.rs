//! Saves scenes.

use crate::gltf::pack::{Packed, pack};
use crate::gltf::write::{glb, set_pointer, write_atomically};
use crate::{Error, Result, Scene};
use base64::Engine;
use serde_json::json;
use std::path::Path;

impl Scene {
    /// Writes the scene: `.glb`, or `.gltf` with its data inside as data URIs.
    ///
    /// Only what was set differs from the file that was loaded; extras, animations and unknown extensions go through.
    /// Pictures from files beside the scene are taken in. The file is whole at every moment.
    ///
    /// # Errors
    /// The name has another ending, or the file cannot be written; an existing file is then as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = match extension(path).as_str() {
            "glb" => self.to_glb()?,
            "gltf" => {
                let Packed { mut json, binary } = pack(self)?;
                if !binary.is_empty() {
                    let data = base64::engine::general_purpose::STANDARD.encode(&binary);
                    set_pointer(
                        &mut json,
                        "/buffers/0/uri",
                        json!(format!("data:application/octet-stream;base64,{data}")),
                    );
                }
                pretty(&json)
            }
            _ => {
                return Err(Error::invalid(
                    path.display(),
                    "a scene is saved as .glb or .gltf",
                    "change the file's ending",
                ));
            }
        };
        write_atomically(path, &bytes)
    }

    /// The scene as the bytes of a GLB file.
    ///
    /// # Errors
    /// A picture cannot be encoded, or the file would pass 4 GiB.
    pub fn to_glb(&self) -> Result<Vec<u8>> {
        let Packed { json, binary } = pack(self)?;
        glb(&json, &binary, Path::new(self.file()))
    }

    /// Writes a `.gltf` with all data in a `.bin` file of the same name beside it.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_separate(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if extension(path) != "gltf" {
            return Err(Error::invalid(
                path.display(),
                "a scene with a file of its own for data is saved as .gltf",
                "",
            ));
        }
        let Packed { mut json, binary } = pack(self)?;
        if !binary.is_empty() {
            let file = path.with_extension("bin");
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            set_pointer(&mut json, "/buffers/0/uri", json!(percent_encode(&name)));
            write_atomically(&file, &binary)?;
        }
        write_atomically(path, &pretty(&json))
    }
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn pretty(json: &serde_json::Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}

fn percent_encode(name: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}
