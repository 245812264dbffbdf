//! `edit voxels` and `texture` as a user does it: the shipped prior, resumed runs, bad input.

mod common;

use common::Run;
use serde_json::Value;
use std::fs;
use std::path::Path;

const PRIOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/materials.safetensors");
const SPHERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/sphere.glb");
const GLOBE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");

const EDIT: [&str; 21] = [
    "edit",
    "voxels",
    SPHERE,
    "--prior",
    PRIOR,
    "--prompt",
    "lava",
    "--region",
    "-9,0,-9,9,9,9",
    "--resolution",
    "24",
    "--size",
    "48x48",
    "--pictures",
    "4",
    "--views",
    "4",
    "--cameras",
    "16",
    "--eval-every=1000",
    "--json",
];

const TEXTURE: [&str; 11] =
    ["texture", GLOBE, "--prior", PRIOR, "--size", "48x48", "--views", "6", "--iterations", "12", "--json"];

fn run(folder: &Path, job: &[&str], more: &[&str]) -> Value {
    let run = Run::new(folder, &[job, more].concat());
    assert_eq!(run.code, 0, "{more:?}: {}{}", run.out, run.err);
    run.json()
}

fn metric(found: &Value, name: &str) -> f64 {
    found["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name} in {found}"))
}

#[test]
fn a_grey_solid_takes_the_material_of_the_prior_where_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let cpu = ["--device", "cpu", "--iterations", "120", "--lr", "0.3", "--times", "0.2,0.8", "--out", "edit"];
    let found = run(folder.path(), &EDIT, &cpu);
    assert!(metric(&found, "outside_psnr") >= 35.0, "{found}");
    assert!(metric(&found, "outside_share") > 0.3, "{found}");
    assert!(metric(&found, "energy_after") < 0.3 * metric(&found, "energy_before"), "{found}");
    assert!(metric(&found, "recognised_after") > 0.8, "{found}");
    // The grid is one like those of training: it can be rendered and edited again.
    let view =
        ["render", "edit/grid.safetensors", "--camera", "orbit:1", "--size", "24x24", "--device", "cpu", "-o", "out"];
    let again = Run::new(folder.path(), &view);
    assert_eq!(again.code, 0, "{}", again.err);
    let mut job = EDIT.to_vec();
    job[2] = "edit";
    run(
        folder.path(),
        &job,
        &["--device", "cpu", "--iterations", "2", "--out", "more", "--refine", "--change", "colour"],
    );
}

#[test]
fn edits_and_textures_are_the_same_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    let jobs: [(&[&str], &[&str], &str); 2] =
        [(&EDIT, &["--iterations", "6"], "grid.safetensors"), (&TEXTURE, &["--no-comparison"], "scene.glb")];
    for (job, more, file) in jobs {
        let bytes = |name: &str, threads: &str| {
            run(folder.path(), job, &[more, &["--device", "cpu", "--threads", threads, "--out", name]].concat());
            fs::read(folder.path().join(name).join(file)).unwrap()
        };
        assert!(bytes("one", "1") == bytes("two", "2"), "{file}: one thread and two differ");
    }
}

#[test]
#[cfg(unix)]
fn edits_and_textures_that_were_interrupted_end_with_the_same_bytes() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let jobs: [(&[&str], &[&str], &str); 2] = [
        (&EDIT, &["--iterations", "60"], "grid.safetensors"),
        (&TEXTURE, &["--no-comparison", "--iterations", "60"], "scene.glb"),
    ];
    for (job, more, file) in jobs {
        let job: Vec<&str> = job.iter().copied().chain(["--device", "cpu"]).collect();
        // The last of two values of a flag would be refused: the job's own number of steps is left out.
        let job: Vec<&str> = match job.iter().position(|a| *a == "--iterations") {
            Some(k) => [&job[..k], &job[k + 2..]].concat(),
            None => job,
        };
        let whole = run(folder.path(), &job, &[more, &["--out", "whole"]].concat());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumigrad"));
        command.args([&job[..], more, &["--out", "part"]].concat()).current_dir(folder.path());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_secs_f64(0.5 * whole["seconds"].as_f64().unwrap()));
        // It may be done already on a machine that has become faster.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 130)), "{:?}", output.status);
        run(folder.path(), &job, &[more, &["--out", "part", "--resume"]].concat());
        let bytes = |name: &str| fs::read(folder.path().join(name).join(file)).unwrap();
        assert!(bytes("whole") == bytes("part"), "{file}: the resumed run ended elsewhere");
    }
}

