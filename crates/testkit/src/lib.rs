//! Checks that every operator of lumigrad passes: derivatives against finite differences, forward mode against
//! reverse mode, and both devices against each other.
//!
//! ```
//! use lumigrad_testkit::{Check, real};
//! Check::new("square", |x| Ok(vec![x[0].square()?])).run(&[real(&[3, 2], 1)]);
//! ```

mod check;
#[cfg(feature = "gpu")]
mod host;
mod npz;
mod registry;

pub use check::{Check, devices, integers, real, real_in};
#[cfg(feature = "gpu")]
pub use host::{host, narrow};
pub use npz::{Array, read_npz};
pub use registry::{KernelRun, check_runs, check_shaders, put};

use lumigrad_core::{Device, device::HAS_GPU};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder of real test data; `None` (with a note on stderr) where `LUMIGRAD_DATA` is not set.
pub fn data_dir(what: &str) -> Option<PathBuf> {
    match std::env::var_os("LUMIGRAD_DATA") {
        Some(dir) => Some(dir.into()),
        None => {
            eprintln!("skipped: {what}: LUMIGRAD_DATA is not set");
            None
        }
    }
}

/// The software or hardware GPU for tests; `None` (with a note on stderr) where there is none.
///
/// # Panics
/// When there is none although this build has GPU support and `LUMIGRAD_REQUIRE_GPU` is set.
pub fn gpu(what: &str) -> Option<Device> {
    static GPU: OnceLock<Result<Device, String>> = OnceLock::new();
    let found = GPU.get_or_init(|| {
        Device::from_name("gpu").or_else(|_| Device::from_name("gpu:software")).map_err(|e| e.to_string())
    });
    match found {
        Ok(device) => Some(device.clone()),
        Err(error) if HAS_GPU && std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_some() => panic!("{what}: {error}"),
        Err(error) => {
            eprintln!("skipped: {what}: {error}");
            None
        }
    }
}

/// Parses and validates WGSL without a GPU.
pub fn validate_wgsl(text: &str) -> Result<naga::Module, String> {
    validate_wgsl_with(text, false)
}

/// [`validate_wgsl`] for adapters that may have atomic float addition.
pub fn validate_wgsl_with(text: &str, float_atomics: bool) -> Result<naga::Module, String> {
    let module = naga::front::wgsl::parse_str(text).map_err(|e| e.emit_to_string(text))?;
    let mut capabilities = naga::valid::Capabilities::default();
    capabilities.set(naga::valid::Capabilities::SHADER_FLOAT32_ATOMIC, float_atomics);
    // Packing of two halves into a word, which all of WebGPU has.
    capabilities.set(naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32, true);
    naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| e.emit_to_string(text))?;
    Ok(module)
}
