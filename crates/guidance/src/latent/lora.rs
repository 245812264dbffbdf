//! Low-rank changes in users' own files (LoRA, Hu et al. 2022), added to weights when a model is read.

use super::layers::{Kind, Layout};
use super::weights::Source;
use crate::Result;
use lumigrad_core::ops::{add_tensors, matmul_with, scale_tensor};
use lumigrad_core::{Device, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Key of a file's metadata under which diffusers keeps what peft was told.
const TOLD: &str = "lora_adapter_metadata";
/// Names that are told where some are wrong.
const NAMED: usize = 3;

/// A network of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Network {
    Denoiser,
    Text,
}

/// What a tensor of a file is of its layer's change: scale · alpha/rank · up · down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Down,
    Up,
    Alpha,
}

/// How names begin: those of diffusers and peft, and those of trainers in the manner of kohya-ss.
const NETWORKS: [(&str, Network); 4] = [
    ("unet.", Network::Denoiser),
    ("lora_unet_", Network::Denoiser),
    ("text_encoder.", Network::Text),
    ("lora_te_", Network::Text),
];
/// How they end, in files of peft, diffusers (three generations) and kohya-ss.
const ROLES: [(&str, Role); 11] = [
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".alpha", Role::Alpha),
];

/// Changes of one file, by network and layer.
pub struct LowRank {
    source: Source,
    scale: f64,
    /// Names of tensors. Layers are called as in diffusers, with `_` for each dot, as kohya-ss writes them.
    parts: BTreeMap<(Network, String), BTreeMap<Role, String>>,
}

/// Network and layer of a tensor's name, and what it is there.
fn place(name: &str) -> Option<((Network, String), Role)> {
    let (prefix, network) = NETWORKS.into_iter().find(|(prefix, _)| name.starts_with(prefix))?;
    let (suffix, role) = ROLES.into_iter().find(|(suffix, _)| name.ends_with(suffix))?;
    let layer = name.get(prefix.len()..name.len() - suffix.len())?.replace(".processor.", ".").replace('.', "_");
    let layer = if layer.ends_with("to_out") { format!("{layer}_0") } else { layer };
    Some(((network, bare(&layer).to_owned()), role))
}

/// Of a text encoder's layer, which some files and networks give a prefix.
fn bare(layer: &str) -> &str {
    layer.strip_prefix("text_model_").unwrap_or(layer)
}

impl LowRank {
    /// `FILE`, or `FILE:SCALE` for changes that are as many times as large.
    ///
    /// # Errors
    /// A file that is missing, cut off, or has names that are not understood, which are told; a scale that is none.
    pub fn open(text: &Path) -> Result<Self> {
        let whole = text.display().to_string();
        let (path, scale) = match whole.rsplit_once(':').map(|(file, scale)| (file, scale.parse::<f64>())) {
            Some((file, Ok(scale))) if scale.is_finite() && !text.is_file() => (PathBuf::from(file), scale),
            _ => (text.to_owned(), 1.0),
        };
        let source = Source::open(path)?;
        let mut parts: BTreeMap<_, BTreeMap<Role, String>> = BTreeMap::new();
        let mut unknown = vec![];
        for name in source.names() {
            match place(name) {
                Some((layer, role)) => drop(parts.entry(layer).or_default().insert(role, name.to_owned())),
                None => unknown.push(name.to_owned()),
            }
        }
        let found = Self { source, scale, parts };
        found.refuse(unknown, "of no low-rank change of a U-Net or text encoder that is known here")?;
        Ok(found)
    }

