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

/// A surface as OBJ: rings of points that close both ways, one after the other.
fn closed(text: &mut String, before: &mut usize, rings: usize, points: usize, at: impl Fn(f64, f64) -> [f64; 3]) {
    let turn = |k: usize, n: usize| k as f64 / n as f64 * std::f64::consts::TAU;
    for k in 0..rings * points {
        let [x, y, z] = at(turn(k / points, rings), turn(k % points, points));
        *text += &format!("v {x} {y} {z}\n");
    }
    for k in 0..rings * points {
        let (i, j) = (k / points, k % points);
        let corner = |i: usize, j: usize| *before + i % rings * points + j % points + 1;
        let [a, b, c, d] = [corner(i, j), corner(i, j + 1), corner(i + 1, j), corner(i + 1, j + 1)];
        *text += &format!("f {a} {b} {c}\nf {c} {b} {d}\n");
    }
    *before += rings * points;
}

fn tori(parts: &[([f64; 2], f64)]) -> String {
    let (mut text, mut before) = (String::new(), 0);
    for ([large, small], x) in parts {
        let at = |a: f64, b: f64| {
            let away = large + small * b.cos();
            [away * a.cos() + x, small * b.sin(), away * a.sin()]
        };
        closed(&mut text, &mut before, 96, 48, at);
    }
    text
}

/// Two spheres, as tori whose holes have closed: half of the tube's turn and half of a ring would do.
fn spheres() -> String {
    let (mut text, mut before) = (String::new(), 0);
    for x in [-0.6, 0.6] {
        let at = |a: f64, b: f64| {
            let polar = 0.5 * b;
            [0.4 * polar.sin() * a.cos() + x, -0.4 * polar.cos(), 0.4 * polar.sin() * a.sin()]
        };
        closed(&mut text, &mut before, 64, 64, at);
    }
    text
}

#[test]
fn holes_and_islands_are_made_where_the_topological_derivative_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // What it is, its genus and its parts.
    let cases = [
        ("torus", tori(&[([0.7, 0.25], 0.0)]), (1, 1)),
        ("two", spheres(), (0, 2)),
        ("eight", tori(&[([0.5, 0.18], -0.6), ([0.5, 0.18], 0.6)]), (2, 1)),
    ];
    for (name, text, expected) in cases {
        let target = format!("{name}.obj");
        fs::write(folder.join(&target), text).unwrap();
        let found = [true, false].map(|with| {
            let job = ["optimize", SPHERE, "--target", &target, "--views", "12", "--size", "64x64", "--device", "cpu"];
            let shape = ["--representation", "flexicubes", "--grid-resolution", "48", "--iterations", "150"];
            let flags: &[&str] = if with { &["--topology"] } else { &[] };
            let json = done(folder, &[&job[..], &shape, flags, &["--json", "--out", name]].concat());
            let metric = |name: &str| json["metrics"][name].as_f64();
            let parts = metric("n_components").unwrap() as usize;
            println!(
                "{name}: with {with}: {} dB, {} %",
                metric("test_psnr").unwrap(),
                metric("chamfer_percent").unwrap()
            );
            (metric("genus").map(|g| g as usize), parts)
        });
        assert_eq!(found[0], (Some(expected.0), expected.1), "{name}");
        assert_ne!(found[1], (Some(expected.0), expected.1), "{name} without the derivative");
    }
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
    ] {
        let mut all: Vec<&str> = job("out", "1", "0");
        all.extend(flags);
        let run = Run::new(folder, &all);
        assert_eq!(run.code, 2, "{}", run.err);
        assert!(run.out.contains(said), "{said}: {}", run.out);
    }
    let mesh = ["optimize", SPHERE, "--target", "box.obj", "--views", "4", "--topology", "--device", "cpu"];
    let run = Run::new(folder, &mesh);
    assert!(run.code == 2 && run.err.contains("--representation flexicubes"), "{}", run.err);
}
