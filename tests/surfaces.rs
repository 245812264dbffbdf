//! Shapes that are surfaces of fields on grids, optimised from pictures.

mod common;

use common::Run;
use std::fs;
use std::path::Path;

const SPHERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/sphere.glb");

/// A box that is no cube.
fn target(folder: &Path) {
    let corner = |k: usize| [0, 1, 2].map(|c| [0.5, 0.4, 0.3][c] * if k >> c & 1 == 1 { 1.0 } else { -1.0 });
    let mut text = String::new();
    (0..8).map(corner).for_each(|[x, y, z]| text += &format!("v {x} {y} {z}\n"));
    for q in [[1, 3, 4, 2], [5, 6, 8, 7], [1, 2, 6, 5], [3, 7, 8, 4], [1, 5, 7, 3], [2, 4, 8, 6]] {
        text += &format!("f {} {} {} {}\n", q[0], q[1], q[2], q[3]);
    }
    fs::write(folder.join("box.obj"), text).unwrap();
}

fn job<'a>(out: &'a str, iterations: &'a str, threads: &'a str) -> Vec<&'a str> {
    let job = ["optimize", SPHERE, "--target", "box.obj", "--views", "16", "--size", "64x64", "--device", "cpu"];
    let shape = ["--representation", "flexicubes", "--grid-resolution", "24", "--json"];
    [&job[..], &shape, &["--iterations", iterations, "--threads", threads, "--out", out]].concat()
}

fn done(folder: &Path, job: &[&str]) -> serde_json::Value {
    let run = Run::new(folder, job);
    assert_eq!(run.code, 0, "{}", run.err);
    run.json()
}

#[test]
fn a_sphere_becomes_a_box_and_the_same_one_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    target(folder);
    let start = done(folder, &job("start", "0", "2"));
    let end = done(folder, &job("a", "300", "2"));
    let metric = |json: &serde_json::Value, name: &str| json["metrics"][name].as_f64().unwrap();
    let [before, after] = [&start, &end].map(|json| metric(json, "chamfer_percent"));
    assert!(after < 0.25 * before, "chamfer {before} % before, {after} % after");
    assert!(metric(&end, "test_psnr") > metric(&end, "initial_test_psnr") + 10.0);
    done(folder, &job("b", "300", "1"));
    let scene = |run: &str| fs::read(folder.join(run).join("scene.glb")).unwrap();
    assert!(scene("a") == scene("b"), "the scenes differ");
}

#[test]
fn what_the_grid_cannot_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    target(folder);
    for (flags, said) in [
        (vec!["--set", "grid_resolution=5"], "16 to 256"),
        (vec!["--optimizer", "lm"], "--optimizer"),
        (vec!["--gradient", "stochastic"], "cannot be estimated"),
        (vec!["--param", "/meshes/*/primitives/*/attributes/POSITION"], "has no place"),
        (vec!["--topology"], "not in this version"),
    ] {
        let mut all: Vec<&str> = job("out", "1", "0");
        all.extend(flags);
        let run = Run::new(folder, &all);
        assert_eq!(run.code, 2, "{}", run.err);
        assert!(run.out.contains(said), "{said}: {}", run.out);
    }
}
