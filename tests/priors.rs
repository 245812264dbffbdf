//! Priors as a user does it: train, sample, describe, resume, bad input.

mod common;

use common::Run;
use lumigrad::scene::picture::{Picture, Transfer};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Pictures of stripes in a folder, each of other colours and directions.
fn stripes(folder: &Path, n: usize) {
    fs::create_dir_all(folder).unwrap();
    for k in 0..n {
        let (width, height) = (40, 32);
        let data = (0..width * height)
            .flat_map(|i| {
                let phase = (i % width * (k + 1) + i / width * (n - k)) as f32 * 0.15;
                let on = phase.sin() > 0.0;
                [0.2 * k as f32, 0.9, 0.5].map(|c| if on { c } else { 1.0 - c })
            })
            .map(|x: f32| x.clamp(0.0, 1.0))
            .collect();
        let picture = Picture { width, height, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false };
        picture.save_png(&folder.join(format!("{k}.png"))).unwrap();
    }
}

const SMALL: [&str; 15] = [
    "prior",
    "train",
    "data",
    "--patch",
    "8",
    "--width",
    "8",
    "--batch",
    "16",
    "--test-patches",
    "128",
    "--drawn",
    "8",
    "--steps=4",
    "--json",
];

fn run(folder: &Path, arguments: &[&str]) -> Value {
    let run = Run::new(folder, arguments);
    assert_eq!(run.code, 0, "{arguments:?}: {}{}", run.out, run.err);
    run.json()
}

/// The message of a call that is refused.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let run = Run::new(folder, &[arguments, &["--json"]].concat());
    assert!(matches!(run.code, 1 | 2) && !run.err.contains("panicked"), "{arguments:?}: {} {}", run.code, run.err);
    run.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn priors_are_trained_described_and_sampled() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data/a"), 3);
    stripes(&folder.path().join("data/b"), 3);
    for kind in ["iadb", "ncsn", "infinite"] {
        let job = ["--kind", kind, "--device", "cpu", "--iterations", "60", "--out", kind];
        let found = run(folder.path(), &[&SMALL[..], &job].concat());
        let metric = |name: &str| found["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} in {found}"));
        // Functions begin at one Gaussian of independent waves, which slanted stripes are not.
        let most = if kind == "infinite" { 1.5 } else { 1.3 };
        assert!(metric("loss_over_gaussian") < most && metric("frechet") > 0.0, "{found}");
        let page = fs::read_to_string(folder.path().join(kind).join("report.html")).unwrap();
        assert!(page.contains("Nearest neighbours") && page.contains("best Gaussian"));
        let told = run(folder.path(), &["prior", "info", kind, "--json"]);
        assert_eq!(told["metrics"]["loss_over_gaussian"], found["metrics"]["loss_over_gaussian"]);
        assert_eq!(told["prior"]["labels"], serde_json::json!(["a", "b"]));
        let sample = ["prior", "sample", kind, "--count", "3", "--steps", "4", "--tag", "b", "--device", "cpu"];
        run(folder.path(), &[&sample[..], &["--out", "drawn", "--json"]].concat());
        let drawn = Picture::load(&folder.path().join("drawn/002.png")).unwrap();
        assert_eq!((drawn.width, drawn.height, drawn.channels), (8, 8, 3));
    }
    // Functions have other resolutions too; their coarse grid has 4 cells along a side.
    let sample = ["prior", "sample", "infinite", "--count", "2", "--steps", "4", "--device", "cpu", "--size"];
    run(folder.path(), &[&sample[..], &["20x16", "--out", "larger", "--json"]].concat());
    let drawn = Picture::load(&folder.path().join("larger/001.png")).unwrap();
    assert_eq!((drawn.width, drawn.height), (20, 16));
    assert!(refused(folder.path(), &[&sample[..], &["18x16"]].concat()).contains("multiples of 4"));
    let told = run(folder.path(), &["prior", "info", "infinite", "--json"]);
    assert_eq!(
        (&told["prior"]["size"], &told["prior"]["other sizes"]),
        (&"8x8".into(), &"multiples of 4".into()),
        "{told}"
    );
    let error = refused(folder.path(), &["prior", "sample", "iadb", "--tag", "c", "--device", "cpu"]);
    assert!(error.contains("it knows a, b"), "{error}");
    let whole = fs::read(folder.path().join("iadb/unet.safetensors")).unwrap();
    fs::write(folder.path().join("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    let error = refused(folder.path(), &["prior", "info", "cut.safetensors"]);
    assert!(error.contains("cut.safetensors") && error.contains("prior train"), "{error}");
}

#[test]
fn a_resumed_training_ends_as_one_that_was_not_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    let job = ["--device", "cpu", "--iterations", "400", "--out"];
    let bytes = |out: &str| fs::read(folder.path().join(out).join("unet.safetensors")).unwrap();
    run(folder.path(), &[&SMALL[..], &job, &["whole"]].concat());
    run(folder.path(), &[&SMALL[..], &job, &["three", "--threads", "3"]].concat());
    assert!(bytes("whole") == bytes("three"), "three threads ended elsewhere");
    #[cfg(unix)]
    {
        use std::process::{Command, Stdio};
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        command.args([&SMALL[..], &job, &["stopped"]].concat()).current_dir(folder.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(600));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(output.status.code(), Some(130), "{json}");
        assert!(json["iterations"].as_u64().unwrap() < 400, "{json}");
        run(folder.path(), &[&SMALL[..], &job, &["stopped", "--resume"]].concat());
        assert!(bytes("whole") == bytes("stopped"), "the resumed run ended elsewhere");
    }
}

