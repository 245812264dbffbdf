//! Gaussian splatting as a user does it: train, render, convert.

mod common;

use common::{Run, photographs};
use std::fs;

/// A training job, and more arguments.
fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["train", "splats", "data", "--max-splats", "1500", "--iterations", "240", "--json"];
    all.extend(more);
    all
}

#[test]
fn photographs_become_splats_that_every_command_takes() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let run = Run::new(folder.path(), &train(&["--device", "cpu", "--out", "run"]));
    assert_eq!(run.code, 0, "{}", run.err);
    let trained = run.json();
    let psnr = trained["metrics"]["test_psnr"].as_f64().unwrap();
    assert!(psnr > 17.0, "{psnr} dB");
    for file in ["splats.ply", "report.html", "metrics.json", "job.toml", "views/transforms_test.json"] {
        assert!(folder.path().join("run").join(file).is_file(), "{file}");
    }

    // Any number of threads, and a run in two parts, end at the same bytes.
    let bytes = |run: &str| fs::read(folder.path().join(run).join("splats.ply")).unwrap();
    let one = Run::new(folder.path(), &train(&["--device", "cpu", "--threads", "1", "--out", "one"]));
    assert_eq!(one.code, 0, "{}", one.err);
    assert!(bytes("run") == bytes("one"), "one thread and two differ");

    // The held-out views, rendered from the saved file, score what training said.
    let cameras = "run/views/transforms_test.json";
    let run =
        Run::new(folder.path(), &["render", "run", "--camera", cameras, "--device", "cpu", "-o", "again", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let run = Run::new(folder.path(), &["eval", "again", "--against", "run/views", "--json"]);
    assert!(run.json()["metrics"]["psnr"].as_f64().unwrap() > 45.0, "{}", run.out);

    for file in ["a.compressed.ply", "a.splat", "a.spz", "a.sog", "a.glb", "b.ply"] {
        let run = Run::new(folder.path(), &["convert", "run/splats.ply", file, "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
        assert_eq!(run.json()["metrics"]["n_splats"], trained["metrics"]["n_splats"], "{file}");
    }
    // Their surface is fused from what views see of them.
    let fused = ["mesh", "run", "--method", "tsdf", "--resolution", "48", "--device", "cpu", "--json", "-o"];
    let run = Run::new(folder.path(), &[&fused[..], &["surface.glb"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(run.json()["metrics"]["watertight"].as_f64(), Some(1.0), "{}", run.out);
    let run =
        Run::new(folder.path(), &[&fused[..], &["textured.glb", "--appearance", "texture", "--largest"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let run = Run::new(folder.path(), &["mesh", "run", "-o", "none.glb"]);
    assert!(run.code == 2 && run.err.contains("tsdf"), "{} {}", run.code, run.err);
    let run = Run::new(folder.path(), &["convert", "run/splats.ply", "small.spz", "--max-size", "9000", "--json"]);
    assert!(fs::metadata(folder.path().join("small.spz")).unwrap().len() <= 9000, "{}", run.out);
    assert!(run.json()["metrics"]["psnr_loss"].as_f64().unwrap() > 15.0, "{}", run.out);
}

#[test]
fn rays_are_cast_in_training_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let rays = ["--renderer", "raycast", "--device", "cpu"];
    let run = |more: &[&str]| Run::new(folder.path(), &train(&[&rays, more].concat()));
    let whole = run(&["--out", "run"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    let psnr = whole.json()["metrics"]["test_psnr"].as_f64().unwrap();
    assert!(psnr > 17.0, "{psnr} dB");
    let one = run(&["--threads", "1", "--out", "one"]);
    assert_eq!(one.code, 0, "{}", one.err);
    let bytes = |run: &str| fs::read(folder.path().join(run).join("splats.ply")).unwrap();
    assert!(bytes("run") == bytes("one"), "one thread and two differ");
    // The held-out views, ray cast from the saved file, score what training said.
    let view = ["render", "run", "--renderer", "raycast", "--camera", "run/views/transforms_test.json", "--json"];
    let again = Run::new(folder.path(), &[&view[..], &["--aov", "depth,mask", "-o", "again"]].concat());
    assert_eq!(again.code, 0, "{}", again.err);
    let scored = Run::new(folder.path(), &["eval", "again", "--against", "run/views", "--json"]);
    assert!(scored.json()["metrics"]["psnr"].as_f64().unwrap() > 45.0, "{}", scored.out);
    // What is not cast is refused, with what to do.
    for (more, help) in [
        (&["--kernel", "surfel"][..], "classic"),
        (&["--strategy", "adc"], "mcmc"),
        (&["--kernel", "mip", "--smoothing"], "smoothing"),
    ] {
        let refused = run(more);
        assert!(refused.code == 2 && refused.err.contains(help), "{more:?}: {}", refused.err);
    }
    let refused = Run::new(folder.path(), &[&view[..], &["--aov", "normal"]].concat());
    assert!(refused.code == 2 && refused.err.contains("splat"), "{}", refused.err);
}

#[test]
fn variants_of_training_end() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let variants: &[&[&str]] = &[
        &["--robust", "dual"],
        &["--robust", "ema"],
        &["--kernel", "mip", "--strategy", "fixed", "--sh-degree", "0"],
        &["--optimizer", "adam+lm"],
        &["--preset", "quick", "--max-bytes", "30000"],
    ];
    for variant in variants {
        let mut arguments = vec!["train", "splats", "data", "--max-splats", "300", "--iterations", "20", "--json"];
        arguments.extend(["--device", "cpu", "--out", "run"].iter().chain(*variant));
        let run = Run::new(folder.path(), &arguments);
        assert_eq!(run.code, 0, "{variant:?}: {}", run.err);
        assert!(run.json()["metrics"]["test_psnr"].as_f64().unwrap() > 5.0, "{variant:?}: {}", run.out);
    }
    // The last one: as many as fit, and hardly fewer.
    let bytes = fs::metadata(folder.path().join("run/splats.ply")).unwrap().len();
    assert!((29_000..=30_000).contains(&bytes), "{bytes} bytes");
}

#[test]
fn a_prior_pulls_beside_photographs() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 6);
    let prior = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/materials.safetensors");
    let asked = ["--prior", prior, "--prompt", "lava", "--device", "cpu", "--sh-degree", "0", "--json"];
    let few = ["train", "splats", "data", "--max-splats", "300", "--iterations", "60"];
    let run = |more: &[&str]| Run::new(folder.path(), &[&few[..], &asked, more].concat());
    // How much more red than blue Gaussians are: lava is red, the globe is not.
    let red = |weight: &str| {
        let found = run(&["--guidance-weight", weight, "--out", weight]);
        assert_eq!(found.code, 0, "{}", found.err);
        let gaussians = lumigrad::splat::formats::read(&folder.path().join(weight).join("splats.ply")).unwrap();
        gaussians.sh.iter().map(|c| c[0] - c[2]).sum::<f32>() / gaussians.len() as f32
    };
    let (plain, pulled) = (red("0"), red("10"));
    assert!(pulled > plain + 0.05, "{plain} {pulled}");
    for more in [["--optimizer", "lm"], ["--robust", "ema"], ["--renderer", "raycast"]] {
        let refused = run(&more);
        assert!(refused.code == 2 && refused.out.contains("one model that is splatted"), "{more:?}: {}", refused.out);
    }
    let refused = Run::new(folder.path(), &[&few[..], &["--prompt", "lava"]].concat());
    assert!(refused.code == 2 && refused.err.contains("--prior"), "{}", refused.err);
}

#[test]
fn normal_maps_and_cameras_that_move_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    let view =
        ["render", globe, "--camera", "data/transforms.json", "--size", "48x48", "--aov", "normal", "-o", "data"];
    assert_eq!(Run::new(folder.path(), &view).code, 0);
    // Normals of the world, and a camera that slides to the right by a fiftieth while its picture is read out.
    let file = folder.path().join("data/transforms.json");
    let mut all: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    all["normal_space"] = "world".into();
    for (k, frame) in all["frames"].as_array_mut().unwrap().iter_mut().enumerate() {
        frame["normal_file_path"] = format!("view_{k}_normal.exr").into();
        if k == 3 {
            let mut end = frame["transform_matrix"].clone();
            end[0][3] = (end[0][3].as_f64().unwrap() + 0.02).into();
            frame["transform_matrix_end"] = end;
        }
    }
    fs::write(&file, all.to_string()).unwrap();
    let with = |more: &[&'static str]| {
        let mut arguments = vec!["train", "splats", "data", "--max-splats", "300", "--iterations", "20", "--json"];
        arguments.extend(["--device", "cpu", "--out", "run"].iter().chain(more));
        Run::new(folder.path(), &arguments)
    };
    for kernel in [["--kernel", "classic"], ["--kernel", "surfel"]] {
        let run = with(&kernel);
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(run.json()["metrics"]["test_psnr"].as_f64().unwrap() > 5.0, "{}", run.out);
    }
    let run = with(&["--renderer", "raycast"]);
    assert!(run.code == 2 && run.err.contains("--normal-map-weight 0"), "{} {}", run.code, run.err);
    let run = with(&["--renderer", "raycast", "--normal-map-weight", "0"]);
    assert!(run.code == 2 && run.err.contains("rolling shutters"), "{} {}", run.code, run.err);
}

#[test]
fn what_is_no_splat_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let header = "ply\nformat binary_little_endian 1.0\nelement vertex 1000000\nproperty float x\nproperty float scale_0\nend_header\n";
    let cases = [("truncated.ply", header.as_bytes(), "truncated"), ("empty.spz", b"".as_slice(), "damaged")];
    for (name, content, said) in cases {
        fs::write(folder.path().join(name), content).unwrap();
        let run = Run::new(folder.path(), &["render", name, "--size", "16x16", "--device", "cpu", "-o", "out"]);
        assert_eq!(run.code, 1, "{}", run.err);
        assert!(run.err.contains(name) && run.err.contains(said), "{}", run.err);
    }
    let run = Run::new(folder.path(), &["train", "splats", ".", "--device", "cpu"]);
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(run.err.contains("COLMAP") || run.err.contains("transforms.json"), "{}", run.err);
}
