//! Bad input: one clear error that names file and place, exit code 1 (2 for usage), nothing written over.

mod common;

use common::Run;
use std::fs;
use std::path::Path;

const TRIANGLE: &str = include_str!("fuzz/corpus/gltf/triangle.gltf");
const COLOUR: &str = "/materials/*/pbrMetallicRoughness/baseColorFactor";

/// Runs and expects a failure of this exit code whose error says all of `said`.
fn fails(folder: &Path, arguments: &[&str], code: i32, said: &[&str]) {
    let run = Run::new(folder, &[arguments, &["--json"]].concat());
    assert_eq!(run.code, code, "{arguments:?}: {}{}", run.out, run.err);
    assert!(!run.err.contains("panicked"), "{}", run.err);
    let error = &run.json()["error"];
    let text = format!("{} {} {}", error["message"], error["location"], error["help"]).replace("\\\"", "\"");
    said.iter().for_each(|s| assert!(text.contains(s), "{arguments:?} says {s:?}: {text}"));
}

fn render<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["render", model, "--camera", "orbit:1", "--size", "16x16", "--device", "cpu", "-o", "out"], more].concat()
}

fn optimize<'a>(scene: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let job = ["optimize", scene, "--device", "cpu", "--iterations", "1", "--out", "run", "--param", COLOUR];
    [&job[..], more].concat()
}

#[test]
fn broken_scenes_are_named_with_their_pointer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let glb = include_bytes!("fuzz/corpus/gltf/materials.glb");
    fs::write(folder.join("cut.glb"), &glb[..glb.len() / 3]).unwrap();
    let write = |name: &str, from: &str, to: &str| {
        assert!(TRIANGLE.contains(from), "{from}");
        fs::write(folder.join(name), TRIANGLE.replace(from, to)).unwrap();
    };
    write("cycle.gltf", "\"mesh\": 0", "\"mesh\": 0, \"children\": [0]");
    write("range.gltf", "\"POSITION\": 0", "\"POSITION\": 9");
    write("count.gltf", "\"count\": 3", "\"count\": 300");
    write("nobuffer.gltf", "\"uri\": \"data:", "\"uri\": \"nowhere.bin?");
    // The first float becomes 0x7fc00000.
    write("nan.gltf", "base64,AAAAAA", "base64,AADAfw");
    for (file, said) in [
        ("cut.glb", "cut.glb"),
        ("cycle.gltf", "cycle.gltf#/nodes/0"),
        ("range.gltf", "range.gltf#/meshes/0/primitives/0/attributes/POSITION"),
        ("count.gltf", "count.gltf#/accessors/0"),
        ("nobuffer.gltf", "nobuffer.gltf"),
        ("nan.gltf", "vertex 0"),
        ("nowhere.glb", "nowhere.glb"),
    ] {
        fails(folder, &render(file, &[]), 1, &[said]);
        fails(folder, &["convert", file, "kept.glb"], 1, &[said]);
    }
    assert!(!folder.join("out").exists() && !folder.join("kept.glb").exists(), "nothing is written");
}

#[test]
fn degenerate_but_legal_scenes_are_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("flat.obj"), "v 0 0 0\nv 1 0 0\nv 2 0 0\nv 0 1 0\nf 1 2 3\nf 1 1 2\nf 1 2 4\n").unwrap();
    fs::write(folder.join("point.obj"), "v 1 1 1\nf 1 1 1\n").unwrap();
    fs::write(folder.join("empty.gltf"), "{\"asset\":{\"version\":\"2.0\"}}").unwrap();
    let image = "\"images\": [{\"uri\": \"nowhere.png\"}], \"textures\": [{\"source\": 0}], \"materials\": \
                 [{\"pbrMetallicRoughness\": {\"baseColorTexture\": {\"index\": 0}}}], \"nodes\"";
    fs::write(folder.join("noimage.gltf"), TRIANGLE.replace("\"nodes\"", image)).unwrap();
    for file in ["flat.obj", "point.obj", "empty.gltf", "noimage.gltf"] {
        let run = Run::new(folder, &[&render(file, &[])[..], &["--json"]].concat());
        assert_eq!(run.code, 0, "{file}: {}", run.err);
        if file == "noimage.gltf" {
            assert!(run.json()["warnings"][0].as_str().unwrap().contains("/images/0"), "{}", run.out);
        }
        // No camera in the scene: one is found.
        assert_eq!(Run::new(folder, &["render", file, "--size", "16x16", "--device", "cpu", "-o", "out"]).code, 0);
    }
}

#[test]
fn places_that_cannot_be_read_or_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.gltf"), TRIANGLE).unwrap();
    fs::write(folder.join("file"), "mine").unwrap();
    fs::create_dir(folder.join("thesis")).unwrap();
    fs::write(folder.join("thesis/chapter.txt"), "mine").unwrap();
    fs::create_dir(folder.join("folder.glb")).unwrap();
    let target = ["--target", "a.gltf", "--views", "2", "--size", "8x8"];
    fails(folder, &["render", "a.gltf", "--size", "8x8", "--device", "cpu", "-o", "file"], 1, &["file", "folder"]);
    fails(folder, &render("folder.glb", &[]), 1, &["folder.glb"]);
    fails(folder, &["convert", "a.gltf", "folder.glb"], 1, &["folder.glb", "a folder of this name exists"]);
    fails(folder, &["convert", "a.gltf", "no/b.glb"], 1, &["no/b.glb", "does not exist", "make it first"]);
    fails(folder, &["convert", "a.gltf", "file"], 2, &["file", ".glb"]);
    for place in ["file", "thesis"] {
        let out = ["--out", place, "--param", "/nodes/*/translation"];
        fails(folder, &[&optimize("a.gltf", &target)[..6], &target, &out].concat(), 1, &[place, "--out"]);
    }
    fails(folder, &["run", "."], 1, &["directory"]);
    fails(folder, &render("a.gltf", &["--environment", "nosky.hdr"]), 1, &["nosky.hdr"]);
    fails(folder, &["render", "a.gltf", "--camera", "nocamera.json"], 1, &["nocamera.json"]);
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(folder.join("thesis/chapter.txt")).unwrap(), "mine");
}