    /// Adds the changes of a network to its weights.
    ///
    /// # Errors
    /// Layers of other shapes, or that are not linear; half a change; what peft was told and is not known here.
    pub fn merge(&mut self, network: Network, layout: &Layout, parameters: &mut [Tensor]) -> Result<()> {
        let told = Told::read(&self.source, network)?;
        for (array, parameter) in layout.arrays.iter().zip(parameters) {
            let Some(layer) = array.names[0].strip_suffix(".weight").map(|name| name.replace('.', "_")) else {
                continue;
            };
            let Some(part) = self.parts.remove(&(network, bare(&layer).to_owned())) else { continue };
            let (&[inputs, outputs], Kind::Weights) = (parameter.shape(), array.kind) else {
                let reason = format!(
                    "it changes {}, which is no linear layer: lumigrad knows changes of those only",
                    array.names[0]
                );
                return Err(self.source.wrong(reason));
            };
            let tensor = |role: Role, at: usize, expected: usize| -> Result<Tensor> {
                let name = part.get(&role).ok_or_else(|| {
                    let half = if role == Role::Up { "no way up" } else { "no way down" };
                    self.source.wrong(format!("its change of {} has {half}", array.names[0]))
                })?;
                let (shape, values) = self.source.array(name)?;
                match shape.as_slice() {
                    [o, i] | [o, i, 1, 1] if [*o, *i][at] == expected => {
                        Ok(Tensor::from_slice(&Device::cpu(), &values, &[*o, *i])?)
                    }
                    _ => {
                        let axis = ["rows", "columns"][at];
                        Err(self
                            .source
                            .wrong(format!("{name} has shape {shape:?}, expected {expected} {axis} by the model")))
                    }
                }
            };
            let (down, up) = (tensor(Role::Down, 1, inputs)?, tensor(Role::Up, 0, outputs)?);
            let rank = down.shape()[0];
            if up.shape()[1] != rank || rank == 0 {
                let reason = format!("its change of {} is of rank {rank} and {}", array.names[0], up.shape()[1]);
                return Err(self.source.wrong(reason));
            }
            let alpha = match part.get(&Role::Alpha) {
                None => told.alpha.unwrap_or(rank as f64),
                Some(name) => match self.source.array(name)?.1.as_slice() {
                    [alpha] => f64::from(*alpha),
                    values => {
                        return Err(self.source.wrong(format!("{name} has {} numbers, expected one", values.len())));
                    }
                },
            };
            let by = self.scale * alpha / if told.by_root { (rank as f64).sqrt() } else { rank as f64 };
            // Ours are [I, O], those of files [O, I].
            let change = matmul_with(&down.into(), true, &up.into(), true)?;
            *parameter = add_tensors(parameter, &scale_tensor(change.tensor(), by)?)?;
        }
        Ok(())
    }

    /// Fails where something in the file was for no layer of the networks.
    ///
    /// # Errors
    /// Names what was left.
    pub fn finish(self) -> Result<()> {
        let left = self.parts.values().flat_map(|part| part.values().cloned()).collect();
        self.refuse(left, "of layers that this model does not have: is the file for another model?")
    }

    fn refuse(&self, names: Vec<String>, why: &str) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let more = match names.len() - names.len().min(NAMED) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Err(self.source.wrong(format!("it has {}{more}, {why}", names[..names.len().min(NAMED)].join(", "))))
    }
}

/// What peft was told of a network's changes.
#[derive(Default)]
struct Told {
    alpha: Option<f64>,
    /// Whether changes are divided by the root of the rank.
    by_root: bool,
}

impl Told {
    fn read(source: &Source, network: Network) -> Result<Self> {
        let Some(text) = source.facts.get(TOLD) else { return Ok(Self::default()) };
        let bad = |reason: &str| source.wrong(format!("its metadata {TOLD} {reason}"));
        let all: Value = serde_json::from_str(text).map_err(|e| bad(&format!("is no JSON ({e})")))?;
        let name = if network == Network::Denoiser { "unet" } else { "text_encoder" };
        let key = |key: &str| &all[format!("{name}.{key}")];
        for pattern in ["alpha_pattern", "rank_pattern"] {
            if key(pattern).as_object().is_some_and(|o| !o.is_empty()) {
                return Err(bad(&format!("has another {pattern} for some layers, which lumigrad does not know")));
            }
        }
        Ok(Self { alpha: key("lora_alpha").as_f64(), by_root: key("use_rslora").as_bool().unwrap_or(false) })
    }
}
