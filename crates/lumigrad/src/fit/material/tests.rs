use super::angles::Angles;
use super::gltf::Factors;
use super::{FIT, merl};
use crate::run::job::{Document, Size};
use crate::run::{RenderSettings, Silent, Stop, Summary, cameras, render, sphere};
use crate::{Error, Result, files};
use glam::DVec3;
use lumigrad_core::Device;
use lumigrad_scene::picture::Picture;
use lumigrad_scene::{Light, LightKind, Node, Scene, Transform};
use std::f64::consts::PI;
use std::fs;
use std::path::{Path, PathBuf};

fn fit(folder: &Path, device: &str, text: &str) -> Result<Summary> {
    let text = format!("command = \"fit material\"\nout = \"run\"\ndevice = \"{device}\"\npicture = 48\n{text}");
    (FIT.run)(&Document::parse_text(&text, "job.toml", folder)?, &Stop::new(), &mut Silent)
}

#[test]
fn lambert_is_constant_and_is_fitted() {
    let lambert = Factors { base_color: [0.9, 0.3, 0.1], metallic: 0.0, roughness: 0.5, specular: 0.0 };
    let angles: Vec<Angles> =
        (0..50).map(|k| Angles { half: 0.01 * k as f64, difference: 0.5, turn: 0.1 * k as f64 }).collect();
    for found in lambert.at(&angles).unwrap() {
        assert!((0..3).all(|c| (found[c] as f64 - lambert.base_color[c] / PI).abs() < 1e-6), "{found:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let summary = fit(folder.path(), "cpu", "brdf = \"lambert\"\nbatch = 512\niterations = 1500\n").unwrap();
    let figure = |name: &str| summary.get(name).unwrap();
    assert_eq!(figure("n_parameters"), 675.0);
    assert!(figure("log_error") < 1e-3 && figure("psnr") > 45.0, "{:?}", summary.metrics);
    assert!(figure("reciprocity_error_percent") < 1e-3, "{:?}", summary.metrics);
    // A sphere below a lamp and below a sky: as the rasteriser draws the diffuse material itself.
    for (lamp, worst) in [(true, 0.01), (false, 0.02)] {
        let [own, fitted] = [None, Some(folder.path().join("run"))].map(|file| drawn(folder.path(), lamp, file));
        let differences = || own.iter().zip(&fitted).map(|(a, b)| (a - b).abs());
        let mean = differences().sum::<f32>() / own.len() as f32;
        assert!(own.iter().any(|x| *x > 0.2) && mean < 0.003, "{mean}");
        assert!(differences().all(|d| d < worst), "{:?}", differences().fold(0.0, f32::max));
    }
}

/// A sphere of the material of that test, linear, with a file in its place.
fn drawn(folder: &Path, lamp: bool, file: Option<PathBuf>) -> Vec<f32> {
    let lambert = Factors { base_color: [0.8, 0.5, 0.2], metallic: 0.0, roughness: 0.5, specular: 0.0 };
    let mut scene = Scene::from_mesh("sphere", &sphere(48), &lambert.material("dull"), None).unwrap();
    if lamp {
        let kind = LightKind::Directional;
        let light = Light { name: String::new(), color: [1.0; 3], intensity: 2.0, range: None, kind };
        let light = scene.add_light(&light).unwrap();
        let transform = Transform::Trs { translation: [0.0; 3], rotation: [0.9, -0.3, 0.3, 0.0], scale: [1.0; 3] };
        scene.add_node(&Node { light: Some(light), transform, ..Node::default() }).unwrap();
    }
    let materials = file.iter().map(|f| format!("dull={}", f.display())).collect();
    let settings = RenderSettings { exr: true, materials, ..RenderSettings::default() };
    let size = Size { width: 32, height: 32 };
    let views = cameras(&scene, None, size).unwrap();
    let written = render(&scene, &views, &settings, &Device::cpu(), &folder.join("drawn")).unwrap();
    Picture::load(&written[0]).unwrap().data
}

#[test]
fn the_closest_gltf_material_of_one_is_itself() {
    let folder = tempfile::tempdir().unwrap();
    let job = "base_color = [0.7, 0.4, 0.2]\nmetallic = 1.0\nroughness = 0.5\nbatch = 512\niterations = 1500\n";
    let summary = fit(folder.path(), "cpu", job).unwrap();
    let figure = |name: &str| summary.get(name).unwrap();
    assert!(figure("psnr") > 30.0 && figure("reciprocity_error_percent") < 1e-3, "{:?}", summary.metrics);
    assert!((figure("gltf_roughness") - 0.5).abs() < 0.03 && figure("gltf_metallic") > 0.9, "{:?}", summary.metrics);
    // The rasteriser reads it.
    let scene = files::load_scene(&folder.path().join("run/material.glb")).unwrap();
    let material = &scene.materials()[0];
    assert!((material.roughness_factor as f64 - figure("gltf_roughness")).abs() < 1e-6);
    assert!((material.base_color_factor[0] - 0.7).abs() < 0.1, "{material:?}");
    for file in ["field.safetensors", "preview.png", "report.html", "metrics.json"] {
        assert!(folder.path().join("run").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_measured_material_is_read_and_fitted() {
    let folder = tempfile::tempdir().unwrap();
    // Phong's lobe about the half vector on a diffuse ground; nothing is known of grazing half vectors.
    let value = |a: Angles| {
        let lobe = 4.0 * a.half.cos().powi(40);
        if a.half > 1.4 { [-1.0; 3] } else { [0.2 + lobe, 0.1 + lobe, 0.05 + lobe] }
    };
    let path = folder.path().join("phong.binary");
    fs::write(&path, merl::bytes(value)).unwrap();
    let job = "measured = \"phong.binary\"\nbatch = 512\niterations = 1500\n";
    let summary = fit(folder.path(), "cpu", job).unwrap();
    assert!(summary.get("log_error").unwrap() < 0.03, "{:?}", summary.metrics);
    assert!(summary.get("psnr").unwrap() > 25.0, "{:?}", summary.metrics);
    let both = fit(folder.path(), "cpu", &format!("{job}brdf = \"ggx\"\n")).unwrap_err();
    assert!(matches!(both, Error::Usage { .. }), "{both}");
    fs::write(&path, "short").unwrap();
    let short = fit(folder.path(), "cpu", job).unwrap_err().to_string();
    assert!(short.contains("phong.binary: 5 bytes, expected 34992012"), "{short}");
}

#[test]
fn the_analytic_material_is_the_gltf_specification() {
    // Facing light and viewer: F0/(4 π α²)·(1) + (1 − F0)·c/π, with V = 1/4 there.
    let factors = Factors { base_color: [0.6; 3], metallic: 0.0, roughness: 0.5, specular: 1.0 };
    let angles = [Angles::of(DVec3::Z, DVec3::Z)];
    let found = factors.at(&angles).unwrap()[0][0] as f64;
    let alpha = 0.25f64;
    let expected = 0.04 / (4.0 * PI * alpha * alpha) + 0.96 * 0.6 / PI;
    assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
}

#[test]
fn wrong_materials_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for (job, said) in [
        ("roughness = 1.5\n", "--roughness: 1.5"),
        ("base_color = [0.5, -0.1, 0.5]\n", "--base-color"),
        ("picture = 100000\n", "--picture"),
        ("measured = \"nowhere.binary\"\n", "nowhere.binary"),
    ] {
        let job = if job.starts_with("picture") { job.to_owned() } else { format!("iterations = 1\n{job}") };
        let text = format!("command = \"fit material\"\ndevice = \"cpu\"\n{job}");
        let document = Document::parse_text(&text, "job.toml", folder.path()).unwrap();
        let error = (FIT.run)(&document, &Stop::new(), &mut Silent).unwrap_err().to_string();
        assert!(error.contains(said), "{job}: {error}");
    }
}

#[test]
fn both_devices_find_the_same_material() {
    let Some(gpu) = lumigrad_testkit::gpu("material") else { return };
    let folder = tempfile::tempdir().unwrap();
    let job = "brdf = \"lambert\"\nbatch = 64\niterations = 20\n";
    let name = if gpu.is_software() { "gpu:software" } else { "gpu" };
    let [a, b] = ["cpu", name].map(|device| fit(folder.path(), device, job).unwrap().get("log_error").unwrap());
    assert!((a - b).abs() < 1e-3 * a, "{a} on the CPU, {b} on the GPU");
}
