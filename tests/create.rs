//! Creation from priors as a user does it: the shipped prior, the same bits for any threads, bad input.

mod common;

use common::Run;
use lumigrad::guidance::analytic::{Component, Mixture, Pictures, Precision};
use lumigrad::scene::picture::Picture;
use std::fs;
use std::path::Path;

const PRIOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/guidance/shapes.safetensors");
const NORMALS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/guidance/normals.safetensors");
const JUDGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/guidance/judge.safetensors");

fn create(folder: &Path, more: &[&str]) -> Run {
    created(folder, "splats", more)
}

fn created(folder: &Path, what: &str, more: &[&str]) -> Run {
    // A flag is given once: what a test says stands in place of the usual.
    let usual = [["--prior", PRIOR], ["--device", "cpu"]].into_iter().filter(|[flag, _]| !more.contains(flag));
    let usual: Vec<&str> = usual.flatten().collect();
    Run::new(folder, &[&["create", what, "--json"][..], &usual, more].concat())
}

#[test]
fn noise_becomes_what_the_prior_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for subject in ["mug", "tree"] {
        let arguments =
            ["--judge", JUDGE, "--subject", subject, "--iterations", "150", "--splats", "600", "-o", subject];
        let run = create(folder.path(), &arguments);
        assert_eq!(run.code, 0, "{}", run.err);
        let metric = |name: &str| run.json()["metrics"][name].as_f64().unwrap();
        // Four classes: chance is a quarter.
        assert!(metric("recognised") >= 0.9 && metric("recognised_without") <= 0.35, "{subject}: {}", run.out);
        for file in ["splats.ply", "report.html", "metrics.json", "job.toml", "checkpoint.safetensors", "views"] {
            assert!(folder.path().join(subject).join(file).exists(), "{file}");
        }
    }
}

