//! Runs that are stopped, killed and resumed.
#![cfg(unix)]

mod common;

use common::Run;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Steps of the job; the schedule depends on them, so an interrupted run has the same number. Enough
/// of them that a run still has most before it when a busy machine lets the test see its first ones.
const STEPS: u64 = 4000;

/// A job of few pixels: the colour of a square.
fn job(out: &str, steps: u64) -> Vec<String> {
    let colour = "/materials/*/pbrMetallicRoughness/baseColorFactor";
    let job =
        ["optimize", "a.obj", "--target", "a.obj", "--views", "4", "--size", "16x16", "--device", "cpu", "--json"];
    let start = "--init=/materials/*/pbrMetallicRoughness/baseColorFactor=0.5";
    let steps = steps.to_string();
    let job = [&job[..], &["--param", colour, start, "--iterations", &steps, "--out", out]].concat();
    job.into_iter().map(String::from).collect()
}

fn square(folder: &Path) {
    fs::write(folder.join("a.obj"), "v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\nf 1 2 3\nf 1 3 4\nf 3 2 1\n").unwrap();
}

/// Starts a job and waits until it makes steps.
fn start(folder: &Path, arguments: &[String], out: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
    command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let work = folder.join(format!(".{out}.part-{}", child.id()));
    let begun = Instant::now();
    while !work.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no step within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    square(folder);
    let whole = Run::new(folder, &job("whole", STEPS));
    assert_eq!(whole.code, 0, "{}", whole.err);

    let child = start(folder, &job("stopped", STEPS), "stopped");
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let done = json["iterations"].as_u64().unwrap();
    assert!(done < STEPS, "it was interrupted after {done} steps");
    for file in ["checkpoint.safetensors", "report.html", "scene.glb", "metrics.json", "job.toml"] {
        assert!(folder.join("stopped").join(file).is_file(), "{file}");
    }

    let resumed = Run::new(folder, &[&job("stopped", STEPS)[..], &["--resume".into()]].concat());
    assert_eq!(resumed.code, 0, "{}", resumed.err);
    assert_eq!(resumed.json()["iterations"], STEPS);
    assert_eq!(resumed.json()["metrics"]["test_psnr"], whole.json()["metrics"]["test_psnr"]);
    let scene = |run: &str| fs::read(folder.join(run).join("scene.glb")).unwrap();
    assert!(scene("stopped") == scene("whole"), "the scenes differ");
}

#[test]
fn a_killed_run_leaves_the_last_good_one_and_the_next_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    square(folder);
    let run = Run::new(folder, &job("run", 5));
    assert_eq!(run.code, 0, "{}", run.err);
    let scene = || fs::read(folder.join("run/scene.glb")).unwrap();
    let good = scene();
    for name in ["-KILL", "-TERM"] {
        let mut child = start(folder, &job("run", 100_000_000), "run");
        if name == "-TERM" {
            // A polite end is as good as Ctrl-C.
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), Some(130));
        } else {
            signal(&child, name);
            child.wait().unwrap();
            assert!(scene() == good && folder.join("run/report.html").is_file());
        }
    }
    let run = Run::new(folder, &job("run", 6));
    assert_eq!((run.code, run.json()["iterations"].as_u64()), (0, Some(6)), "{}", run.err);
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    square(folder);
    let often = |out| [&job(out, STEPS)[..], &["--checkpoint-every".into(), "0.0001".into()]].concat();
    let whole = Run::new(folder, &often("whole"));
    assert_eq!(whole.code, 0, "{}", whole.err);
    assert!(!folder.join(".whole.checkpoint.safetensors").exists(), "a finished run leaves nothing beside it");
    let mut child = start(folder, &often("killed"), "killed");
    let begun = Instant::now();
    // The second one: some steps are done by then.
    let written = || fs::metadata(folder.join(".killed.checkpoint.safetensors")).and_then(|m| m.modified()).ok();
    let mut first = None;
    while (first.is_none() || written() == first) && begun.elapsed() < Duration::from_secs(60) {
        first = first.or_else(written);
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "-KILL");
    child.wait().unwrap();
    assert!(!folder.join("killed").exists() && folder.join(".killed.checkpoint.safetensors").exists());
    let resumed = Run::new(folder, &[&often("killed")[..], &["--resume".into()]].concat());
    assert_eq!((resumed.code, resumed.json()["iterations"].as_u64()), (0, Some(STEPS)), "{}", resumed.err);
    let scene = |run: &str| fs::read(folder.join(run).join("scene.glb")).unwrap();
    assert!(scene("killed") == scene("whole"), "the scenes differ");
    let first_step = resumed.json()["history"][0]["iteration"].as_u64().unwrap();
    assert!(first_step > 4, "it began anew, at step {first_step}");
}

#[test]
fn resuming_another_job_is_refused_and_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    square(folder);
    assert_eq!(Run::new(folder, &job("run", 3)).code, 0);
    let before = fs::read(folder.join("run/checkpoint.safetensors")).unwrap();
    let run = Run::new(folder, &[&job("run", 6)[..], &["--resume", "--loss", "l2"].map(String::from)].concat());
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(run.json()["error"]["message"].as_str().unwrap().contains("checkpoint"), "{}", run.err);
    fs::write(folder.join("run/checkpoint.safetensors"), &before[..before.len() / 2]).unwrap();
    let run = Run::new(folder, &[&job("run", 6)[..], &["--resume".into()]].concat());
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(run.json()["error"]["location"].as_str().unwrap().contains("checkpoint.safetensors"), "{}", run.err);
    assert_eq!(fs::read(folder.join("run/checkpoint.safetensors")).unwrap().len(), before.len() / 2);
}

#[test]
fn regression_a_job_without_steps_ends_at_the_first_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    square(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
    command.args(["render", "a.obj", "--camera", "orbit:1000", "--size", "64x64", "--device", "cpu"]);
    let child = command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    // Its first picture shows that it listens.
    while !folder.path().join("render/orbit_0000.png").exists() && !folder.path().join("render/orbit_000.png").exists()
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "no picture within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(fs::read_dir(folder.path().join("render")).unwrap().count() < 1000);
}
