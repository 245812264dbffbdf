//! What papers state.

use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct All {
    collection: Vec<Collection>,
}

#[derive(Deserialize)]
struct Collection {
    name: String,
    words: Vec<String>,
    method: Vec<Method>,
}

#[derive(Deserialize)]
struct Method {
    name: String,
    source: String,
    psnr: BTreeMap<String, f64>,
}

/// A figure of a paper.
pub struct Published {
    /// Its method.
    pub method: String,
    /// Held-out PSNR, dB.
    pub psnr: f64,
    /// Where it stands, and what it was measured on.
    pub source: String,
}

/// Figures of the scene that the name of a data set's folder tells, if it does.
///
/// # Errors
/// None, but for a table that cannot be read, which a test forbids.
pub fn published(data: &str) -> Result<Vec<Published>> {
    let all: All = toml::from_str(include_str!("published.toml")).map_err(|e| Error::job(e.message().to_owned()))?;
    let name = data.to_lowercase();
    let parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let mut found = vec![];
    for collection in all.collection.iter().filter(|c| c.words.iter().any(|w| name.contains(w.as_str()))) {
        for method in &collection.method {
            let scene = method.psnr.iter().find(|(scene, _)| parts.contains(&scene.as_str()));
            found.extend(scene.map(|(_, psnr)| Published {
                method: method.name.clone(),
                psnr: *psnr,
                source: format!("{}: {}", method.source, collection.name),
            }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_found_by_the_names_of_folders() {
        let psnr = |data: &str, method: &str| {
            let found = published(data).unwrap();
            found.iter().find(|p| p.method == method).map(|p| p.psnr)
        };
        assert_eq!(psnr("nerf_synthetic_lego_100", "3DGS"), Some(35.78));
        assert_eq!(psnr("llff_fern", "TensoRF"), Some(25.27));
        assert_eq!(psnr("nerf_synthetic/mic", "instant-ngp"), Some(36.22));
        assert_eq!(psnr("360_v2_garden", "3DGS"), Some(27.41));
        assert_eq!(psnr("lego", "3DGS"), None);
        assert_eq!(psnr("llff_lego", "TensoRF"), None);
    }
}
