//! Voxel grids as a user does it: train, render, mesh, resume, bad input.

mod common;

use common::{Run, facade, photographs, succeeded};
use serde_json::Value;
use std::fs;
use std::path::Path;

const SMALL: [&str; 13] = [
    "train",
    "voxels",
    "data",
    "--resolution",
    "40",
    "--batch",
    "1024",
    "--width",
    "16",
    "--samples-per-step",
    "32768",
    "--json",
    "--eval-every=1000",
];

fn train(folder: &Path, more: &[&str]) -> Value {
    succeeded(folder, &SMALL, more)
}

#[test]
fn photographs_become_grids_with_surfaces() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let cpu = ["--device", "cpu", "--iterations", "300", "--out"];
    let mut bytes = vec![];
    for method in ["dvgo", "sparse", "octree"] {
        let found = train(folder.path(), &[&cpu[..], &[method, "--method", method]].concat());
        let psnr = found["metrics"]["test_psnr"].as_f64().unwrap();
        assert!(psnr > 17.5, "{method}: {psnr} dB");
        bytes.push(found["metrics"]["model_bytes"].as_f64().unwrap());
        // The held-out views, rendered from the saved file, are those of the training.
        let cameras = format!("{method}/views/transforms_test.json");
        let run = Run::new(folder.path(), &["render", method, "--camera", &cameras, "--device", "cpu", "-o", "again"]);
        assert_eq!(run.code, 0, "{}", run.err);
        let run = Run::new(folder.path(), &["eval", "again", "--against", &format!("{method}/views"), "--json"]);
        assert!(run.json()["metrics"]["psnr"].as_f64().unwrap() > 45.0, "{}", run.out);
        let arguments = ["mesh", method, "--resolution", "32", "--device", "cpu", "-o", "surface.glb", "--json"];
        let run = Run::new(folder.path(), &arguments);
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(run.json()["metrics"]["watertight"].as_f64(), Some(1.0), "{}", run.out);
    }
    assert!(bytes[1] < 0.8 * bytes[0], "sparse and dense: {bytes:?} bytes");
    for (more, said) in [(["--scene-type", "unbounded"], "--method"), (["--degree", "4"], "--degree")] {
        let run = Run::new(folder.path(), &[&SMALL[..], &cpu[..], &["no", "--method", "octree"], &more].concat());
        assert!(matches!(run.code, 1 | 2) && run.err.contains(said), "{more:?}: {} {}", run.code, run.err);
    }
}

#[test]
fn binary_grids_become_meshes_that_look_as_they_do() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 12);
    let found =
        train(folder.path(), &["--device", "cpu", "--iterations", "1200", "--out", "run", "--method", "binary"]);
    let metric = |json: &Value, name: &str| json["metrics"][name].as_f64().unwrap_or(f64::NAN);
    let volume = metric(&found, "test_psnr");
    // 400 steps are too few for an activation that becomes so steep: 13 dB.
    assert!(volume > 17.5 && metric(&found, "binary_percent") > 90.0, "{found}");
    let mesh = |more: &[&str]| {
        let few = ["mesh", "run", "--resolution", "48", "--triangles", "6000", "--refit-steps", "300", "--json"];
        Run::new(folder.path(), &[&few[..], &["--device", "cpu"], more].concat())
    };
    for threads in ["1", "2"] {
        let to = format!("mesh{threads}.glb");
        let run = mesh(&["-o", &to, "--threads", threads, "--normal-map", "--close-holes", "16"]);
        assert_eq!(run.code, 0, "{}", run.err);
        let json = run.json();
        assert!(metric(&json, "n_triangles") <= 6000.0, "{json}");
        assert!(volume - metric(&json, "test_psnr") < 3.0, "{volume} dB of the volume: {json}");
    }
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("mesh1.glb") == bytes("mesh2.glb"), "one thread and two differ");
    let run = Run::new(folder.path(), &["render", "mesh1.glb", "--size", "32x32", "--device", "cpu", "-o", "pictures"]);
    assert_eq!(run.code, 0, "{}", run.err);
    // Where the photographs are gone that is said, and the colours are the grid's.
    fs::rename(folder.path().join("data"), folder.path().join("elsewhere")).unwrap();
    let run = mesh(&["-o", "gone.obj"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let json = run.json();
    assert!(json["warnings"][0].as_str().unwrap().contains("photographs"), "{json}");
    assert!(json["metrics"]["test_psnr"].is_null() && folder.path().join("gone.png").is_file(), "{json}");
    for (arguments, said) in [
        (vec!["-o", "no.glb", "--appearance", "refit"], "photographs"),
        (vec!["-o", "no.ply", "--appearance", "texture"], "--appearance"),
        (vec!["-o", "no.glb", "--appearance", "vertices", "--normal-map"], "--normal-map"),
        (vec!["-o", "no.glb", "--texture-size", "16"], "--texture-size"),
    ] {
        let run = mesh(&arguments);
        assert!(matches!(run.code, 1 | 2) && run.err.contains(said), "{arguments:?}: {} {}", run.code, run.err);
    }
}

#[test]
fn runs_are_the_same_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 5);
    let bytes = |run: &str| fs::read(folder.path().join(run).join("grid.safetensors")).unwrap();
    for method in ["dvgo", "sparse", "octree", "binary"] {
        let cpu = ["--device", "cpu", "--method", method, "--out"];
        train(folder.path(), &[&cpu[..], &["two", "--iterations", "40"]].concat());
        train(folder.path(), &[&cpu[..], &["one", "--iterations", "40", "--threads", "1"]].concat());
        assert!(bytes("two") == bytes("one"), "{method}: one thread and two differ");
    }
}

