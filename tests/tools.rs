//! The commands that end by themselves: devices, convert, render, eval.

mod common;

use common::Run;
use std::fs;
use std::path::Path;

/// A square of two triangles with texture coordinates.
fn quad(path: &Path, z: f32) {
    let text = format!(
        "v -1 -1 {z}\nv 1 -1 {z}\nv 1 1 {z}\nv -1 1 {z}\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
    );
    fs::write(path, text).unwrap();
}

#[test]
fn devices_lists_what_auto_takes_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path(), &["devices", "--threads", "2", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let json = run.json();
    assert_eq!(json["command"], "devices");
    assert_eq!(json["cpu"]["threads"], 2);
    assert!(json["auto"]["why"].is_string() && json["adapters"].is_array());
    for key in [
        "version",
        "device",
        "seed",
        "iterations",
        "seconds",
        "peak_memory_bytes",
        "metrics",
        "history",
        "outputs",
        "warnings",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
}

#[test]
fn scenes_go_through_every_format_and_stay_the_same_surface() {
    let folder = tempfile::tempdir().unwrap();
    quad(&folder.path().join("a.obj"), 0.0);
    for (from, to) in [("a.obj", "b.glb"), ("b.glb", "c.gltf"), ("c.gltf", "d.obj")] {
        let run = Run::new(folder.path(), &["convert", from, to, "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(run.json()["outputs"]["scene"], to);
        let run = Run::new(folder.path(), &["eval", to, "--against", "a.obj", "--set", "samples=1000", "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(run.json()["metrics"]["chamfer_percent"].as_f64().unwrap() < 1e-4);
        assert!(run.json()["metrics"]["normal_angle_deg"].as_f64().unwrap() < 1e-2);
    }
    quad(&folder.path().join("moved.obj"), 0.5);
    let run = Run::new(folder.path(), &["eval", "moved.obj", "--against", "a.obj", "--json"]);
    let expected = 100.0 * 0.5 / 8f64.sqrt();
    assert!((run.json()["metrics"]["chamfer_percent"].as_f64().unwrap() - expected).abs() < 1e-3);
}

#[test]
fn rendered_pictures_are_compared_by_name() {
    let folder = tempfile::tempdir().unwrap();
    quad(&folder.path().join("a.obj"), 0.0);
    for (out, light) in [("x", "0.5,0.5,0.5"), ("y", "0.5,0.5,0.5"), ("z", "0.1,0.1,0.1")] {
        let arguments =
            ["render", "a.obj", "--camera", "orbit:2", "--size", "32x24", "--environment", light, "-o", out];
        let run =
            Run::new(folder.path(), &[&arguments[..], &["--aov", "depth,mask", "--device", "cpu", "--json"]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(run.json()["metrics"]["n_files"], 6.0);
        assert!(folder.path().join(out).join("orbit_001_depth.exr").is_file());
    }
    let run = Run::new(folder.path(), &["eval", "x", "--against", "y", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.json()["metrics"]["psnr"], 120.0);
    let run = Run::new(folder.path(), &["eval", "x", "--against", "z", "--json"]);
    // From behind the surface is culled and both pictures are empty; from the front only the light differs.
    let psnr = run.json()["images"][0]["psnr"].as_f64().unwrap();
    assert_eq!(run.json()["images"][1]["psnr"], 120.0);
    assert!(psnr > 3.0 && psnr < 40.0, "{psnr}");
    let run = Run::new(folder.path(), &["render", "a.obj", "--camera", "nobody"]);
    assert_eq!(run.code, 2);
    assert!(run.err.contains("no camera is named"), "{}", run.err);
}