#[test]
fn priors_are_trained_on_a_gpu_too() {
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() {
        eprintln!("skipped: prior train on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    for (kind, steps) in [("iadb", "4"), ("infinite", "2")] {
        let few = ["--device", "gpu:software", "--kind", kind, "--iterations", steps, "--out", kind];
        assert!(run(folder.path(), &[&SMALL[..], &few].concat())["metrics"]["loss"].as_f64().unwrap().is_finite());
    }
}

#[test]
fn what_cannot_be_a_prior_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let train = |more: &[&str]| refused(at, &[&["prior", "train", "data", "--device", "cpu"], more].concat());
    assert!(train(&[]).contains("no such folder"));
    fs::create_dir(at.join("data")).unwrap();
    assert!(train(&[]).contains("no pictures"));
    stripes(&at.join("data"), 1);
    assert!(train(&[]).contains("one picture"));
    stripes(&at.join("data"), 3);
    assert!(train(&["--patch", "33"]).contains("too small"));
    assert!(train(&["--levels", "9"]).contains("at most"));
    assert!(train(&["--patch", "18", "--kind", "infinite"]).contains("coarse grid"));
    fs::create_dir(at.join("broken")).unwrap();
    fs::write(at.join("broken/unet.safetensors"), [0xff; 64]).unwrap();
    for (prior, reason) in
        [("nowhere", "no prior is there"), ("data", "is missing"), ("broken", "not a whole safetensors")]
    {
        for command in ["info", "sample"] {
            let error = refused(at, &["prior", command, prior]);
            assert!(error.contains(reason) && error.contains("prior train"), "{error}");
        }
    }
    fs::create_dir_all(at.join("latent/unet")).unwrap();
    let index = |text: &str| fs::write(at.join("latent/model_index.json"), text).unwrap();
    index("{}");
    assert!(refused(at, &["prior", "info", "latent"]).contains("a model of no pipeline"));
    index("{\"_class_name\": \"StableDiffusionPipeline\"}");
    let error = refused(at, &["prior", "sample", "latent"]);
    assert!(
        error.contains("unet/diffusion_pytorch_model.safetensors (about 3.4 GB") && error.contains("licence"),
        "{error}"
    );
}

/// The tiny model of random weights that diffusers wrote for the tests of the library.
fn latent() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guidance/tests/latent/sd1").display().to_string()
}

