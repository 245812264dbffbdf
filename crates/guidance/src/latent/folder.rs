//! What a model's folder holds.

use super::config::read_json;
use crate::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// Tells a folder of a latent diffusion model from others.
pub const INDEX: &str = "model_index.json";

/// Files of a folder in the layout of the diffusers library: where, and how large those of Stable Diffusion 1.5 are. Weights may
/// be in parts (`.safetensors.index.json`) or of half precision (`.fp16.safetensors`).
const FILES: [(&str, &str); 9] = [
    ("scheduler/scheduler_config.json", "1 kB"),
    ("tokenizer/vocab.json", "1 MB"),
    ("tokenizer/merges.txt", "0.5 MB"),
    ("text_encoder/config.json", "1 kB"),
    ("text_encoder/model.safetensors", "0.5 GB, half of it in half precision"),
    ("unet/config.json", "1 kB"),
    ("unet/diffusion_pytorch_model.safetensors", "3.4 GB, half of it in half precision"),
    ("vae/config.json", "1 kB"),
    ("vae/diffusion_pytorch_model.safetensors", "0.3 GB, half of it in half precision"),
];

/// Pipelines whose networks are those that are built here.
const PIPELINES: [&str; 2] = ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"];

/// Whether a folder looks like that of a latent diffusion model.
pub fn is_latent(folder: &Path) -> bool {
    [INDEX, "unet/config.json"].iter().any(|name| folder.join(name).is_file())
}

/// Whether a file of weights is there, in one of its forms.
fn there(folder: &Path, name: &str) -> bool {
    let forms = |stem: &str| [format!("{stem}.safetensors.index.json"), format!("{stem}.fp16.safetensors")];
    folder.join(name).is_file()
        || name.strip_suffix(".safetensors").is_some_and(|stem| forms(stem).iter().any(|f| folder.join(f).is_file()))
}

/// Checks that all that is needed is there.
///
/// # Errors
/// Names every missing file with its size and where models come from; pipelines of other networks.
pub fn check(folder: &Path) -> Result<()> {
    let bad = |file: &Path, reason: String| Error::File { file: file.display().to_string(), reason };
    let index = folder.join(INDEX);
    if index.is_file() {
        let value: Value = read_json(&index)?;
        match value["_class_name"].as_str() {
            Some(name) if PIPELINES.contains(&name) => {}
            name => {
                let found = name.unwrap_or("no pipeline");
                let reason = format!("a model of {found}; expected {} (Stable Diffusion 1 or 2)", PIPELINES[0]);
                return Err(bad(&index, reason));
            }
        }
    }
    let missing: Vec<String> = FILES
        .iter()
        .filter(|(name, _)| !there(folder, name))
        .map(|(name, size)| format!("{name} (about {size})"))
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(bad(
            folder,
            format!(
                "a latent diffusion model without {}. Sizes are those of Stable Diffusion 1.5. Download the whole folder of a \
model in the layout of the diffusers library, with safetensors, from the page of whoever published it, under its licence: nothing \
is fetched from here, and .bin or .ckpt files are not read",
                missing.join(", ")
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_size() {
        let folder = std::env::temp_dir().join(format!("lumigrad-latent-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(INDEX, r#"{"_class_name": "StableDiffusionPipeline"}"#);
        for (name, _) in FILES {
            write(name, "{}");
        }
        assert!(is_latent(&folder) && check(&folder).is_ok());
        std::fs::rename(folder.join(FILES[6].0), folder.join("unet/diffusion_pytorch_model.fp16.safetensors")).unwrap();
        assert!(check(&folder).is_ok());
        std::fs::remove_file(folder.join(FILES[4].0)).unwrap();
        std::fs::remove_file(folder.join(FILES[1].0)).unwrap();
        let error = check(&folder).unwrap_err().to_string();
        assert!(error.contains("vocab.json (about 1 MB), text_encoder/model.safetensors (about 0.5 GB"), "{error}");
        write(INDEX, r#"{"_class_name": "StableDiffusionXLPipeline"}"#);
        assert!(check(&folder).unwrap_err().to_string().contains("a model of StableDiffusionXLPipeline"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
