//! `prior info`: what a prior is, and how good.

use crate::run::Summary;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use crate::{Error, Result};
use lumigrad_guidance::file::trained_from;
use lumigrad_guidance::latent::is_latent;
use lumigrad_guidance::trained::FILE;
use lumigrad_guidance::{DiffusionPrior, LatentPrior};
use std::path::{Path, PathBuf};

job_keys! {
    /// Tell what a prior is: its pictures, its labels, its losses.
    PriorInfoJob {
        include common: Common;
        /// The prior: a run folder of `prior train`, or its file.
        prior: Option<PathBuf>, Path, example "\"runs/prior-photographs\"";
    }
}

/// The file of a prior: the one that is given, or that of a folder; the folder of a latent diffusion model.
fn file(path: &Path) -> Result<PathBuf> {
    let missing = |message: String| {
        let help = format!(
            "give a folder that `lumigrad prior train FOLDER` wrote (it holds {FILE}), such a file, or the folder of a latent \
diffusion model (model_index.json, unet, vae, text_encoder, tokenizer, scheduler)"
        );
        Error::file(path.display(), message, help)
    };
    if !path.is_dir() {
        std::fs::metadata(path).map_err(|e| missing(format!("no prior is there: {e}")))?;
        return Ok(path.to_owned());
    }
    if is_latent(path) {
        return Ok(path.to_owned());
    }
    let inside = [FILE, lumigrad_guidance::file::FILE].map(|name| path.join(name)).into_iter().find(|f| f.is_file());
    inside.ok_or_else(|| missing(format!("no prior is in this folder: {FILE} is missing")))
}

/// Opens a prior of any kind, with low-rank changes of files.
///
/// # Errors
/// No prior is there, or its file is broken; files that change it are, or do not fit.
pub fn open(path: &Path, changes: &[PathBuf]) -> Result<Box<dyn DiffusionPrior>> {
    Ok(lumigrad_guidance::open_changed(&file(path)?, changes)?)
}

/// Describes a prior.
///
/// # Errors
/// No prior is there.
pub fn info(job: &PriorInfoJob, summary: &mut Summary) -> Result<()> {
    let help = "give the run folder of a prior: lumigrad prior info runs/prior-photographs";
    let path = job.prior.clone().ok_or_else(|| Error::usage("prior info", "PRIOR is missing", help))?;
    let path = file(&path)?;
    let latent = if path.is_dir() { Some(LatentPrior::open(&path)?) } else { None };
    let prior: Box<dyn DiffusionPrior> = match &latent {
        Some(latent) => Box::new(latent.clone()),
        None => lumigrad_guidance::open(&path)?,
    };
    let info = prior.info();
    let size = info.made_for.or(info.size).map(|[h, w]| format!("{w}x{h}"));
    let mut about = serde_json::json!({
        "name": info.name,
        "size": size.unwrap_or_else(|| "any".into()),
        "channels": info.channels,
        "range": info.range,
        "labels": info.labels,
        "can": info.capabilities.iter().map(|c| c.to_string()).collect::<Vec<_>>(),
    });
    if info.size.is_none() {
        about["other sizes"] = format!("multiples of {}", info.step()).into();
    }
    if let Some(latent) = latent {
        let networks = latent.networks();
        summary.metric("n_parameters", networks.iter().map(|(_, n)| n).sum::<usize>() as f64);
        about["networks"] = networks.into_iter().collect();
        about["predicts"] = format!("{:?}", info.parameterisation).to_lowercase().into();
        summary.details.insert("prior".into(), about);
        return Ok(());
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    if let Some(trained) = trained_from(&path.display().to_string(), &bytes)? {
        for name in ["loss", "loss_over_gaussian"] {
            if let Some(value) = trained.facts().get(name).and_then(|v| v.parse().ok()) {
                summary.metric(name, value);
            }
        }
        summary.metric("n_parameters", trained.values().iter().map(|v| v.len()).sum::<usize>() as f64);
        if let (serde_json::Value::Object(of), Some(about)) = (trained.about(), about.as_object_mut()) {
            about.extend(of);
        }
        about["facts"] = serde_json::json!(trained.facts());
    }
    summary.details.insert("prior".into(), about);
    Ok(())
}
