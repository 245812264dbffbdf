//! Priors by path.

use crate::analytic::Mixture;
use crate::{DiffusionPrior, Error, InfinitePrior, LatentPrior, Result, Trainable, TrainedPrior};
use crate::{infinite, latent, trained};
use lumigrad_core::Device;
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use std::path::Path;

/// Key of the metadata that tells what a prior is.
pub const KEY: &str = "lumigrad.prior";
/// Name of the prior's file in a folder.
pub const FILE: &str = "prior.safetensors";
/// Largest file that is read, bytes.
const LARGEST: u64 = 8 << 30;

/// The JSON that tells what a prior's file holds; `kind` is in it.
pub(crate) fn header(name: &str, bytes: &[u8]) -> Result<Value> {
    let bad = |reason: String| Error::File { file: name.into(), reason };
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| bad(format!("not a whole safetensors file ({e}); expected one that `prior train` wrote")))?;
    let text = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let text = text.ok_or_else(|| bad(format!("no prior of lumigrad: its metadata has no {}", KEY)))?;
    serde_json::from_str(text).map_err(|e| bad(format!("its metadata {} is broken ({e})", KEY)))
}

/// A prior that was trained here, of a file's bytes; `None` where another kind is in it. `name` is what messages call it.
///
/// # Errors
/// Bytes that are cut off or damaged.
pub fn trained_from(name: &str, bytes: &[u8]) -> Result<Option<Box<dyn Trainable>>> {
    Ok(match header(name, bytes)?["kind"].as_str() {
        Some(infinite::KIND) => Some(Box::new(InfinitePrior::from_bytes(name, bytes, &Device::cpu())?)),
        Some(trained::KIND) => Some(Box::new(TrainedPrior::from_bytes(name, bytes, &Device::cpu())?)),
        _ => None,
    })
}

/// Opens a prior's file, or the folder of one: of `prior train`, or a latent diffusion model in the layout of the diffusers library.
///
/// # Errors
/// Missing, truncated or unknown files; what was expected is said.
pub fn open(path: &Path) -> Result<Box<dyn DiffusionPrior>> {
    open_changed::<&Path>(path, &[])
}

/// The same, of latent diffusion models with low-rank changes of files added, as [`LatentPrior::open_changed`].
///
/// # Errors
/// As [`open`]; changes of priors of other kinds, or that do not fit the model.
pub fn open_changed<P: AsRef<Path>>(path: &Path, changes: &[P]) -> Result<Box<dyn DiffusionPrior>> {
    if path.is_dir() && latent::is_latent(path) {
        return Ok(Box::new(LatentPrior::open_changed(path, changes)?));
    }
    if let Some(file) = changes.first() {
        let (file, path) = (file.as_ref().display(), path.display());
        let message = format!("{file} changes latent diffusion models, and {path} is none; take the folder of one");
        return Err(Error::Setting(message));
    }
    let inside = || [FILE, trained::FILE].map(|name| path.join(name));
    let first = || inside().into_iter().find(|f| f.is_file()).unwrap_or_else(|| path.join(trained::FILE));
    let file = if path.is_dir() { first() } else { path.to_path_buf() };
    let name = file.display().to_string();
    let bad = |reason: String| Error::File { file: name.clone(), reason };
    let size = std::fs::metadata(&file).map_err(|e| {
        bad(format!("no prior is there ({e}); `lumigrad prior train FOLDER` makes one, assets/guidance has small ones"))
    })?;
    if size.len() > LARGEST {
        return Err(bad(format!("{} bytes are too many for a prior (at most {LARGEST})", size.len())));
    }
    let bytes = std::fs::read(&file).map_err(|e| bad(e.to_string()))?;
    let header = header(&name, &bytes)?;
    if let Some(trained) = trained_from(&name, &bytes)? {
        return Ok(trained);
    }
    match header["kind"].as_str() {
        Some("mixture") => Ok(Box::new(Mixture::from_bytes(&name, &bytes)?)),
        _ => Err(bad(format!("a prior of the unknown kind {}; expected mixture, trained or infinite", header["kind"]))),
    }
}
