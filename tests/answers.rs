//! What the program tells: tables, profiles, warnings, one JSON object.

mod common;

use common::Run;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn scenes(folder: &Path) {
    fs::write(folder.join("m.glb"), include_bytes!("fuzz/corpus/gltf/materials.glb")).unwrap();
    fs::write(folder.join("s.gltf"), include_bytes!("fuzz/corpus/gltf/skinned.gltf")).unwrap();
}

#[test]
fn parameters_are_listed_with_their_shapes() {
    let folder = tempfile::tempdir().unwrap();
    scenes(folder.path());
    let run = Run::new(folder.path(), &["optimize", "m.glb", "--list-params", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let json = run.json();
    let shape = |pointer: &str| {
        let rows = json["parameters"].as_array().unwrap();
        rows.iter().find(|p| p["pointer"] == pointer).unwrap_or_else(|| panic!("{pointer}"))["shape"].to_string()
    };
    assert_eq!(shape("/materials/0/pbrMetallicRoughness/baseColorTexture"), "[2,2,4]");
    assert_eq!(shape("/materials/0/pbrMetallicRoughness/baseColorFactor"), "[4]");
    assert_eq!(shape("/meshes/0/primitives/0/attributes/POSITION"), "[4,3]");
    assert_eq!(shape("/cameras/0/perspective/yfov"), "[1]");
    assert_eq!(shape("/extensions/KHR_lights_punctual/lights/0/intensity"), "[1]");
    assert_eq!(
        [shape("/views/*/pose"), shape("/views/*/intrinsics"), shape("/environment")],
        ["[6]", "[4]", "[32,64,3]"]
    );
    let text = Run::new(folder.path(), &["optimize", "m.glb", "--list-params"]).out;
    let row = text.lines().find(|l| l.contains("/attributes/POSITION")).unwrap();
    assert!(row.contains("[4, 3]") && text.lines().nth(1).unwrap().contains("pointer"), "{text}");
}

#[test]
fn what_is_not_rendered_is_reported_once_by_pointer() {
    let folder = tempfile::tempdir().unwrap();
    scenes(folder.path());
    for (scene, pointers) in [
        ("m.glb", &["/materials/0/extensions/KHR_materials_transmission"][..]),
        (
            "s.gltf",
            &["/extensionsUsed/0: EXT_unknown", "/meshes/0/primitives/1", "/meshes/0/primitives/2", "/animations"],
        ),
    ] {
        let run = Run::new(folder.path(), &["render", scene, "--size", "16x16", "--device", "cpu", "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
        let json = run.json();
        let warnings: Vec<&str> = json["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(warnings.len(), pointers.len(), "{warnings:?}");
        for pointer in pointers {
            assert_eq!(warnings.iter().filter(|w| w.contains(pointer)).count(), 1, "{pointer}: {warnings:?}");
        }
    }
}

#[test]
fn converting_there_and_back_changes_nothing_but_where_data_lie() {
    let folder = tempfile::tempdir().unwrap();
    scenes(folder.path());
    for arguments in [["s.gltf", "a.glb"], ["a.glb", "b.gltf"]] {
        let run = Run::new(folder.path(), &["convert", arguments[0], arguments[1], "--json"]);
        assert_eq!(run.code, 0, "{}", run.err);
    }
    let json = |file: &str| serde_json::from_slice::<Value>(&fs::read(folder.path().join(file)).unwrap()).unwrap();
    let (before, after) = (json("s.gltf"), json("b.gltf"));
    for part in
        ["nodes", "scenes", "meshes", "skins", "animations", "extras", "extensions", "extensionsUsed", "accessors"]
    {
        assert!(!before[part].is_null() && before[part] == after[part], "{part}: {}", after[part]);
    }
}

#[test]
fn every_command_answers_with_one_object_and_profiles_its_kernels() {
    let folder = tempfile::tempdir().unwrap();
    scenes(folder.path());
    let render = ["render", "m.glb", "--size", "16x16", "--device", "cpu", "-o", "p"];
    let optimize = ["optimize", "m.glb", "--target", "m.glb", "--views", "2", "--size", "16x16", "--device", "cpu"];
    let what = ["--iterations", "2", "--param", "/materials/0/pbrMetallicRoughness/roughnessFactor", "--out", "r"];
    let optimize = [&optimize[..], &what].concat();
    for (arguments, kernel) in [
        (&render[..], "raster/"),
        (&optimize, "raster/"),
        (&["landscape", "r", "--samples", "3", "--device", "cpu"], "raster/"),
        (&["eval", "p", "--against", "p"], "kernel"),
        (&["convert", "m.glb", "n.gltf"], "kernel"),
        (&["devices"], "kernel"),
    ] {
        let run = Run::new(folder.path(), &[arguments, &["--json", "--profile"]].concat());
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.err);
        assert_eq!(run.json()["command"], arguments[0]);
        assert!(run.json()["profile"].is_array(), "{}", run.out);
        assert!(run.err.contains("launches") && run.err.contains("MiB") && run.err.contains(kernel), "{}", run.err);
        let run = Run::new(folder.path(), &[arguments, &["--quiet"]].concat());
        assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""), "{arguments:?}");
    }
    let report = fs::read_to_string(folder.path().join("r/report.html")).unwrap();
    assert!(report.contains("roughnessFactor"));
}

#[test]
fn every_key_is_reached_by_set_and_the_nearest_is_suggested() {
    let folder = tempfile::tempdir().unwrap();
    let set =
        ["optimize", "--set", "iterations=7", "--set", "init./a=0.5", "--set", "param=[\"/a=0.1\"]", "--print-job"];
    let run = Run::new(folder.path(), &[&set[..], &["--set", "param.0.lr=0.2", "--set", "size=64x32"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    for line in ["iterations = 7", "\"/a\" = 0.5", "lr = 0.2", "size = \"64x32\""] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    for (arguments, near) in [
        (&["optimize", "--iteratons", "3"][..], "--iterations"),
        (&["optimize", "--stop_loss", "3"], "--stop-loss"),
        (&["render", "--enviroment", "1,1,1"], "--environment"),
        (&["optimise"], "optimize"),
        (&["render", "--device", "cup"], "cpu"),
        (&["render", "--aov", "depht"], "depth"),
        (&["optimize", "--set", "iteration=3"], "iterations"),
    ] {
        let run = Run::new(folder.path(), arguments);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{}", run.err);
        assert!(
            run.err.starts_with("error: ") && run.err.contains("did you mean") && run.err.contains(near),
            "{}",
            run.err
        );
    }
}

#[test]
fn bench_prints_a_finite_figure_and_refuses_unknown_groups() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path(), &["bench", "core", "--device", "cpu", "--json"]);
    assert_eq!(run.code, 0, "{}", run.err);
    let json = run.json();
    assert!(json["metrics"]["gemm_gflops"].as_f64().is_some_and(|x| x > 0.0), "{json}");
    assert!(json["spread"]["gemm_gflops"].as_f64().is_some_and(|x| x >= 0.0), "{json}");
    let run = Run::new(folder.path(), &["bench", "guidnce", "--device", "cpu"]);
    assert!(run.code == 2 && run.err.contains("did you mean \"guidance\""), "{}", run.err);
}