#[test]
fn latent_diffusion_models_are_told_sampled_and_distilled() {
    let (folder, model) = (tempfile::tempdir().unwrap(), latent());
    let about = run(folder.path(), &["prior", "info", &model, "--json"]);
    assert_eq!(
        (about["prior"]["size"].as_str(), about["prior"]["channels"].as_u64()),
        (Some("16x16"), Some(4)),
        "{about}"
    );
    let drawn = |out: &str, more: &[&str]| {
        let usual = ["prior", "sample", &model, "--steps", "4", "--device", "cpu", "--json", "--out", out];
        run(folder.path(), &[&usual[..], more].concat());
        let picture = Picture::load(&folder.path().join(out).join("000.png")).unwrap();
        ((picture.width, picture.height), picture.data)
    };
    let (size, any) = drawn("any", &["--count", "2"]);
    assert_eq!(size, (16, 16));
    let (_, chair) = drawn("chair", &["--count", "1", "--tag", "a red chair", "--guidance-scale", "7.5"]);
    assert!(any != chair);
    assert_eq!(drawn("wide", &["--count", "1", "--size", "24x16"]).0, (24, 16));
    assert!(refused(folder.path(), &["prior", "sample", &model, "--size", "18x15"]).contains("multiples of 4"));
    // Users' own low-rank files change it, more or less of them.
    let changes = Path::new(&model).with_file_name("lora").join("kohya.safetensors").display().to_string();
    let with = |scale: &str, out: &str| drawn(out, &["--count", "1", "--lora", &format!("{changes}{scale}")]).1;
    let one = drawn("one", &["--count", "1"]).1;
    assert!(with("", "whole") != one && with(":0.5", "half") != with("", "again") && with(":0", "none") == one);
    let other = ["prior", "sample", &model, "--lora", "nowhere.safetensors:2"];
    assert!(refused(folder.path(), &other).contains("nowhere.safetensors"));
    // Everything that distils reads such a folder.
    let few = ["--prior", &model, "--device", "cpu", "--json", "--iterations", "2"];
    for distillation in ["sds", "vsd", "gcs"] {
        let more = ["--subject", "a red chair", "--splats", "60", "--batch", "2", "--distillation", distillation];
        let create = [&["create", "splats", "-o", distillation][..], &few, &more, &["--scale", "7.5"]].concat();
        assert_eq!(run(folder.path(), &create)["metrics"]["not_finite"].as_f64(), Some(0.0));
    }
    stripes(&folder.path().join("data"), 1);
    let fit = ["fit", "image", "data/0.png", "--prompt", "a red chair", "--width", "16", "--out", "fit"];
    assert!(run(folder.path(), &[&fit[..], &few].concat())["metrics"]["psnr"].as_f64().unwrap() > 0.0);
    let sphere = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/sphere.glb").display().to_string();
    let edit = ["edit", "voxels", &sphere, "--edit-word", "red", "--object-word", "chair", "--prompt", "a red chair"];
    let small = ["--resolution", "12", "--size", "16x16", "--cameras", "4", "--views", "3", "--out", "edit"];
    run(folder.path(), &[&edit[..], &few, &small].concat());
    // Textures: of a mesh as one texture with shared attention, of a panorama view by view.
    for (method, more) in [("genesis", [&sphere[..], "--views", "3"]), ("sync", ["--panorama=64x32", "--views", "6"])] {
        let texture = ["texture", more[0], more[1], more[2], "--size", "16x16", "--method", method, "--out", method];
        let found =
            run(folder.path(), &[&texture[..], &few, &["--prompt", "a red chair", "--lora", &changes]].concat());
        assert!(found["metrics"]["seam_ratio"].as_f64().unwrap() > 0.0, "{found}");
    }
    let wrong = ["texture", &sphere, "--size", "18x15", "--prior", &model];
    assert!(refused(folder.path(), &wrong).contains("multiples of 4"));
}

#[test]
fn a_noisy_picture_is_cleaned_by_a_prior_of_such_pictures() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    run(folder.path(), &[&SMALL[..], &["--device", "cpu", "--iterations", "40", "--out", "prior"]].concat());
    let clean = Picture::load(&folder.path().join("data/1.png")).unwrap();
    let mut noisy = clean.clone();
    for (k, x) in noisy.data.iter_mut().enumerate() {
        *x = (*x + 0.2 * lumigrad::core::ops::random::normal(3, k as u64) as f32).clamp(0.0, 1.0);
    }
    noisy.save_png(&folder.path().join("noisy.png")).unwrap();
    let psnr = |weight: &str, out: &str| {
        let fit = ["fit", "image", "noisy.png", "--prior", "prior", "--device", "cpu", "--json", "--iterations", "300"];
        run(folder.path(), &[&fit[..], &["--guidance-weight", weight, "--out", out]].concat());
        let found = Picture::load(&folder.path().join(out).join("image.png")).unwrap();
        lumigrad::metrics::psnr(&found.data, &clean.data).unwrap()
    };
    let (alone, pulled) = (psnr("0", "alone"), psnr("5", "pulled"));
    assert!(pulled > alone + 2.0, "{alone} {pulled}");
}

#[test]
fn priors_pull_beside_pictures_that_are_matched() {
    let folder = tempfile::tempdir().unwrap();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let [sphere, prior] = ["sphere.glb", "materials.safetensors"].map(|f| assets.join(f).display().to_string());
    let colour = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    let small =
        ["optimize", &sphere, "--target", &sphere, "--views", "4", "--size", "32x32", "--param", colour, "--json"];
    let asked = ["--iterations", "60", "--device", "cpu", "--prior", &prior, "--prompt", "lava"];
    let base = |weight: &str| -> Vec<f64> {
        let out = format!("run{weight}");
        run(folder.path(), &[&small[..], &asked, &["--guidance-weight", weight, "--out", &out]].concat());
        let scene = lumigrad::scene::Scene::load(folder.path().join(out).join("scene.glb")).unwrap();
        scene.materials()[0].base_color_factor.map(f64::from).to_vec()
    };
    // White is what the pictures show; lava is red.
    let (plain, pulled) = (base("0"), base("1"));
    assert!(plain.iter().all(|c| *c > 0.99), "{plain:?}");
    assert!(pulled[2] < pulled[0] - 0.1, "{pulled:?}");
    let compares = [&small[..small.len() - 1], &["--prior", &prior, "--optimizer", "lm"]].concat();
    assert!(refused(folder.path(), &compares[..]).contains("compares losses"));
}