#[test]
#[cfg(unix)]
fn a_run_that_was_interrupted_ends_with_the_same_bytes() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 5);
    let bytes = |run: &str| fs::read(folder.path().join(run).join("grid.safetensors")).unwrap();
    for method in ["dvgo", "sparse", "octree", "binary"] {
        let job = ["--device", "cpu", "--method", method, "--iterations", "400", "--out"];
        train(folder.path(), &[&job[..], &["whole"]].concat());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        command.args([&SMALL[..], &job[..], &["stopped"]].concat()).current_dir(folder.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Long enough for the grid to have grown, short enough not to be done.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(output.status.code(), Some(130), "{json}");
        assert!(json["iterations"].as_u64().unwrap() < 400, "{json}");
        train(folder.path(), &[&job[..], &["stopped", "--resume"]].concat());
        assert!(bytes("whole") == bytes("stopped"), "{method}: the resumed run ended elsewhere");
    }
}

#[test]
fn variants_end_on_both_devices() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 4);
    let few = ["--iterations", "20", "--out", "run", "--device", "cpu"];
    let variants: [&[&str]; 2] = [
        &["--scene-type", "unbounded", "--distortion-weight", "0.01"],
        &["--tv-weight", "1e-4", "--background", "random"],
    ];
    for variant in variants {
        let loss = train(folder.path(), &[&few[..], variant].concat())["metrics"]["loss"].as_f64().unwrap();
        assert!(loss.is_finite(), "{variant:?}");
    }
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_some() {
        for method in ["dvgo", "sparse", "octree", "binary"] {
            let few = ["--iterations", "6", "--out", "run", "--device", "gpu:software", "--method", method];
            train(folder.path(), &few);
        }
    } else {
        eprintln!("skipped: train voxels on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
    }
}

#[test]
fn nothing_is_outside_of_silhouettes() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    // The globe's alpha becomes masks, and its photographs become opaque, on grey.
    let data = folder.path().join("data");
    fs::create_dir(data.join("masks")).unwrap();
    for file in pictures(&data) {
        let photograph = image::open(&file).unwrap().to_rgba8();
        let mask = image::GrayImage::from_fn(48, 48, |x, y| image::Luma([photograph[(x, y)].0[3]]));
        let on_grey = image::RgbImage::from_fn(48, 48, |x, y| {
            let [r, g, b, a] = photograph[(x, y)].0.map(f32::from);
            image::Rgb([r, g, b].map(|c| (c * a / 255.0 + 0.4 * (255.0 - a)) as u8))
        });
        mask.save(data.join("masks").join(file.file_name().unwrap())).unwrap();
        on_grey.save(&file).unwrap();
    }
    let job = ["--device", "cpu", "--iterations", "200", "--background", "white", "--out", "run"];
    train(folder.path(), &job);
    let picture = image::open(&pictures(&folder.path().join("run/views"))[0]).unwrap().to_rgb8();
    let corners = [(0, 0), (47, 0), (0, 47), (47, 47)].map(|place| picture[place].0.into_iter().min());
    assert!(corners.iter().all(|c| *c > Some(240)), "fog stands outside of the silhouette: {corners:?}");
}

/// Pictures in a folder.
fn pictures(folder: &Path) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    all.filter(|p| p.extension().is_some_and(|e| e == "png")).collect()
}

