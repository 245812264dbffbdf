//! glTF with `KHR_gaussian_splatting`: points whose attributes are those of Gaussians.

use super::FormatError;
use super::common::{logit, sigmoid, take};
use crate::{Gaussians, Kernel};
use base64::Engine;
use serde_json::{Map, Value, json};

/// Types of accessors by their numbers.
const TYPES: [&str; 4] = ["SCALAR", "VEC2", "VEC3", "VEC4"];
const EXTENSION: &str = "KHR_gaussian_splatting";

fn damaged(message: impl Into<String>) -> FormatError {
    FormatError::new(message, "the file is damaged, or not glTF 2.0")
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// JSON and binary chunk of a `.glb`; the whole of a `.gltf`.
fn chunks(bytes: &[u8]) -> Result<(Value, Vec<u8>), FormatError> {
    if !bytes.starts_with(b"glTF") {
        return Ok((serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?, vec![]));
    }
    let mut rest = bytes.get(12..).ok_or_else(|| damaged("no header"))?;
    let (mut document, mut binary) = (None, vec![]);
    while rest.len() >= 8 {
        let (size, kind) = (word(rest, 0).unwrap_or(0) as usize, word(rest, 4).unwrap_or(0));
        rest = &rest[8..];
        let chunk = take(&mut rest, size, 1)?;
        match kind {
            0x4e4f_534a => document = Some(serde_json::from_slice(chunk).map_err(|e| damaged(e.to_string()))?),
            0x004e_4942 => binary = chunk.to_vec(),
            _ => {}
        }
    }
    Ok((document.ok_or_else(|| damaged("there is no JSON chunk"))?, binary))
}

/// Reads a number at the beginning of bytes; true: integers are normalised.
type ReadNumber = fn(&[u8], bool) -> f32;

/// The buffers and accessors of a file.
struct Document {
    json: Value,
    buffers: Vec<Vec<u8>>,
}

impl Document {
    /// Rows of `width` numbers of an accessor.
    fn rows(&self, accessor: &Value, width: usize) -> Result<Vec<f32>, FormatError> {
        let place = accessor.as_u64().unwrap_or(u64::MAX);
        let a = self.item("accessors", accessor)?;
        let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or(0) as usize;
        let count = number(a, "count");
        let kind = a["type"].as_str().unwrap_or("");
        if TYPES.get(width - 1) != Some(&kind) {
            return Err(damaged(format!("accessor {place} is {kind:?}, expected {width} numbers")));
        }
        let view = self.item("bufferViews", &a["bufferView"])?;
        let buffer = self.buffers.get(number(view, "buffer")).ok_or_else(|| damaged("a buffer is missing"))?;
        let normalised = a["normalized"] == true;
        let (size, read): (usize, ReadNumber) = match a["componentType"].as_u64() {
            Some(5120) => (1, |b, n| scaled(b[0] as i8 as f32, 127.0, n)),
            Some(5121) => (1, |b, n| scaled(b[0] as f32, 255.0, n)),
            Some(5122) => (2, |b, n| scaled(i16::from_le_bytes([b[0], b[1]]) as f32, 32767.0, n)),
            Some(5123) => (2, |b, n| scaled(u16::from_le_bytes([b[0], b[1]]) as f32, 65535.0, n)),
            Some(5126) => (4, |b, _| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            other => return Err(damaged(format!("accessor {place} has component type {other:?}"))),
        };
        let stride = view["byteStride"].as_u64().map_or(size * width, |s| s as usize);
        let first = number(view, "byteOffset").saturating_add(number(a, "byteOffset"));
        let end = count.saturating_sub(1).saturating_mul(stride).saturating_add(first).saturating_add(size * width);
        if count > 0 && end > buffer.len() {
            return Err(damaged(format!("accessor {place} reaches byte {end}, its buffer has {}", buffer.len())));
        }
        let at = |i: usize| first + i / width * stride + i % width * size;
        Ok((0..count * width).map(|i| read(&buffer[at(i)..], normalised)).collect())
    }

    fn item(&self, list: &str, place: &Value) -> Result<&Value, FormatError> {
        let found = place.as_u64().and_then(|k| self.json[list].get(k as usize));
        found.ok_or_else(|| damaged(format!("{list}/{place} is not there")))
    }
}

fn scaled(x: f32, most: f32, normalised: bool) -> f32 {
    if normalised { (x / most).max(-1.0) } else { x }
}

/// Whether a glTF holds splats.
pub fn has_splats(bytes: &[u8]) -> bool {
    chunks(bytes)
        .is_ok_and(|(json, _)| json["extensionsUsed"].as_array().is_some_and(|a| a.iter().any(|x| x == EXTENSION)))
}

/// All Gaussians of a file, in the axes of their meshes. `external` gives the bytes of a buffer's file.
pub fn read(
    bytes: &[u8],
    external: &mut dyn FnMut(&str) -> Result<Vec<u8>, FormatError>,
) -> Result<Gaussians, FormatError> {
    let (json, binary) = chunks(bytes)?;
    let empty = vec![];
    let mut buffers = vec![];
    for (k, buffer) in json["buffers"].as_array().unwrap_or(&empty).iter().enumerate() {
        buffers.push(match buffer["uri"].as_str() {
            None if k == 0 => binary.clone(),
            None => return Err(damaged(format!("buffer {k} has no data"))),
            Some(uri) => match uri.split_once(";base64,") {
                Some((_, data)) => {
                    base64::engine::general_purpose::STANDARD.decode(data).map_err(|e| damaged(e.to_string()))?
                }
                None => external(uri)?,
            },
        });
    }
    let document = Document { json, buffers };
    let mut out: Option<Gaussians> = None;
    for primitive in document.json["meshes"]
        .as_array()
        .unwrap_or(&empty)
        .iter()
        .flat_map(|m| m["primitives"].as_array().unwrap_or(&empty))
    {
        let extension = &primitive["extensions"][EXTENSION];
        if extension["kernel"] != "ellipse" {
            continue;
        }
        let part = gaussians(&document, primitive)?;
        out = Some(match out {
            None => part,
            Some(all) if all.sh_degree == part.sh_degree => joined(all, part),
            Some(all) => {
                let degree = all.sh_degree.max(part.sh_degree);
                joined(all.with_degree(degree), part.with_degree(degree))
            }
        });
    }
    out.ok_or_else(|| {
        FormatError::new(format!("no primitive has {EXTENSION} with the kernel ellipse"), "not a splat file")
    })
}

fn joined(mut a: Gaussians, b: Gaussians) -> Gaussians {
    a.means.extend(b.means);
    a.log_scales.extend(b.log_scales);
    a.rotations.extend(b.rotations);
    a.opacity_logits.extend(b.opacity_logits);
    a.sh.extend(b.sh);
    a
}

fn gaussians(document: &Document, primitive: &Value) -> Result<Gaussians, FormatError> {
    let attributes = &primitive["attributes"];
    let named = |name: &str| &attributes[format!("{EXTENSION}:{name}").as_str()];
    let means = document.rows(&attributes["POSITION"], 3)?;
    let (rotations, scales) = (document.rows(named("ROTATION"), 4)?, document.rows(named("SCALE"), 3)?);
    let opacities = document.rows(named("OPACITY"), 1)?;
    let has = |degree: usize| !named(&format!("SH_DEGREE_{degree}_COEF_0")).is_null();
    let sh_degree = (1..=4).take_while(|&d| has(d)).last().unwrap_or(0);
    let mut sh = vec![];
    for degree in 0..=sh_degree {
        for coefficient in 0..=2 * degree {
            sh.push(document.rows(named(&format!("SH_DEGREE_{degree}_COEF_{coefficient}")), 3)?);
        }
    }
    let n = means.len() / 3;
    let lengths = [rotations.len() / 4, scales.len() / 3, opacities.len()];
    if lengths.into_iter().chain(sh.iter().map(|s| s.len() / 3)).any(|k| k != n) {
        return Err(damaged(format!("attributes of {n} Gaussians have different lengths")));
    }
    let three = |from: &[f32], i: usize| [from[3 * i], from[3 * i + 1], from[3 * i + 2]];
    Ok(Gaussians {
        means: (0..n).map(|i| three(&means, i)).collect(),
        log_scales: (0..n).map(|i| three(&scales, i).map(|s| s.max(1e-30).ln())).collect(),
        rotations: rotations.as_chunks::<4>().0.iter().map(|&[x, y, z, w]| [w, x, y, z]).collect(),
        opacity_logits: opacities.into_iter().map(logit).collect(),
        sh_degree,
        sh: (0..n).flat_map(|i| sh.iter().map(move |s| [s[3 * i], s[3 * i + 1], s[3 * i + 2]])).collect(),
        kernel: Kernel::Classic,
    })
}

/// A `.glb` with one mesh of points.
pub fn write(gaussians: &Gaussians) -> Vec<u8> {
    let n = gaussians.len();
    let (mut binary, mut views, mut accessors) = (vec![], vec![], vec![]);
    let mut attributes = Map::new();
    let mut add = |name: String, width: usize, values: Vec<f32>| {
        let mut accessor = json!({
            "bufferView": views.len(), "componentType": 5126, "count": n,
            "type": TYPES[width - 1],
        });
        if name == "POSITION" {
            let (low, high) = super::common::bounds(gaussians.means.iter().copied());
            (accessor["min"], accessor["max"]) = (json!(low), json!(high));
        }
        views.push(json!({ "buffer": 0, "byteOffset": binary.len(), "byteLength": 4 * values.len() }));
        values.iter().for_each(|x: &f32| binary.extend(x.to_le_bytes()));
        attributes.insert(name, json!(accessors.len()));
        accessors.push(accessor);
    };
    let name = |n: &str| format!("{EXTENSION}:{n}");
    add("POSITION".into(), 3, gaussians.means.as_flattened().to_vec());
    let unit = |q: [f32; 4]| {
        let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
        let [w, x, y, z] = if norm > 0.0 && norm.is_finite() { q.map(|x| x / norm) } else { [1.0, 0.0, 0.0, 0.0] };
        [x, y, z, w]
    };
    add(name("ROTATION"), 4, gaussians.rotations.iter().flat_map(|&q| unit(q)).collect());
    add(name("SCALE"), 3, gaussians.log_scales.as_flattened().iter().map(|s| s.exp()).collect());
    add(name("OPACITY"), 1, gaussians.opacity_logits.iter().map(|&o| sigmoid(o)).collect());
    let mut b = 0;
    for degree in 0..=gaussians.sh_degree {
        for coefficient in 0..=2 * degree {
            let column = gaussians.sh.iter().skip(b).step_by(gaussians.n_basis()).flatten().copied().collect();
            add(name(&format!("SH_DEGREE_{degree}_COEF_{coefficient}")), 3, column);
            b += 1;
        }
    }
    let extension = json!({
        EXTENSION: {
            "kernel": "ellipse", "colorSpace": "srgb_rec709_display", "projection": "perspective",
            "sortingMethod": "cameraDistance",
        }
    });
    let document = json!({
        "asset": { "version": "2.0", "generator": "lumigrad" },
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{ "nodes": [0] }],
        "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [{ "attributes": attributes, "mode": 0, "extensions": extension }] }],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{ "byteLength": binary.len() }],
    });
    let mut text = document.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut out = b"glTF".to_vec();
    for x in [2, (12 + 8 + text.len() + 8 + binary.len()) as u32, text.len() as u32, 0x4e4f_534a] {
        out.extend(x.to_le_bytes());
    }
    out.extend(text);
    out.extend((binary.len() as u32).to_le_bytes());
    out.extend(0x004e_4942u32.to_le_bytes());
    out.extend(binary);
    out
}
