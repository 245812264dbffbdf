//! Broken and odd files.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::Scene;
use std::path::Path;

fn valid_without_requirements(path: &Path) -> bool {
    let report = format!("{}.report.json", path.display());
    let Ok(text) = std::fs::read_to_string(report) else { return false };
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let required = std::fs::read(path).unwrap().windows(18).any(|w| w == b"extensionsRequired");
    report["issues"]["numErrors"] == 0 && !required
}

#[test]
fn malformed_files_end_cleanly_and_valid_ones_load() {
    let Some(data) = common::data() else { return };
    let files = common::gltf_files(&data.join("gltf_malformed"));
    let mut refused = Vec::new();
    let (mut loaded, mut n_valid) = (0, 0);
    for path in &files {
        let valid = valid_without_requirements(path);
        n_valid += usize::from(valid);
        match Scene::load(path) {
            Ok(scene) => {
                loaded += 1;
                for instance in scene.instances() {
                    scene.world_geometry(&instance).unwrap();
                }
                let glb = scene.to_glb().unwrap();
                Scene::from_bytes(&glb, "again").unwrap();
            }
            Err(error) => {
                println!("{}: {error}", path.strip_prefix(&data).unwrap().display());
                if valid {
                    refused.push((path, error.to_string()));
                }
            }
        }
    }
    println!("{loaded} of {} load, {n_valid} are valid", files.len());
    assert!(refused.is_empty(), "{refused:#?}");
}
