//! Weights in safetensors files, one or several, under the names of diffusers.

use super::config::read_json;
use super::layers::{Array, Kind};
use crate::{Error, Result};
use half::{bf16, f16};
use lumigrad_core::{Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of the number before a file's header.
const LENGTH: usize = 8;
/// Longest header.
const LONGEST: u64 = 100_000_000;

/// A file of which the header has been read.
pub struct Source {
    path: PathBuf,
    start: u64,
    tensors: HashMap<String, TensorInfo>,
    /// Its metadata.
    pub facts: HashMap<String, String>,
}

/// The tensors of a network, to be read one by one.
pub struct Weights {
    folder: PathBuf,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::File { file: path.display().to_string(), reason }
}

impl Source {
    /// Reads a file's header.
    ///
    /// # Errors
    /// Files that are missing, cut off, or no safetensors.
    pub fn open(path: PathBuf) -> Result<Self> {
        let read = || -> std::io::Result<(Vec<u8>, u64)> {
            let mut file = File::open(&path)?;
            let size = file.metadata()?.len();
            let mut length = [0; LENGTH];
            file.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length);
            let bounded = if length <= LONGEST.min(size) { length } else { 0 };
            let mut header = vec![0; bounded as usize];
            file.read_exact(&mut header)?;
            Ok((header, size))
        };
        let bad = |reason: String| wrong(&path, format!("no safetensors file, or cut off ({reason})"));
        let (header, size) = read().map_err(|e| bad(e.to_string()))?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| bad(format!("its header: {e}")))?;
        let tensors: HashMap<String, TensorInfo> =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        let start = (LENGTH + header.len()) as u64;
        let end = start + tensors.values().map(|t| t.data_offsets.1 as u64).max().unwrap_or(0);
        if size != end {
            return Err(bad(format!("it has {size} bytes, expected {end} by its header")));
        }
        let facts = metadata.metadata().clone().unwrap_or_default();
        Ok(Self { path, start, tensors, facts })
    }

    /// Names of its tensors, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// An error about this file.
    pub fn wrong(&self, reason: String) -> Error {
        wrong(&self.path, reason)
    }

    /// Shape and values of a tensor.
    ///
    /// # Errors
    /// Tensors that are missing, of another type, or not finite.
    pub fn array(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let info = self.tensors.get(name).ok_or_else(|| self.wrong(format!("no tensor {name} is in it")))?;
        Ok((info.shape.clone(), self.read(name, info)?))
    }

    fn read(&self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        let bytes = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.start + info.data_offsets.0 as u64))?;
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = bytes().map_err(|e| wrong(&self.path, format!("{name} cannot be read ({e})")))?;
        let pairs = || bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
        let values: Vec<f32> = match info.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            other => return Err(wrong(&self.path, format!("{name} holds {other:?}, expected F32, F16 or BF16"))),
        };
        match values.iter().position(|x| !x.is_finite()) {
            Some(k) => Err(wrong(&self.path, format!("{name} is not finite at {k}"))),
            None => Ok(values),
        }
    }
}

impl Weights {
    /// The weights `STEM.safetensors` of a folder, or those of several files that `STEM.safetensors.index.json` names; where
    /// there are neither, the same with `.fp16` in their names.
    ///
    /// # Errors
    /// None of these files; truncated files.
    pub fn open(folder: &Path, stem: &str) -> Result<Self> {
        let mut paths = vec![];
        for (single, index) in [
            (format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json")),
            (format!("{stem}.fp16.safetensors"), format!("{stem}.safetensors.index.fp16.json")),
        ] {
            let (single, index) = (folder.join(single), folder.join(index));
            if single.is_file() {
                paths.push(single);
                break;
            }
            if index.is_file() {
                paths = parts(folder, &index)?;
                break;
            }
        }
        if paths.is_empty() {
            let expected = format!("{stem}.safetensors, {stem}.fp16.safetensors, or {stem}.safetensors.index.json");
            return Err(wrong(folder, format!("no weights are there, expected {expected}")));
        }
        let sources = paths.into_iter().map(Source::open).collect::<Result<_>>()?;
        Ok(Self { folder: folder.into(), sources })
    }

    fn find(&self, name: &str) -> Option<(&Source, &TensorInfo)> {
        self.sources.iter().find_map(|s| s.tensors.get(name).map(|info| (s, info)))
    }

    /// An array in the order that lumigrad has it.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, another type, or numbers that are not finite.
    pub fn load(&self, array: &Array, device: &Device) -> Result<Tensor> {
        let found = array.names.iter().find_map(|name| Some((name, self.find(name)?)));
        let Some((name, (source, info))) = found else {
            let files: Vec<String> = self.sources.iter().map(|s| s.path.display().to_string()).collect();
            let place = if files.len() == 1 { files[0].clone() } else { self.folder.display().to_string() };
            return Err(Error::File { file: place, reason: format!("no tensor {} is in it", array.names[0]) });
        };
        let expected = array.shapes_in_files();
        if !expected.contains(&info.shape) {
            let expected: Vec<String> = expected.iter().map(|s| format!("{s:?}")).collect();
            let reason = format!("{name} has shape {:?}, expected {} by the configuration", info.shape, expected[0]);
            return Err(wrong(&source.path, reason));
        }
        let values = source.read(name, info)?;
        let values = match array.kind {
            Kind::Plain => values,
            // [O, I, taps] as [taps, I, O].
            Kind::Weights => {
                let [outputs, inputs] = [info.shape[0], info.shape[1]];
                turned(&values, outputs, inputs, values.len() / (outputs * inputs).max(1))
            }
        };
        Ok(Tensor::from_slice(device, &values, &array.shape)?)
    }
}

/// [O, I, T] as [T, I, O].
fn turned(values: &[f32], outputs: usize, inputs: usize, taps: usize) -> Vec<f32> {
    let mut turned = vec![0.0; values.len()];
    for (o, of_output) in values.chunks_exact((inputs * taps).max(1)).enumerate() {
        for (i, of_input) in of_output.chunks_exact(taps.max(1)).enumerate() {
            for (t, &x) in of_input.iter().enumerate() {
                turned[(t * inputs + i) * outputs + o] = x;
            }
        }
    }
    turned
}

/// The files that an index names.
fn parts(folder: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let names: BTreeSet<String> = read_json::<Index>(index)?.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(wrong(index, "it names no files".into()));
    }
    let path = |name: String| match Path::new(&name).file_name() {
        Some(file) if file == name.as_str() => Ok(folder.join(file)),
        _ => Err(wrong(index, format!("it names {name:?}, expected a file beside it"))),
    };
    names.into_iter().map(path).collect()
}