#[test]
fn views_that_are_denoised_together_have_fewer_seams() {
    let folder = tempfile::tempdir().unwrap();
    let found = run(folder.path(), &TEXTURE, &["--device", "cpu", "--prompt", "hide", "--out", "globe"]);
    assert!(metric(&found, "seam_ratio") > 2.0, "{found}");
    let view = ["render", "globe", "--camera", "orbit:2", "--size", "24x24", "--device", "cpu", "-o", "out"];
    let rendered = Run::new(folder.path(), &view);
    assert_eq!(rendered.code, 0, "{}", rendered.err);
}

#[test]
fn a_texture_that_all_views_look_at_is_made_up_refined_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = TEXTURE.to_vec();
    (job[5], job[7], job[9]) = ("32x32", "4", "8");
    let job = [&job[..], &["--method", "genesis", "--device", "cpu"]].concat();
    let found = run(folder.path(), &job, &["--prompt", "hide", "--out", "globe"]);
    assert!(metric(&found, "seam_ratio") > 1.5, "{found}");
    assert_eq!(metric(&found, "recognised"), 1.0, "{found}");
    // Eight steps of the texture, eight of what no view saw, three of refinement.
    assert_eq!(found["iterations"].as_u64(), Some(19), "{found}");
    // A run that has ended is resumed to its own result.
    let scene = |out: &str| fs::read(folder.path().join(out).join("scene.glb")).unwrap();
    let whole = scene("globe");
    run(folder.path(), &job, &["--prompt", "hide", "--out", "globe", "--resume"]);
    assert!(whole == scene("globe"));
}

#[test]
fn splats_are_painted_so_that_views_agree() {
    let folder = tempfile::tempdir().unwrap();
    // A shell of opaque discs.
    let mut ply = "ply\nformat ascii 1.0\nelement vertex 600\n".to_string();
    let names = "x y z f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3";
    names.split(' ').for_each(|name| ply += &format!("property float {name}\n"));
    ply += "end_header\n";
    for k in 0..600 {
        let (y, angle) = (1.0 - (2 * k + 1) as f64 / 600.0, 2.399_963 * k as f64);
        let (r, (sin, cos)) = ((1.0 - y * y).sqrt(), angle.sin_cos());
        ply += &format!("{} {y} {} 0 0 0 4 -2.7 -2.7 -2.7 1 0 0 0\n", r * cos, r * sin);
    }
    fs::write(folder.path().join("ball.ply"), ply).unwrap();
    let mut job = TEXTURE.to_vec();
    (job[1], job[5], job[9]) = ("ball.ply", "32x32", "8");
    let found = run(folder.path(), &job, &["--device", "cpu", "--prompt", "hide", "--out", "painted"]);
    assert!(metric(&found, "disagreement_ratio") > 2.0, "{found}");
    let view = ["render", "painted", "--camera", "orbit:1", "--size", "24x24", "--device", "cpu", "-o", "out"];
    let rendered = Run::new(folder.path(), &view);
    assert_eq!(rendered.code, 0, "{}", rendered.err);
    for (more, said) in [(["--method", "genesis"], "no texels"), (["--texture-size", "64"], "--texture-size")] {
        let refused = Run::new(folder.path(), &[&job[..], &more].concat());
        assert!(refused.code == 2 && refused.err.contains(said), "{}", refused.err);
    }
}

#[test]
fn panoramas_are_painted_all_around() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = TEXTURE.to_vec();
    job.splice(1..2, ["--panorama", "64x32"]);
    let found = run(folder.path(), &job, &["--device", "cpu", "--prompt", "hide", "--out", "around"]);
    // At the poles texels are much narrower than pixels: some rows have gaps, which are filled.
    assert!(metric(&found, "covered_texels") > 0.75 * 64.0 * 32.0, "{found}");
    assert!(metric(&found, "seam_ratio") > 0.0, "{found}");
    assert!(folder.path().join("around/panorama.png").is_file());
}

#[test]
fn meshes_without_texture_coordinates_get_an_atlas() {
    let folder = tempfile::tempdir().unwrap();
    // An octahedron.
    let mut obj: String = "v 1 0 0\nv -1 0 0\nv 0 1 0\nv 0 -1 0\nv 0 0 1\nv 0 0 -1\n".into();
    for face in ["1 3 5", "3 2 5", "2 4 5", "4 1 5", "3 1 6", "2 3 6", "4 2 6", "1 4 6"] {
        obj += &format!("f {face}\n");
    }
    fs::write(folder.path().join("plain.obj"), obj).unwrap();
    let mut job = TEXTURE.to_vec();
    job[1] = "plain.obj";
    let found = run(folder.path(), &job, &["--device", "cpu", "--no-comparison", "--out", "painted"]);
    assert!(found["metrics"].get("seam_ratio").is_none());
    let info = Run::new(folder.path(), &["convert", "painted/scene.glb", "painted.obj"]);
    assert_eq!(info.code, 0, "{}", info.err);
    assert!(fs::read_to_string(folder.path().join("painted.obj")).unwrap().contains("vt "));
}

