//! What the fuzz targets and `tests/fuzzed.rs` do with bytes: read them, and where they are good, go round once more.
#![allow(dead_code)]

use lumigrad::core::Device;
use lumigrad::field::{Derivatives, Field, Model};
use lumigrad::run::job::{Document, commands};
use lumigrad::scene::Scene;
use lumigrad::splat::{Kernel, Projection, RenderOptions, View, formats, render};
use std::path::Path;
use std::sync::Arc;

/// How errors name the input.
const NAME: &str = "input";

/// Reads a scene, poses it, reads all its parameters, saves it and reads it again. True where it is a scene.
///
/// # Panics
/// The reader panics, an error does not name the file, or a scene that was read cannot be read again.
pub fn gltf(bytes: &[u8]) -> bool {
    let scene = match Scene::from_bytes(bytes, NAME) {
        Ok(scene) => scene,
        Err(e) => {
            assert!(e.location().starts_with(NAME), "the file is named: {e}");
            return false;
        }
    };
    for instance in scene.instances() {
        // Matrices may carry positions beyond what f32 holds; that is an error and no panic.
        let _ = scene.world_geometry(&instance);
    }
    for parameter in scene.parameters() {
        let (shape, values) = scene.get(&parameter.pointer).expect("what is listed can be read");
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{}", parameter.pointer);
    }
    let saved = scene.to_glb().expect("what was read can be saved");
    let again = Scene::from_bytes(&saved, NAME).expect("what was saved can be read");
    assert_eq!(again.instances().len(), scene.instances().len());
    assert_eq!(again.parameters().len(), scene.parameters().len());
    true
}

/// Reads splats of any format, draws them, and where their numbers are finite, saves and reads them again. True where they
/// are splats.
///
/// # Panics
/// A reader or the renderer panics, a picture is not finite, or what was read cannot be read again.
pub fn splats(bytes: &[u8]) -> bool {
    let mut is_good = false;
    for ending in ["ply", "splat", "spz", "sog", "glb"] {
        let Ok(gaussians) = formats::read_bytes(&format!("{NAME}.{ending}"), bytes) else { continue };
        is_good = true;
        // Surfels are drawn by other kernels, which are slower.
        if gaussians.len() > 10_000 || gaussians.kernel == Kernel::Surfel {
            continue;
        }
        let view = View {
            viewmat: [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 0.0, 1.0]],
            intrinsics: [16.0, 16.0, 8.0, 8.0],
            width: 16,
            height: 16,
            projection: Projection::Perspective,
            shutter: Default::default(),
        };
        let image = render(&gaussians, &view, &RenderOptions::default()).expect("what was read can be drawn");
        assert!(image.colour.iter().flatten().chain(&image.alpha).all(|x| x.is_finite()));
        let saved = formats::write(Path::new("input.ply"), &gaussians).expect("what was read can be saved");
        let again = formats::read_bytes("input.ply", &saved).expect("what was saved can be read");
        assert_eq!(again.len(), gaussians.len());
    }
    is_good
}

/// Reads a field, takes its gradients, writes it and reads it again. True where it is a field.
///
/// # Panics
/// The reader or the field panics, or what was read cannot be read again.
pub fn field(bytes: &[u8]) -> bool {
    let Ok(model) = Model::<Field>::from_bytes(bytes, &Device::cpu()) else { return false };
    let points = vec![0.25; 2 * model.field.dim];
    let gradient = Arc::new(Derivatives::gradient(model.field.dim));
    if let Ok(streams) = model.field.sample(&model.values, &points, &gradient) {
        assert_eq!(streams[0].len(), 2 * model.field.channels);
    }
    let saved = model.to_bytes().expect("what was read can be saved");
    let again = Model::<Field>::from_bytes(&saved, &Device::cpu()).expect("what was saved can be read");
    assert_eq!(again.facts, model.facts);
    true
}

/// Reads a job, prints it and reads it again. True where it is a job.
///
/// # Panics
/// The reader panics, an error does not name the file, or a printed job is another one.
pub fn job(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let read = |text: &str| Document::parse_text(text, NAME, Path::new(""));
    let document = match read(text) {
        Ok(document) => document,
        Err(e) => {
            assert!(e.location().starts_with(NAME) && e.is_usage(), "the file is named: {e}");
            return false;
        }
    };
    let printed = document.to_toml();
    let again = read(&printed).unwrap_or_else(|e| panic!("a printed job can be read: {e}\n{printed}"));
    assert_eq!(again.to_toml(), printed);
    let typed = match document.command().name {
        "optimize" => document.parse::<commands::OptimizeJob>().map(drop),
        "render" => document.parse::<commands::RenderJob>().map(drop),
        "eval" => document.parse::<commands::EvalJob>().map(drop),
        "convert" => document.parse::<commands::ConvertJob>().map(drop),
        _ => Ok(()),
    };
    typed.expect("checked values have their types");
    true
}
