//! Neural fields as a user does it: fit, resume, and bad input.

mod common;

use common::Run;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// A tiny picture, from what the program itself renders.
fn picture(folder: &Path) {
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let run = Run::new(folder, &["render", globe, "--size", "24x24", "--device", "cpu", "-o", "views"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let file = fs::read_dir(folder.join("views")).unwrap().next().unwrap().unwrap().path();
    fs::copy(file, folder.join("picture.png")).unwrap();
}

fn fit(folder: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["fit"].iter().chain(arguments).chain(&["--json"]).copied().collect();
    let run = Run::new(folder, &all);
    assert_eq!(run.code, 0, "{all:?}: {}{}", run.out, run.err);
    run.json()
}

fn metric(json: &Value, name: &str) -> f64 {
    json["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} of {}", json["metrics"]))
}

const HASH: [&str; 8] =
    ["image", "picture.png", "--encoding", "hash", "--log2-hashmap-size", "10", "--finest-resolution", "24"];

#[test]
fn pictures_become_fields() {
    let folder = tempfile::tempdir().unwrap();
    picture(folder.path());
    let run = |more: &[&str]| fit(folder.path(), &[&HASH[..], more].concat());
    let found = run(&["--iterations", "300", "--batch", "256", "--device", "cpu", "--out", "a", "--size", "48x48"]);
    assert!(metric(&found, "psnr") > 30.0, "{}", found["metrics"]);
    for file in ["field.safetensors", "image.png", "report.html", "metrics.json", "job.toml"] {
        assert!(folder.path().join("a").join(file).is_file(), "{file}");
    }
    // The field's file says what it is: the same picture comes out of it at any size.
    let render = |more: &[&str]| {
        let run = Run::new(folder.path(), &[&["render", "a", "--device", "cpu", "-o"], more].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        image::open(folder.path().join(more[0]).join("image.png")).unwrap().to_rgba8()
    };
    let (own, large) = (render(&["own"]), render(&["large", "--size", "48x48"]));
    let sampled = image::open(folder.path().join("a/image.png")).unwrap().to_rgba8();
    assert_eq!((own.dimensions(), large.dimensions()), ((24, 24), (48, 48)));
    let off = large.iter().zip(sampled.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off <= Some(1), "{off:?}");
    // Any number of threads, and a run in two parts, end at the same bytes.
    let bytes = |run: &str| fs::read(folder.path().join(run).join("field.safetensors")).unwrap();
    let short = ["--batch", "256", "--device", "cpu"];
    run(&[&short[..], &["--iterations", "40", "--out", "whole"]].concat());
    run(&[&short[..], &["--iterations", "40", "--threads", "1", "--out", "one"]].concat());
    assert!(bytes("whole") == bytes("one"), "one thread and two differ");
}

#[test]
fn surfaces_come_back_out_of_distances() {
    let folder = tempfile::tempdir().unwrap();
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let sdf = ["sdf", globe, "--iterations", "150", "--batch", "2048", "--levels", "6", "--log2-hashmap-size", "12"];
    let more = ["--finest-resolution", "32", "--mesh-resolution", "32", "--device", "cpu", "--out", "sdf"];
    let found = fit(folder.path(), &[&sdf[..], &more].concat());
    assert!(metric(&found, "chamfer_percent") < 0.6, "{}", found["metrics"]);
    // After so few steps the field is rough; the fitted operator sees through that.
    let [own, fitted] = ["normal_angle_deg", "normal_angle_deg_polyfit"].map(|name| metric(&found, name));
    assert!(fitted < 12.0 && fitted < 0.5 * own, "{}", found["metrics"]);
    assert_eq!((metric(&found, "watertight"), metric(&found, "genus")), (1.0, 0.0));
    // The field's file says where it lies and which operator suits it: the same mesh comes out of it.
    let run = Run::new(folder.path(), &["mesh", "sdf", "--resolution", "32", "--device", "cpu", "-o", "again.ply"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(
        fs::read(folder.path().join("again.ply")).unwrap() == fs::read(folder.path().join("sdf/mesh.ply")).unwrap()
    );
    let report = fs::read_to_string(folder.path().join("sdf/report.html")).unwrap();
    assert!(["mirror", "mean curvature", "distance to the mesh"].iter().all(|text| report.contains(text)));
    // The surface as points, without their triangles.
    let mesh = fs::read(folder.path().join("sdf/mesh.ply")).unwrap();
    let eikonal = ["eikonal", "sdf/mesh.ply", "--iterations", "60", "--batch", "512", "--width", "32", "--depth", "2"];
    let more = ["--mesh-resolution", "24", "--omega", "10", "--device", "cpu", "--out", "eikonal"];
    assert!(!mesh.is_empty());
    let found = fit(folder.path(), &[&eikonal[..], &more].concat());
    assert!(metric(&found, "distance_percent") < 5.0, "{}", found["metrics"]);
}

#[test]
fn equations_are_solved() {
    let folder = tempfile::tempdir().unwrap();
    // Poisson's equation with the solution sin πx sin πy.
    let residual = "u_xx + u_yy + 2*pi^2*sin(pi*x)*sin(pi*y)";
    let job = ["pde", "--residual", residual, "--exact", "sin(pi*x)*sin(pi*y)", "--iterations", "400", "--width", "32"];
    let more = ["--batch", "512", "--picture", "16", "--device", "cpu", "--out", "pde"];
    let found = fit(folder.path(), &[&job[..], &more].concat());
    assert!(metric(&found, "error_percent") < 15.0, "{}", found["metrics"]);
}

#[test]
fn surfaces_move_as_they_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let job = ["evolve", globe, "--rate", "0.1", "--iterations", "500", "--batch", "512", "--width", "64"];
    let more = ["--frames", "3", "--mesh-resolution", "48", "--device", "cpu", "--out", "evolve"];
    let found = fit(folder.path(), &[&job[..], &more].concat());
    // A sphere of radius 1 that moves by its mean curvature 1/r: r² = 1 − 4·rate·t.
    for k in 0..3 {
        let volume = metric(&found, &format!("volume_{k}"));
        let radius = (volume * 0.75 / std::f64::consts::PI).cbrt();
        let expected = (1.0 - 0.4 * k as f64 / 2.0).sqrt();
        assert!((radius / expected - 1.0).abs() < 0.02, "frame {k}: radius {radius}, expected {expected}");
    }
    assert!(folder.path().join("evolve/frames/0002.ply").is_file());
}

#[test]
fn bad_input_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(folder.path().join("empty.obj"), b"").unwrap();
    fs::write(folder.path().join("nan.obj"), b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    for (arguments, what) in [
        (vec!["image", "nowhere.png"], "nowhere.png"),
        (vec!["image", "broken.png"], "broken.png"),
        (vec!["image"], "IMAGE is missing"),
        (vec!["sdf", "empty.obj"], "empty.obj"),
        (vec!["sdf", "nan.obj"], "nan.obj"),
        (vec!["eikonal", "empty.obj"], "empty.obj"),
        (vec!["pde", "--residual", "u_xx + * u"], "expected a number"),
        (vec!["pde", "--residual", "u_xx + q"], "unknown name \"q\""),
        (vec!["pde", "--residual", "u_xx", "--domain", "x = 1:0"], "LOW:HIGH"),
        (vec!["pde", "--residual", "u_xx", "--conditions", "t = 0: u"], "no face"),
        (vec!["pde"], "--residual"),
        (vec!["evolve", "empty.obj"], "empty.obj"),
        (vec!["morph"], "A is missing"),
        (vec!["morph", "broken.png", "broken.png"], "--landmarks"),
        (vec!["material", "broken.png"], "8 bytes, expected 34992012"),
        (vec!["material", "--roughness", "2"], "--roughness"),
    ] {
        let all: Vec<&str> =
            ["fit"].into_iter().chain(arguments.iter().copied()).chain(["--device", "cpu", "--json"]).collect();
        let run = Run::new(folder.path(), &all);
        assert!(run.code == 1 || run.code == 2, "{arguments:?}: {} {}", run.code, run.err);
        let message = run.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(what) || run.out.contains(what), "{arguments:?}: {}", run.out);
    }
}

#[test]
fn waves_and_families_are_fitted_and_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let small = ["--iterations", "12", "--width", "16", "--depth", "2", "--batch", "256", "--device", "cpu"];
    let run = |kind: &[&str], more: &[&str]| fit(folder.path(), &[kind, &small, more].concat());
    let found = run(&["helmholtz"], &["--sources", "-0.3,0; 0.3,0.2,2", "--picture", "16", "--out", "h"]);
    assert!(metric(&found, "residual_rms").is_finite() && metric(&found, "mse").is_finite());
    let found = run(&["wave"], &["--bumps", "0,0; 0.3,0.3,0.5", "--picture", "16", "--frames", "2", "--out", "w"]);
    assert!(metric(&found, "error_percent").is_finite());
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let views = ["render", globe, "--size", "12x12", "--camera", "orbit:3", "--device", "cpu", "-o", "views"];
    assert_eq!(Run::new(folder.path(), &views).code, 0);
    let found = run(&["family", "views"], &["--hyper-width", "8", "--between", "1", "--out", "f"]);
    assert_eq!(metric(&found, "n_pictures"), 3.0);
    assert!(folder.path().join("f/between/0003.png").is_file() && folder.path().join("f/pictures/0002.png").is_file());

    fs::create_dir(folder.path().join("empty")).unwrap();
    for (arguments, said) in [
        (vec!["helmholtz", "--sources", "3,3"], "--sources"),
        (vec!["helmholtz", "--speed", "q"], "--speed"),
        (vec!["helmholtz", "--wavenumber", "0"], "--wavenumber"),
        (vec!["wave", "--duration", "0"], "--duration"),
        (vec!["wave", "--speed", "x +"], "--speed"),
        (vec!["pde", "--residual", "u_xx", "--grow", "z"], "--grow"),
        (vec!["family", "empty"], "empty"),
        (vec!["family"], "PICTURES"),
    ] {
        let run = Run::new(folder.path(), &[&["fit"][..], &arguments].concat());
        assert!(matches!(run.code, 1 | 2), "{arguments:?}: {}{}", run.code, run.err);
        assert!(run.err.contains(said), "{arguments:?}: {}", run.err);
    }
}