#[test]
fn both_end_on_a_gpu() {
    if std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() {
        eprintln!("skipped: edit voxels and texture on a GPU: LUMIGRAD_REQUIRE_GPU is not set");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gpu = ["--device", "gpu:software", "--out", "run"];
    run(folder.path(), &EDIT, &[&gpu[..], &["--iterations", "2"]].concat());
    let mut job = TEXTURE.to_vec();
    (job[5], job[9]) = ("24x24", "2");
    run(folder.path(), &job, &[&gpu[..], &["--no-comparison"]].concat());
    // As one texture, with its views of the prior's own size: six of them in the end.
    (job[5], job[7], job[9]) = ("8x8", "3", "1");
    run(folder.path(), &job, &[&gpu[..], &["--no-comparison", "--method", "genesis"]].concat());
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    fs::write(place("broken.safetensors"), b"\xff\xff\xff").unwrap();
    let whole = fs::read(PRIOR).unwrap();
    fs::write(place("cut.safetensors"), &whole[..whole.len() / 2]).unwrap();
    fs::write(place("empty.obj"), "v 0 0 0\n").unwrap();
    let edit = |more: &[&'static str]| -> Vec<String> {
        let mut job: Vec<String> = EDIT[..3].iter().map(|s| s.to_string()).collect();
        job.extend(["--resolution", "16", "--iterations", "1", "--device", "cpu"].map(String::from));
        job.extend(more.iter().map(|s| s.to_string()));
        job
    };
    let texture = |more: &[&'static str]| -> Vec<String> {
        let job = ["texture", "--iterations", "1", "--device", "cpu"];
        job.iter().chain(more).map(|s| s.to_string()).collect()
    };
    for (arguments, said) in [
        (edit(&[]), "--prior"),
        (edit(&["--prior", "nowhere"]), "nowhere"),
        (edit(&["--prior", "broken.safetensors"]), "broken.safetensors"),
        (edit(&["--prior", "cut.safetensors"]), "cut.safetensors"),
        (edit(&["--prior", PRIOR, "--prompt", "lawa"]), "lava"),
        (edit(&["--prior", PRIOR, "--region", "5,5,5,6,6,6"]), "--region"),
        (edit(&["--prior", PRIOR, "--region", "1,0,0,0,1,1"]), "--region"),
        (edit(&["--prior", PRIOR, "--size", "4x4"]), "--size"),
        (edit(&["--prior", PRIOR, "--times", "0.9,0.1"]), "--times"),
        (edit(&["--prior", PRIOR, "--mask", "empty.obj"]), "empty.obj"),
        (texture(&["--prior", PRIOR]), "SCENE"),
        (texture(&[GLOBE]), "--prior"),
        (texture(&[GLOBE, "--prior", PRIOR, "--until", "2"]), "--until"),
        (texture(&[GLOBE, "--prior", PRIOR, "--fade", "2"]), "--fade"),
        (texture(&[GLOBE, "--prior", PRIOR, "--method", "genesys"]), "genesis"),
        (texture(&[GLOBE, "--prior", PRIOR, "--together", "0.5"]), "share features"),
        (texture(&[GLOBE, "--prior", PRIOR, "--size", "6x6"]), "--size"),
        (texture(&[GLOBE, "--prior", PRIOR, "--stride", "99"]), "--stride"),
        (texture(&["empty.obj", "--prior", PRIOR]), ""),
        (texture(&["--panorama", "64x64", "--prior", PRIOR]), "--panorama"),
        (texture(&["--panorama", "64x32", "--prior", PRIOR, "--views", "4"]), "--views"),
        (texture(&[GLOBE, "--prior", PRIOR, "--texture-size", "1000000"]), "--texture-size"),
        (texture(&[GLOBE, "--prior", PRIOR, "--views", "1000000000"]), "--size"),
        (edit(&["--prior", PRIOR, "--cameras", "1000000000"]), "--cameras"),
        (edit(&["--prior", PRIOR, "--pictures", "1000000000"]), "--pictures"),
        (edit(&["--prior", PRIOR, "--edit-word", "hat"]), "--edit-word"),
        (edit(&["--prior", PRIOR, "--edit-word", "hat", "--object-word", "dog"]), "attention"),
    ] {
        let run = Run::new(folder.path(), &arguments);
        assert!(matches!(run.code, 1 | 2), "{arguments:?}: {}", run.code);
        assert!(run.err.contains(said) && !run.err.contains("panicked"), "{arguments:?}: {}", run.err);
    }
    let mut job = EDIT.to_vec();
    job[2] = "empty.obj";
    let empty = Run::new(folder.path(), &job);
    assert!(matches!(empty.code, 1 | 2) && !empty.err.contains("panicked"), "{}", empty.err);
}