#[test]
fn views_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.obj"), "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    let photographs = |name: &str, frames: &str| {
        fs::create_dir(folder.join(name)).unwrap();
        for (picture, size) in [("a", "8x8"), ("b", "16x8")] {
            let out = format!("{name}/{picture}");
            let run = Run::new(folder, &["render", "a.obj", "--size", size, "--device", "cpu", "-o", &out]);
            assert_eq!(run.code, 0, "{}", run.err);
        }
        if !frames.is_empty() {
            let json = format!("{{\"camera_angle_x\": 0.8, \"w\": 8, \"h\": 8, \"frames\": [{frames}]}}");
            fs::write(folder.join(name).join("transforms.json"), json).unwrap();
        }
    };
    let frame = |file: &str, matrix: &str| format!("{{\"file_path\": \"{file}\", \"transform_matrix\": {matrix}}}");
    let at = "[[1,0,0,0],[0,1,0,0],[0,0,1,3],[0,0,0,1]]";
    photographs("poseless", "");
    photographs("nomatrix", "{\"file_path\": \"a/orbit_000.png\"}");
    photographs("missing", &frame("nowhere.png", at));
    photographs("singular", &frame("a/orbit_000.png", "[[0,0,0,0],[0,0,0,0],[0,0,0,0],[0,0,0,1]]"));
    photographs("sizes", &[frame("a/orbit_000.png", at), frame("b/orbit_000.png", at)].join(","));
    for (views, said) in [
        ("poseless", "colmap"),
        ("nomatrix", "transforms.json"),
        ("missing", "nowhere.png"),
        ("singular", "transforms.json"),
        ("sizes", "orbit_000"),
        ("nowhere", "nowhere"),
    ] {
        fails(folder, &optimize("a.obj", &["--views", views]), 1, &[said]);
    }
    assert!(!folder.join("run").exists());
}

#[test]
fn what_needs_more_memory_than_there_is_is_refused_before_it_is_asked_for() {
    if lumigrad::run::available_memory_bytes().is_none_or(|free| free > 100 << 30) {
        println!("SKIPPED: free memory is unknown or above 100 GiB");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.obj"), "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    let huge = ["--size", "32768x32768"];
    fails(folder, &["render", "a.obj", "--device", "cpu", huge[0], huge[1]], 1, &["GiB", "a.obj", "--size"]);
    let many = ["--target", "a.obj", "--views", "100000", "--size", "4096x4096"];
    fails(folder, &optimize("a.obj", &many), 1, &["GiB", "a.obj", "--views"]);
    fails(folder, &["eval", "a.obj", "--against", "a.obj", "--samples", "100000000000"], 1, &["GiB", "--samples"]);
    fails(folder, &["render", "a.obj", "--threads", "100000000"], 2, &["--threads"]);
    // A small file that places a million vertices (which need no bytes in it) at a thousand nodes.
    let nodes = vec!["{\"mesh\": 0}"; 1000].join(",");
    let bomb = format!(
        "{{\"asset\": {{\"version\": \"2.0\"}}, \"nodes\": [{nodes}], \"meshes\": [{{\"primitives\": [{{\"attributes\": \
         {{\"POSITION\": 0}}}}]}}], \"accessors\": [{{\"componentType\": 5126, \"count\": 1000000, \"type\": \"VEC3\"}}]}}"
    );
    fs::write(folder.join("bomb.gltf"), bomb).unwrap();
    fails(folder, &render("bomb.gltf", &[]), 1, &["GiB", "bomb.gltf", "fewer nodes"]);
    fails(folder, &optimize("bomb.gltf", &["--target", "bomb.gltf", "--views", "1"]), 1, &["GiB", "bomb.gltf"]);
    fails(folder, &["convert", "bomb.gltf", "bomb.obj"], 1, &["GiB", "bomb.gltf"]);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "nothing is written");
}

#[test]
fn wrong_values_in_job_files_are_named_with_line_and_range() {
    let folder = tempfile::tempdir().unwrap();
    for (line, said) in [
        ("seconds = nan", "seconds: expected a number of at least 0, found nan"),
        ("seconds = inf", "found inf"),
        ("seconds = -1.5", "found -1.5"),
        ("stop_loss = -1", "stop_loss"),
        ("batch = 0", "at least 1"),
        ("seed = -1", "at least 0"),
        ("iterations = 1.5", "a whole number"),
        ("downscale = 0", "downscale"),
        ("size = [3, 4]", "256x256"),
        ("size = \"0x9\"", "1 to 32768"),
        ("loss = \"l3\"", "did you mean \"l"),
        ("scene = 5", "a path"),
        ("resume = 1", "true or false"),
        ("environment = [1, 2]", "three numbers"),
        ("init = { \"/a\" = nan }", "/a"),
        ("param = [{ pointr = \"/a\" }]", "did you mean \"pointer\"?"),
        ("param = [{ pointer = \"/a\", lr = -1 }]", "a rate above 0"),
        ("sede = 1", "did you mean \"seed\"?"),
        ("seed = 1\nseed = 2", "duplicate key"),
        ("seed = ", "job.toml:2"),
    ] {
        fs::write(folder.path().join("job.toml"), format!("command = \"optimize\"\n{line}\n")).unwrap();
        fails(folder.path(), &["run", "job.toml"], 2, &["job.toml:", said]);
    }
}
