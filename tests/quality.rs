//! `bench quality` as a user runs it.

mod common;

use common::{Run, photographs};
use serde_json::Value;
use std::fs;

#[test]
fn methods_stand_beside_each_other_and_beside_papers() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 9);
    fs::rename(folder.path().join("data"), folder.path().join("nerf_synthetic_lego")).unwrap();
    let quality = ["bench", "quality", "nerf_synthetic_lego", "--device", "cpu", "--iterations", "4", "--out", "all"];
    let run = Run::new(folder.path(), &[&quality[..], &["--methods", "splats,sparse,field", "--json"]].concat());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let found = run.json();
    let rows = found["quality"].as_array().unwrap();
    let methods: Vec<&str> = rows.iter().map(|r| r["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["splats", "sparse", "field"]);
    for row in rows {
        assert!(row["test_psnr"].as_f64().unwrap() > 3.0 && row["model_bytes"].as_u64().unwrap() > 100, "{row}");
    }
    let stated = found["published"].as_array().unwrap();
    assert!(stated.iter().any(|p| p["method"] == "3DGS" && p["test_psnr"] == 35.78), "{stated:?}");
    let all = folder.path().join("all");
    let table = fs::read_to_string(all.join("quality.md")).unwrap();
    assert!(table.contains("| nerf_synthetic_lego | sparse |") && table.contains("| TensoRF | 36.46 |"), "{table}");
    let kept: Value = serde_json::from_slice(&fs::read(all.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(kept["quality"], found["quality"]);
    assert!(all.join("nerf_synthetic_lego/splats/splats.ply").is_file() && all.join("report.html").is_file());
}

#[test]
fn what_cannot_be_trained_is_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    photographs(folder.path(), 3);
    let few = ["--device", "cpu", "--iterations", "2", "--methods", "splats", "--out", "all"];
    let run = Run::new(folder.path(), &[&["bench", "quality", "nowhere", "data", "--json"], &few[..]].concat());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.json()["warnings"][0].as_str().unwrap().contains("nowhere"), "{}", run.out);
    for (arguments, said) in [
        (vec!["bench", "quality"], "DATA"),
        (vec!["bench", "quality", "nowhere"], "nowhere"),
        (vec!["bench", "quality", "data", "--methods", "plenoxels"], "plenoxels"),
    ] {
        let run = Run::new(folder.path(), &arguments);
        assert!(matches!(run.code, 1 | 2) && run.err.contains(said), "{arguments:?}: {} {}", run.code, run.err);
    }
}
