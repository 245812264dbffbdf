//! `prior info`: what a prior is, and how good.

use crate::run::Summary;
use crate::run::job::Kind::*;
use crate::run::job::commands::Common;
use crate::run::job::job_keys;
use crate::{Error, Result};
use lumigrad_core::Device;
use lumigrad_guidance::trained::FILE;
use lumigrad_guidance::{DiffusionPrior, TrainedPrior};
use std::path::{Path, PathBuf};

job_keys! {
    /// Tell what a prior is: its pictures, its labels, its losses.
    PriorInfoJob {
        include common: Common;
        /// The prior: a run folder of `prior train`, or its file.
        prior: Option<PathBuf>, Path, example "\"runs/prior-photographs\"";
    }
}

/// Largest file that is read, bytes.
const LARGEST: u64 = 4 << 30;

/// Opens a trained prior.
pub fn open(path: &Path, device: &Device) -> Result<Box<dyn DiffusionPrior>> {
    Ok(Box::new(trained(path, device)?))
}

/// Files that folders of latent diffusion models have, in the usual layout.
const PRETRAINED: [&str; 3] = ["model_index.json", "unet/config.json", "vae/config.json"];

fn trained(path: &Path, device: &Device) -> Result<TrainedPrior> {
    let file = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    let missing = |message: String| {
        let help = format!(
            "give a folder that `lumigrad prior train FOLDER` wrote (it holds {FILE}), or such a file; weights of latent \
diffusion models (model_index.json, unet, vae, text_encoder, tokenizer) are not read by this version"
        );
        Error::file(path.display(), message, help)
    };
    if path.is_dir() && !file.is_file() {
        let pretrained = PRETRAINED.iter().find(|name| path.join(name).is_file());
        return Err(missing(match pretrained {
            Some(name) => format!("the folder of a pretrained model ({name} is in it), which this version cannot run"),
            None => format!("no prior is in this folder: {FILE} is missing"),
        }));
    }
    let size = std::fs::metadata(&file).map_err(|e| missing(format!("no prior is there: {e}")))?.len();
    if size > LARGEST {
        let message = format!("{size} bytes, expected at most {LARGEST}");
        return Err(Error::file(file.display(), message, "priors of lumigrad are smaller"));
    }
    let bytes = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
    Ok(TrainedPrior::from_bytes(&file.display().to_string(), &bytes, device)?)
}

/// Describes a prior.
///
/// # Errors
/// No prior is there.
pub fn info(job: &PriorInfoJob, summary: &mut Summary) -> Result<()> {
    let help = "give the run folder of a prior: lumigrad prior info runs/prior-photographs";
    let path = job.prior.clone().ok_or_else(|| Error::usage("prior info", "PRIOR is missing", help))?;
    let prior = trained(&path, &Device::cpu())?;
    for name in ["loss", "loss_over_gaussian"] {
        if let Some(value) = prior.facts.get(name).and_then(|v| v.parse().ok()) {
            summary.metric(name, value);
        }
    }
    summary.metric("n_parameters", prior.values().iter().map(|v| v.len()).sum::<usize>() as f64);
    let info = prior.info();
    let size = info.size.unwrap_or_default();
    let about = serde_json::json!({
        "trained by": prior.objective(),
        "size": format!("{}x{}", size[1], size[0]),
        "channels": info.channels,
        "labels": info.labels,
        "network": prior.network().config(),
        "facts": prior.facts,
    });
    summary.details.insert("prior".into(), about);
    Ok(())
}
