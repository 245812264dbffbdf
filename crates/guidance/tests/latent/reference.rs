//! What `reference.py` left: tiny models and what other software computed with them.

use lumigrad_core::{Device, Tensor};
use lumigrad_testkit::{Array, read_npz};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Its models.
pub const MODELS: [&str; 2] = ["sd1", "sd2"];
/// Largest error of f32 results, relative to the largest value.
pub const TOLERANCE: f64 = 1e-4;
static REFERENCE: LazyLock<BTreeMap<String, Array>> = LazyLock::new(|| read_npz(&folder().join("reference.npz")));

/// Where they are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/latent")
}

/// A reference.
pub fn array(model: &str, name: &str) -> &'static Array {
    &REFERENCE[&format!("{model}/{name}")]
}

/// An array of the reference as an input.
pub fn input(model: &str, name: &str, device: &Device) -> Tensor {
    let array = array(model, name);
    let data: Vec<f32> = array.data.iter().map(|&x| x as f32).collect();
    Tensor::from_slice(device, &data, &array.shape).unwrap()
}

/// Fails unless a result is a reference.
pub fn compare(found: &Tensor, model: &str, name: &str) {
    let expected = array(model, name);
    assert_eq!(found.shape(), expected.shape, "{model}/{name}");
    let most = expected.data.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let found_values = found.to_f64_vec().unwrap();
    let error = found_values.iter().zip(&expected.data).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
    assert!(most > 1e-3 && error <= TOLERANCE * most, "{model}/{name}: {error} of {most} on {}", found.device());
}