#[test]
fn a_creation_is_the_same_for_any_threads_and_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--subject", "chair", "--splats", "100", "--iterations", "6", "--distillation", "vsd"];
    for threads in ["1", "2"] {
        let run = create(folder.path(), &[&arguments[..], &["--threads", threads, "-o", threads]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
    }
    let file = |run: &str| fs::read(folder.path().join(run).join("splats.ply")).unwrap();
    assert!(file("1") == file("2"));
    // All steps are done: the student and the Gaussians are read back, and nothing changes.
    let run = create(folder.path(), &[&arguments[..], &["--threads", "2", "-o", "2", "--resume"]].concat());
    assert_eq!((run.code, run.json()["iterations"].as_u64()), (0, Some(6)), "{}", run.err);
    assert!(file("1") == file("2"));
}

#[test]
fn noise_becomes_a_mesh_with_a_texture() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--judge", JUDGE, "--subject", "mug", "--iterations", "200", "--splats", "600", "-o", "mug"];
    let sizes = ["--resolution", "24", "--fine-resolution", "32", "--texture-size", "128"];
    let more = [&sizes[..], &["--normal-prior", NORMALS]].concat();
    // Without polish the surface is bumpier.
    let rough = [&sizes[..], &["--polish", "1", "--subject", "mug", "--iterations", "200", "--splats", "600"]].concat();
    let run = created(folder.path(), "mesh", &[&rough[..], &["-o", "rough"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let bumpy = run.json()["metrics"]["fold_deg"].as_f64().unwrap();
    let run = created(folder.path(), "mesh", &[&arguments[..], &more].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let metric = |name: &str| run.json()["metrics"][name].as_f64().unwrap();
    assert!(metric("recognised") >= 0.9 && metric("recognised_without") <= 0.35, "{}", run.out);
    assert_eq!((metric("watertight"), metric("manifold")), (1.0, 1.0), "{}", run.out);
    assert!(metric("fold_deg") < 0.7 * bumpy, "{bumpy}: {}", run.out);
    let file = || fs::read(folder.path().join("mug/mesh.glb")).unwrap();
    let mesh = file();
    let scene = lumigrad::files::load_scene(&folder.path().join("mug/mesh.glb")).unwrap();
    assert!(scene.materials()[0].base_color_texture.is_some());
    // All steps are done: the Gaussians, their surface and what became of it are read back, and nothing changes.
    let run = created(folder.path(), "mesh", &[&arguments[..], &more, &["--resume"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(file() == mesh, "resuming changed the mesh");
    // Before there is a surface there are the Gaussians, and a word.
    let run = created(folder.path(), "mesh", &["--subject", "mug", "--seconds", "0.001", "-o", "early"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("there is no mesh yet") && folder.path().join("early/splats.ply").exists(), "{}", run.out);
}

#[test]
fn a_creation_looks_like_a_picture_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let usual = ["--subject", "mug", "--splats", "600"];
    let run = create(folder.path(), &[&usual[..], &["--iterations", "150", "-o", "first"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    // The first one, its colours turned round: no mug that the prior would make.
    let mut turned = Picture::load(&folder.path().join("first/views/view_006.png")).unwrap();
    turned.data.chunks_exact_mut(3).for_each(|pixel| pixel.rotate_left(1));
    turned.save_png(&folder.path().join("turned.png")).unwrap();
    let picture = ["--image", "turned.png", "--image-elevation", "20", "--seed", "5", "--judge", JUDGE];
    let psnr = |weight: &str, what: &str, out: &str| {
        let more = ["--image-weight", weight, "--device", "cpu", "-o", out];
        let own = match what {
            "mesh" => &["--iterations", "300", "--coarse", "0.3", "--resolution", "24"][..],
            _ => &["--iterations", "150"],
        };
        let more = [&more[..], own].concat();
        let run = created(folder.path(), what, &[&usual[..], &picture, &more].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let metric = |name: &str| run.json()["metrics"][name].as_f64().unwrap();
        assert!(weight == "0" || metric("recognised") >= 0.9, "{}", run.out);
        metric("image_psnr")
    };
    let alone = psnr("0", "splats", "alone");
    let pulled = [("splats", "cloud"), ("mesh", "surface")].map(|(what, out)| psnr("10", what, out));
    assert!(pulled.iter().all(|found| *found > alone + 5.0), "{alone} {pulled:?}");
    let refused = |arguments: &[&str], expected: &str| {
        let run = create(folder.path(), &[&usual[..], arguments, &["-o", "out"]].concat());
        assert!(run.code == 1 || run.code == 2, "{}", run.out);
        assert!(run.err.contains(expected) || run.out.contains(expected), "{arguments:?}: {}{}", run.out, run.err);
        assert!(!folder.path().join("out").exists());
    };
    refused(&["--image", "nowhere.png"], "nowhere.png");
    refused(&["--image", PRIOR], "shapes.safetensors");
    refused(&["--image", "turned.png", "--image-elevation", "90"], "--image-elevation");
}

/// The shipped prior with some of its components changed.
fn changed(to: &Path, change: impl Fn(&mut Component)) -> String {
    let whole = Mixture::from_bytes("shapes", &fs::read(PRIOR).unwrap()).unwrap();
    let mut components = whole.components().to_vec();
    components.iter_mut().for_each(change);
    let labels = ["chair", "mug", "tree"].map(String::from).to_vec();
    let about = Pictures { labels, concentration: whole.concentration(), ..Pictures::new("changed", [24, 24], 3) };
    fs::write(to, Mixture::new(about, components).unwrap().to_bytes(Precision::Half).unwrap()).unwrap();
    to.to_str().unwrap().to_owned()
}

#[test]
fn a_prior_of_views_knows_what_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    // One knows what a chair is and nothing of views, the other how anything that it knows looks from where.
    let subjects = changed(&folder.path().join("subjects.safetensors"), |c| c.view = None);
    let views = changed(&folder.path().join("views.safetensors"), |c| c.label = None);
    let whole = Mixture::from_bytes("shapes", &fs::read(PRIOR).unwrap()).unwrap();
    let chairs: Vec<&Component> = whole.components().iter().filter(|c| c.label == Some(0)).collect();
    let facing = |from: f64| {
        let turn = |c: &&&Component| (c.view.unwrap().azimuth - from).cos();
        chairs.iter().max_by(|a, b| turn(a).total_cmp(&turn(b))).unwrap()
    };
    // A chair of the prior from the front.
    let pixels = facing(0.0).mean.iter().map(|x| (0.5 + 0.5 * x) as f32).collect();
    let front = Picture {
        width: 24,
        height: 24,
        channels: 3,
        data: pixels,
        transfer: lumigrad::scene::picture::Transfer::Srgb,
        premultiplied: false,
    };
    front.save_png(&folder.path().join("front.png")).unwrap();
    let usual = ["--subject", "chair", "--splats", "600", "--iterations", "150", "--image", "front.png"];
    let usual = [&usual[..], &["--image-elevation", "20", "--prior", &subjects]].concat();
    let back = |more: &[&str], out: &str| {
        let run = create(folder.path(), &[&usual[..], more, &["-o", out]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let seen = Picture::load(&folder.path().join(out).join("views/view_174.png")).unwrap();
        let wanted: Vec<f32> = facing(std::f64::consts::PI).mean.iter().map(|x| (0.5 + 0.5 * x) as f32).collect();
        lumigrad::metrics::psnr(&seen.data, &wanted).unwrap()
    };
    let (alone, both) = (back(&[], "alone"), back(&["--view-prior", &views, "--view-subject", ""], "both"));
    assert!(both > alone + 2.0, "{alone} {both}");
    for (more, expected) in [
        (["--view-prior", subjects.as_str()], "knows of no views"),
        (["--view-prior", "nowhere"], "no prior is there"),
        (["--view-prior", JUDGE], "no prior of lumigrad"),
        (
            ["--view-prior", concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/materials.safetensors")],
            "knows no \"chair\"",
        ),
        (["--view-subject", "mug"], "there is none"),
        (["--image-elevation", "95"], "--image-elevation"),
    ] {
        let own = if more[0] == "--image-elevation" { &[] } else { &["--image-elevation", "20"][..] };
        let run = create(folder.path(), &[&["--subject", "chair", "--image", "front.png"], own, &more].concat());
        assert!(run.code == 1 || run.code == 2, "{more:?}: {}", run.out);
        assert!(run.err.contains(expected) || run.out.contains(expected), "{more:?}: {}{}", run.out, run.err);
    }
    let wrong = ["--view-prior", &views, "--view-subject", "", "--view-lower", "200,1"];
    let run = create(folder.path(), &[&usual[..], &wrong].concat());
    assert!(run.code == 2 && run.err.contains("lower"), "{}", run.err);
    let materials = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/materials.safetensors");
    let run = create(folder.path(), &[&usual[..], &["--view-prior", materials, "--view-subject", ""]].concat());
    assert!(run.code == 1 && run.err.contains("knows of no views"), "{}", run.err);
    let sizes = ["--prior", materials, "--subject", "lava", "--view-prior", PRIOR, "--view-subject", "mug"];
    let run = create(folder.path(), &sizes);
    assert!(run.code == 2 && run.err.contains("pictures of 24x24, not of 8x8"), "{}", run.err);
    let wrong = ["--view-prior", &views, "--view-subject", "dog"];
    let run = create(folder.path(), &[&usual[..], &wrong].concat());
    assert!(run.code == 1 && run.err.contains("knows no \"dog\""), "{}", run.err);
}

#[test]
fn every_way_to_distil_runs() {
    let folder = tempfile::tempdir().unwrap();
    let few = ["--subject", "tree", "--splats", "60", "--iterations", "2", "--batch", "2", "-o", "run"];
    for more in [
        &["--distillation", "gcs", "--scale", "7.5"][..],
        &["--distillation", "dsd", "--scale", "3", "--divergence", "jensen-shannon"],
        &["--scale", "20", "--tangential", "--negative", "chair", "--clip", "5", "--weighting", "one"],
        &["--device", "gpu:software"],
        &["--device", "gpu:software", "--view-prior", PRIOR, "--distillation", "vsd"],
    ] {
        let run = create(folder.path(), &[&few[..], more].concat());
        let no_adapter = more.contains(&"gpu:software") && run.err.contains("no device");
        assert!(run.code == 0 || no_adapter, "{more:?}: {}", run.err);
    }
}

#[test]
fn what_cannot_be_created_is_said_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let whole = fs::read(PRIOR).unwrap();
    fs::write(place("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place("noise.safetensors"), [0xff; 64]).unwrap();
    fs::create_dir(place("empty")).unwrap();
    for (arguments, expected) in [
        (vec!["--subject", "chiar"], "did you mean \"chair\""),
        (vec!["--prior", "nowhere"], "no prior is there"),
        (vec!["--prior", "empty"], "no prior is there"),
        (vec!["--prior", "cut.safetensors"], "not a whole safetensors file"),
        (vec!["--prior", "noise.safetensors"], "not a whole safetensors file"),
        (vec!["--prior", JUDGE], "no prior of lumigrad"),
        (vec!["--subject", "chair", "--judge", PRIOR], "no judge"),
        (vec!["--subject", "chair,mug", "--judge", JUDGE], "it knows chair, mug, tree"),
        (vec!["--times", "0.9,0.1"], "0 < least"),
        (vec!["--elevation", "40,10"], "no range"),
        (vec!["--splats", "1000000000000"], "fewer Gaussians"),
        (vec!["--batch", "1000000000000"], "fewer Gaussians"),
        (vec!["--divergence", "forward-kl"], "vsd or dsd"),
        (vec!["--negative", "a dog"], "knows no \"a dog\""),
    ] {
        let run = create(folder.path(), &[&arguments[..], &["-o", "out"]].concat());
        assert!(run.code == 1 || run.code == 2, "{arguments:?}: {} {}", run.code, run.err);
        assert!(run.err.contains(expected) || run.out.contains(expected), "{arguments:?}: {}{}", run.out, run.err);
        assert!(!folder.path().join("out").exists(), "{arguments:?}");
    }
    for (arguments, expected) in [
        (["--coarse", "1.5"], "no part of the steps"),
        (["--resolution", "1000000"], "a coarser grid"),
        (["--fine-resolution", "1000000"], "a coarser grid"),
        (["--polish", "0.2"], "after --coarse 0.5"),
        (["--normal-prior", "nowhere"], "no prior is there"),
        (["--splats", "1000000000000"], "fewer Gaussians"),
    ] {
        let run = created(folder.path(), "mesh", &[&["--subject", "mug", "-o", "out"][..], &arguments].concat());
        assert!(run.code == 1 || run.code == 2, "{arguments:?}: {} {}", run.code, run.err);
        assert!(run.err.contains(expected) || run.out.contains(expected), "{arguments:?}: {}{}", run.out, run.err);
    }
}
