//! What the tests share.
#![allow(dead_code, missing_docs)]

use std::path::{Path, PathBuf};

/// The folder of test data, or `None` (said aloud) where the environment does not name one.
pub fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("LUMIGRAD_DATA").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: LUMIGRAD_DATA is not set");
    }
    folder
}

/// All `.glb` and `.gltf` files below `folder`, sorted.
pub fn gltf_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of test data") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "glb" || e == "gltf") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
