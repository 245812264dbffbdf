//! Meshes of photographs as a user makes them: train, look, resume, bad input.

mod common;

use common::{Run, photographs, succeeded};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SMALL: [&str; 11] = [
    "train",
    "mesh",
    "data",
    "--resolution",
    "24",
    "--max-splats",
    "2000",
    "--texture-size",
    "128",
    "--json",
    "--eval-every=1000",
];

fn train(folder: &Path, more: &[&str]) -> Value {
    succeeded(folder, &SMALL, more)
}

fn metric(json: &Value, name: &str) -> f64 {
    json["metrics"][name].as_f64().unwrap_or(f64::NAN)
}

#[test]
fn each_stage_is_nearer_to_photographs_and_shape_than_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 16);
    let found = train(folder.path(), &["--device", "cpu", "--iterations", "600", "--out", "run"]);
    let [fused, optimised, test] = ["fused_psnr", "optimised_psnr", "test_psnr"].map(|name| metric(&found, name));
    // 15.6, 27.3 and 28.9 dB.
    assert!(optimised > fused + 5.0 && test > optimised + 0.7 && test > 26.0, "{found}");
    // The photographs are of a ball of radius 1.
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let [fused, optimised] = ["fused", "optimised"].map(|stage| {
        let file = format!("run/stages/{stage}.ply");
        let run = Run::new(folder.path(), &["eval", &file, "--against", globe, "--samples", "20000", "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
        metric(&run.json(), "chamfer_percent")
    });
    // 3.7 and 0.67 % of the diagonal.
    assert!(optimised < 0.4 * fused && optimised < 1.0, "chamfer {fused} %, then {optimised} %");
    for file in ["mesh.glb", "stages/splats.ply", "report.html", "metrics.json", "job.toml", "checkpoint.safetensors"] {
        assert!(folder.path().join("run").join(file).is_file(), "{file}");
    }
    // The run's folder stands for its mesh.
    let cameras = "run/views/transforms_test.json";
    let run = Run::new(folder.path(), &["render", "run", "--camera", cameras, "--device", "cpu", "-o", "again"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = Run::new(folder.path(), &["eval", "again", "--against", "run/views", "--json"]);
    assert!(metric(&run.json(), "psnr") > 25.0, "{}", run.out);
}

#[test]
#[cfg(unix)]
fn a_run_that_was_interrupted_ends_with_the_same_bytes_on_any_number_of_threads() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 5);
    let bytes = |run: &str| fs::read(folder.path().join(run).join("mesh.glb")).unwrap();
    let job = ["--device", "cpu", "--iterations", "400", "--out"];
    train(folder.path(), &[&job[..], &["whole", "--threads", "1"]].concat());
    for (name, milliseconds) in [("early", 300), ("late", 1500)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        command.args([&SMALL[..], &job[..], &[name]].concat()).current_dir(folder.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(output.status.code(), Some(130), "{json}");
        assert!(json["iterations"].as_u64().unwrap() < 400, "{json}");
        train(folder.path(), &[&job[..], &[name, "--resume"]].concat());
        assert!(bytes("whole") == bytes(name), "{name}: the resumed run ended elsewhere");
    }
}

#[test]
fn runs_end_on_a_gpu_too() {
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() {
        return eprintln!("skipped: train mesh on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
    }
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 5);
    // Places and colours of the Gaussians at the start are those of the end: enough for a surface.
    let found = train(folder.path(), &["--device", "gpu:software", "--iterations", "60", "--out", "run"]);
    assert!(metric(&found, "test_psnr") > 8.0, "{found}");
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 3);
    for (arguments, said) in [
        (vec!["train", "mesh"], "DATA"),
        (vec!["train", "mesh", "nowhere"], "nowhere"),
        (vec!["train", "mesh", "data", "--resolution", "100000"], "--resolution"),
        (vec!["train", "mesh", "data", "--background", "mauve"], "--background"),
        (vec!["train", "mesh", "data", "--max-splats", "0"], "--max-splats"),
    ] {
        let run = Run::new(folder.path(), &arguments);
        assert!(matches!(run.code, 1 | 2) && !run.err.contains("panicked"), "{arguments:?}: {} {}", run.code, run.err);
        assert!(run.err.contains(said), "{arguments:?}: {}", run.err);
    }
    // A run without steps, and one Gaussian: they end with a mesh, or say why there is none.
    for more in [["--iterations", "0", "--max-splats", "100"], ["--iterations", "8", "--max-splats", "1"]] {
        let small = ["train", "mesh", "data", "--resolution", "16", "--device", "cpu", "--out", "run"];
        let run = Run::new(folder.path(), &[&small[..], &more].concat());
        assert!(run.code == 0 || run.err.contains("surface"), "{more:?}: {} {}", run.code, run.err);
        assert!(!run.err.contains("panicked"), "{}", run.err);
    }
}