#[test]
fn forward_facing_scenes_reach_to_infinity() {
    let folder = tempfile::tempdir().unwrap();
    facade(folder.path(), 14);
    let psnr = |found: &Value| found["metrics"]["test_psnr"].as_f64().unwrap();
    let job = ["--device", "cpu", "--iterations", "120", "--near", "1", "--out"];
    let forward = psnr(&train(folder.path(), &[&job[..], &["run"]].concat()));
    let contracted = ["--scene-type", "unbounded", "--device", "cpu", "--iterations", "120", "--out", "contracted"];
    let contracted = psnr(&train(folder.path(), &contracted));
    assert!(forward > 20.0 && forward > contracted, "{forward} dB, of contracted space {contracted}");
    // The file tells where it lies: held-out views are those of the training.
    let cameras = "run/views/transforms_test.json";
    let run = Run::new(folder.path(), &["render", "run", "--camera", cameras, "--device", "cpu", "-o", "again"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = Run::new(folder.path(), &["eval", "again", "--against", "run/views", "--json"]);
    assert!(run.json()["metrics"]["psnr"].as_f64().unwrap() > 45.0, "{}", run.out);
    // Views of its own, and a surface.
    let run = Run::new(folder.path(), &["render", "run", "--camera", "orbit:2", "--size", "24x18", "-o", "own"]);
    assert_eq!((run.code, pictures(&folder.path().join("own")).len()), (0, 2), "{}", run.err);
    let mesh = |more: &[&str]| {
        let few = ["mesh", "run", "--resolution", "48", "--device", "cpu", "-o", "surface.ply", "--json"];
        Run::new(folder.path(), &[&few[..], more].concat())
    };
    let run = mesh(&[]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.json()["metrics"]["n_triangles"].as_f64() > Some(100.0), "{}", run.out);
    let prior = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/materials.safetensors");
    for (run, said) in [
        (mesh(&["--method", "tsdf"]), "tsdf"),
        (
            Run::new(
                folder.path(),
                &["edit", "voxels", "run", "--prior", prior, "--prompt", "lava", "--device", "cpu"],
            ),
            "forward-facing",
        ),
    ] {
        assert!(run.code != 0 && run.err.contains(said) && !run.err.contains("panicked"), "{}", run.err);
    }
}

#[test]
fn forward_facing_runs_resume_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    facade(folder.path(), 5);
    let bytes = |run: &str| fs::read(folder.path().join(run).join("grid.safetensors")).unwrap();
    let job = ["--device", "cpu", "--seed", "3", "--out"];
    train(folder.path(), &[&job[..], &["whole", "--iterations", "12", "--scene-type", "forward-facing"]].concat());
    train(folder.path(), &[&job[..], &["auto", "--iterations", "12", "--threads", "1"]].concat());
    assert!(bytes("whole") == bytes("auto"), "a rig that looks one way is forward-facing");
    train(folder.path(), &[&job[..], &["auto", "--iterations", "12", "--resume"]].concat());
    assert!(bytes("whole") == bytes("auto"), "a run that is resumed at its end ended elsewhere");
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_some() {
        train(folder.path(), &["--iterations", "2", "--out", "gpu", "--device", "gpu:software"]);
    } else {
        eprintln!("skipped: train voxels on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
    }
    for (more, said) in [
        (vec!["--near", "0"], "--near"),
        (vec!["--near", "1e-3"], "--near"),
        (vec!["--scene-type", "unbounded", "--near", "1"], "--near"),
        (vec!["--scene-type", "forwards"], "forward-facing"),
    ] {
        let run = Run::new(folder.path(), &[&SMALL[..], &more].concat());
        assert!(matches!(run.code, 1 | 2) && run.err.contains(said), "{more:?}: {} {}", run.code, run.err);
    }
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 3);
    for (arguments, said) in [
        (vec!["train", "voxels"], "DATA"),
        (vec!["train", "voxels", "nowhere"], "nowhere"),
        (vec!["train", "voxels", "data", "--extent", "0"], "--extent"),
        (vec!["train", "voxels", "data", "--resolution", "100000"], "--resolution"),
        (vec!["train", "voxels", "data", "--method", "cubes"], "octree"),
        (vec!["train", "voxels", "data", "--rays-per-pixel", "1000"], "--rays-per-pixel"),
    ] {
        let run = Run::new(folder.path(), &arguments);
        assert!(matches!(run.code, 1 | 2), "{arguments:?}: {}", run.code);
        assert!(run.err.contains(said), "{arguments:?}: {}", run.err);
    }
    // One picture, and black ones: the run ends, or says what is missing.
    let one = tempfile::tempdir().unwrap();
    photographs(one.path(), 1);
    let run = Run::new(one.path(), &[&SMALL[..], &["--iterations", "12", "--device", "cpu", "--out", "one"]].concat());
    assert!(!run.err.contains("panicked"), "{}", run.err);
}
