//! Patches JSON documents and writes files.

use crate::gltf::json::unescape;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::Path;

/// The shortest decimal that reads back as `x`.
pub(crate) fn number(x: f32) -> Value {
    // Widening would spell out 0.1f32 as 0.10000000149011612.
    let shortest: f64 = format!("{x:?}").parse().unwrap_or(f64::from(x));
    json!(shortest)
}

/// Sets the value at `pointer`, making objects on the way.
pub(crate) fn set_pointer(root: &mut Value, pointer: &str, value: Value) {
    let mut at = root;
    for segment in pointer.split('/').skip(1) {
        let key = unescape(segment);
        at = match at {
            Value::Array(array) => match key.parse::<usize>().ok().and_then(|i| array.get_mut(i)) {
                Some(item) => item,
                None => return,
            },
            other => {
                if !other.is_object() {
                    *other = Value::Object(Map::new());
                }
                let Value::Object(object) = other else { return };
                object.entry(key).or_insert(Value::Null)
            }
        };
    }
    *at = value;
}

/// Removes the member that `pointer` names.
pub(crate) fn remove_pointer(root: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(object)) = root.pointer_mut(parent) {
        object.shift_remove(&unescape(key));
    }
}

/// Appends to the array at the top-level key `list` and returns the new index.
pub(crate) fn append(root: &mut Value, list: &str, value: Value) -> usize {
    if root.pointer(list).and_then(Value::as_array).is_none() {
        set_pointer(root, list, json!([]));
    }
    let Some(array) = root.pointer_mut(list).and_then(Value::as_array_mut) else { return 0 };
    array.push(value);
    array.len() - 1
}

/// Names the extensions on the way of `pointer` in `extensionsUsed`.
pub(crate) fn declare_extensions(root: &mut Value, pointer: &str) {
    let mut segments = pointer.split('/');
    while segments.any(|s| s == "extensions") {
        let Some(name) = segments.next() else { return };
        let used = root.get("extensionsUsed").and_then(Value::as_array);
        if !used.is_some_and(|list| list.iter().any(|x| x == name)) {
            append(root, "/extensionsUsed", json!(name));
        }
    }
}

/// A GLB file.
pub(crate) fn glb(json: &Value, binary: &[u8], path: &Path) -> Result<Vec<u8>> {
    let mut text = json.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let padded = binary.len().next_multiple_of(4);
    let total = 12 + 8 + text.len() + if binary.is_empty() { 0 } else { 8 + padded };
    let word = |n: usize| {
        let too_big = || Error::unsupported(path.display(), "a GLB file of more than 4 GiB", "save as .gltf");
        u32::try_from(n).map(u32::to_le_bytes).map_err(|_| too_big())
    };
    let mut out = Vec::with_capacity(total);
    out.extend(b"glTF");
    out.extend(2u32.to_le_bytes());
    out.extend(word(total)?);
    out.extend(word(text.len())?);
    out.extend(b"JSON");
    out.extend(&text);
    if !binary.is_empty() {
        out.extend(word(padded)?);
        out.extend(b"BIN\0");
        out.extend(binary);
        out.resize(total, 0);
    }
    Ok(out)
}

/// Writes a file under a temporary name beside `path` and renames it, so that `path` is whole at every moment.
///
/// # Errors
/// The folder cannot be written to or the disk is full; `path` is as it was.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let message = format!("the folder {} does not exist", folder.display());
        return Err(Error::invalid(path.display(), message, "make it first, or choose another place"));
    }
    if path.is_dir() {
        return Err(Error::invalid(
            path.display(),
            "a folder of this name exists, expected a file",
            "choose another name",
        ));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lumigrad-");
    // Temporary files are private by default; results are as public as the user's other files.
    #[cfg(unix)]
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(mode);
    let mut file = builder.tempfile_in(folder).map_err(|e| Error::io(path)(e.kind().into()))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::io(path)(e.error))?;
    Ok(())
}
