//! Radiance fields as a user does it: train, resume, few views, bad input.

mod common;

use common::{Run, facade, photographs, succeeded};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SMALL: [&str; 16] = [
    "train",
    "field",
    "data",
    "--log2-hashmap-size",
    "11",
    "--levels",
    "5",
    "--finest-resolution",
    "64",
    "--samples",
    "64",
    "--samples-per-step",
    "8192",
    "--eval-every",
    "1000",
    "--json",
];

fn train(folder: &Path, more: &[&str]) -> Value {
    succeeded(folder, &SMALL, more)
}

#[test]
fn photographs_become_a_field() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let cpu = ["--device", "cpu"];
    let found = train(folder.path(), &[&cpu[..], &["--iterations", "200", "--out", "a"]].concat());
    let psnr = found["metrics"]["test_psnr"].as_f64().unwrap();
    assert!(psnr > 17.5, "{psnr} dB");
    for file in ["field.safetensors", "report.html", "metrics.json", "job.toml", "views/transforms_test.json"] {
        assert!(folder.path().join("a").join(file).is_file(), "{file}");
    }
    // The held-out views, rendered from the saved file, are those of the training.
    let cameras = "a/views/transforms_test.json";
    let arguments =
        ["render", "a", "--camera", cameras, "--device", "cpu", "--aov", "depth,mask", "-o", "again", "--json"];
    let run = Run::new(folder.path(), &arguments);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = Run::new(folder.path(), &["eval", "again", "--against", "a/views", "--json"]);
    assert!(run.json()["metrics"]["psnr"].as_f64().unwrap() > 45.0, "{}", run.out);
    // Any number of threads gives the same bytes.
    let bytes = |run: &str| fs::read(folder.path().join(run).join("field.safetensors")).unwrap();
    let short = ["--device", "cpu", "--iterations", "40", "--out"];
    train(folder.path(), &[&short[..], &["two"]].concat());
    train(folder.path(), &[&short[..], &["one", "--threads", "1"]].concat());
    assert!(bytes("two") == bytes("one"), "one thread and two differ");
}

#[test]
fn a_side_of_something_becomes_a_forward_facing_field() {
    let folder = tempfile::tempdir().unwrap();
    facade(folder.path(), 9);
    let job = ["--device", "cpu", "--near", "1", "--iterations", "80", "--out", "run"];
    let psnr = train(folder.path(), &job)["metrics"]["test_psnr"].as_f64().unwrap();
    assert!(psnr > 14.0, "{psnr} dB");
    let few =
        ["--iterations", "4", "--device", "cpu", "--out", "few", "--anneal-range", "3", "--depth-smoothness", "0.1"];
    assert!(train(folder.path(), &few)["metrics"]["loss"].as_f64().unwrap().is_finite());
    let run = Run::new(folder.path(), &["render", "run", "--size", "24x18", "--device", "cpu", "-o", "own"]);
    assert_eq!(run.code, 0, "{}", run.err);
}

#[test]
fn variants_end_on_both_devices() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 4);
    let variants: [&[&str]; 4] = [
        &["--scene-type", "unbounded", "--distortion-weight", "0.01"],
        &["--encoding", "positional", "--width", "32", "--separate-colour", "--skips"],
        &["--depth-smoothness", "0.1", "--anneal-range", "4", "--background", "random"],
        &["--encoding", "dense", "--extent", "0.8"],
    ];
    for variant in variants {
        let few = ["--iterations", "18", "--device", "cpu", "--out", "run"];
        let loss = train(folder.path(), &[&few[..], variant].concat())["metrics"]["loss"].as_f64().unwrap();
        assert!(loss.is_finite(), "{variant:?}");
    }
    let few = ["--iterations", "3", "--out", "run", "--device", "gpu:software"];
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_some() {
        train(folder.path(), &few);
    } else {
        eprintln!("skipped: train field on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
    }
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 3);
    for (arguments, said) in [
        (vec!["train", "field"], "DATA"),
        (vec!["train", "field", "nowhere"], "nowhere"),
        (vec!["train", "field", "data", "--extent", "0"], "--extent"),
        (vec!["train", "field", "data", "--levels", "99"], "99 levels"),
        (vec!["train", "field", "data", "--background", "plaid"], "--background"),
    ] {
        let run = Run::new(folder.path(), &arguments);
        assert!(matches!(run.code, 1 | 2), "{arguments:?}: {}", run.code);
        assert!(run.err.contains(said), "{arguments:?}: {}", run.err);
    }
}
