//! Broken, odd and hostile files: a clear error or a scene, never a panic.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::{Material, MeshData, Scene};
use std::path::Path;

/// Loads, poses, saves and loads again; the error is a message.
fn exercise(load: impl FnOnce() -> lumigrad_scene::Result<Scene>) -> Result<(), String> {
    let scene = load().map_err(|e| e.to_string())?;
    scene.instances().iter().for_each(|i| drop(scene.world_geometry(i)));
    for p in scene.parameters() {
        scene.get(&p.pointer).map_err(|e| format!("listed, but cannot be read: {e}"))?;
    }
    let glb = scene.to_glb().map_err(|e| e.to_string())?;
    let again = Scene::from_bytes(&glb, "again").unwrap_or_else(|e| panic!("what was saved does not load: {e}"));
    assert_eq!(again.instances().len(), scene.instances().len());
    Ok(())
}

/// The golden report finds no error, and the file requires no extension.
fn must_load(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("{}.report.json", path.display())) else { return false };
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let required = std::fs::read(path).unwrap().windows(18).any(|w| w == b"extensionsRequired");
    report["issues"]["numErrors"] == 0 && !required
}

#[test]
fn malformed_files_end_cleanly_and_valid_ones_load() {
    let Some(data) = common::data() else { return };
    let files = common::gltf_files(&data.join("gltf_malformed"));
    let (mut loaded, mut n_valid, mut refused) = (0, 0, Vec::new());
    for path in &files {
        let (valid, outcome) = (must_load(path), exercise(|| Scene::load(path)));
        n_valid += usize::from(valid);
        match outcome {
            Ok(()) => loaded += 1,
            Err(message) => {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(message.contains(name), "the file is named: {message}");
                if valid {
                    refused.push(message);
                }
            }
        }
    }
    println!("{loaded} of {} files load; {n_valid} must", files.len());
    assert!(n_valid >= 60 && refused.is_empty(), "{refused:#?}");
}

/// A GLB that uses much of the format.
fn specimen() -> Vec<u8> {
    let quad = MeshData {
        positions: vec![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        normals: Some(vec![[0.0, 0.0, 1.0]; 4]),
        texcoords: Some(vec![[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        colors: Some(vec![[0.5, 0.25, 1.0, 1.0]; 4]),
    };
    let mut scene = Scene::from_mesh("quad", &quad, &Material::default(), None).unwrap();
    scene.create_texture("/materials/0/normalTexture", 4, 4, &[0.5; 64]).unwrap();
    scene.create_texture("/materials/0/pbrMetallicRoughness/baseColorTexture", 2, 2, &[0.5; 16]).unwrap();
    scene.set("/materials/0/extensions/KHR_materials_clearcoat/clearcoatFactor", &[0.5]).unwrap();
    scene.to_glb().unwrap()
}

#[test]
fn truncated_files_end_cleanly() {
    let glb = specimen();
    assert!(exercise(|| Scene::from_bytes(&glb, "whole")).is_ok());
    for length in (0..glb.len()).step_by(7) {
        let _ = exercise(|| Scene::from_bytes(&glb[..length], "cut"));
        // The same with an honest header.
        let mut cut = glb[..length].to_vec();
        if let Some(header) = cut.get_mut(8..12) {
            header.copy_from_slice(&(length as u32).to_le_bytes());
        }
        assert!(exercise(|| Scene::from_bytes(&cut, "cut")).is_err(), "{length} bytes");
    }
}

/// A counter-based generator (SplitMix64).
fn random(counter: u64) -> u64 {
    let mut x = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[test]
fn flipped_bytes_end_cleanly() {
    let glb = specimen();
    for round in 0..3000 {
        let mut bytes = glb.clone();
        for flip in 0..1 + random(round) % 4 {
            let r = random(1_000_000 + round * 8 + flip);
            let at = (r >> 16) as usize % bytes.len();
            bytes[at] = if r & 1 == 0 { r as u8 } else { bytes[at] ^ (1 << (r >> 8 & 7)) };
        }
        let _ = exercise(|| Scene::from_bytes(&bytes, "flipped"));
    }
}

/// Skins, morph targets, sparse accessors, cameras and lights: what the specimen lacks.
#[test]
fn changed_digits_of_real_files_end_cleanly() {
    let Some(data) = common::data() else { return };
    let files = common::gltf_files(&data.join("gltf"));
    let small = files.iter().filter(|f| std::fs::metadata(f).unwrap().len() < 30_000);
    let (man, mut loaded) = (data.join("gltf/CesiumMan.glb"), 0);
    for (i, path) in small.chain([&man]).enumerate() {
        let whole = std::fs::read(path).unwrap();
        // The JSON comes first; what lies behind it is mostly geometry.
        let span = whole.len().min(25_000) as u64;
        for round in 0..200 {
            let mut bytes = whole.clone();
            for flip in 0..16 {
                let r = random((i as u64 * 1000 + round) * 16 + flip + 77_000_000);
                let byte = &mut bytes[((r >> 16) % span) as usize];
                // A wrong number keeps the JSON whole and goes deeper than any other wrong byte.
                if byte.is_ascii_digit() {
                    *byte = b'0' + (r % 10) as u8;
                }
            }
            loaded += usize::from(exercise(|| Scene::from_bytes(&bytes, "flipped")).is_ok());
        }
    }
    println!("{loaded} load all the same");
    assert!(loaded > 0);
}

/// Digits in the JSON are where counts, offsets and indices live.
#[test]
fn changed_digits_end_cleanly() {
    let glb = specimen();
    let end = 20 + u32::from_le_bytes([glb[12], glb[13], glb[14], glb[15]]) as usize;
    for at in (20..end).filter(|&at| glb[at].is_ascii_digit()) {
        for digit in [b'0', b'1', b'7', b'9', b'-'] {
            let mut bytes = glb.clone();
            bytes[at] = digit;
            let _ = exercise(|| Scene::from_bytes(&bytes, "digit"));
        }
    }
}

fn refuse(json: &str, reason: &str) {
    let message = exercise(|| Scene::from_bytes(json.as_bytes(), "made.gltf")).expect_err(reason);
    assert!(message.contains(reason), "{message}");
}

fn with_position(accessor: &str, rest: &str) -> String {
    format!(
        r#"{{"asset":{{"version":"2.0"}},"nodes":[{{"mesh":0}}],"accessors":[{accessor}],
           "meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}}}}]}}]{rest}}}"#
    )
}

#[test]
fn huge_counts_are_refused_before_memory_is_asked_for() {
    let accessor = |count: &str| format!(r#"{{"componentType":5126,"type":"VEC3","count":{count}}}"#);
    refuse(&with_position(&accessor("1000000000"), ""), "512 MiB");
    refuse(&with_position(&accessor("18446744073709551615"), ""), "512 MiB");
    refuse(&with_position(&accessor("20000000"), ""), "without any data");
    let view = r#","bufferViews":[{"buffer":0,"byteLength":12}],
                 "buffers":[{"byteLength":12,"uri":"data:;base64,AAAAAAAAAAAAAAAA"}]"#;
    let in_view = |count: &str| format!(r#"{{"bufferView":0,"componentType":5126,"type":"VEC3","count":{count}}}"#);
    refuse(&with_position(&in_view("2"), view), "do not fit");
    refuse(&with_position(&in_view("30000000"), view), "do not fit");
    let far = r#"{"bufferView":0,"byteOffset":18446744073709551615,"componentType":5126,"type":"VEC3","count":1}"#;
    refuse(&with_position(far, view), "do not fit");
    assert!(exercise(|| Scene::from_bytes(with_position(&in_view("1"), view).as_bytes(), "x")).is_ok());
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refuse(&nested, "recursion");
}

#[test]
fn positions_that_are_not_finite_name_their_vertex() {
    let nan = r#"{"bufferView":0,"componentType":5126,"type":"VEC3","count":1}"#;
    let view = r#","bufferViews":[{"buffer":0,"byteLength":12}],
                 "buffers":[{"byteLength":12,"uri":"data:;base64,AADAfwAAAAAAAAAA"}]"#;
    refuse(&with_position(nan, view), "made.gltf#/meshes/0/primitives/0/attributes/POSITION: the position of vertex 0");
}

#[test]
fn degenerate_but_legal_geometry_loads() {
    let zeros = r#"{"componentType":5126,"type":"VEC3","count":300000}"#;
    let json = with_position(zeros, "");
    let scene = Scene::from_bytes(json.as_bytes(), "zeros").unwrap();
    assert_eq!(scene.primitive(&scene.instances()[0]).triangles.len(), 100_000);
    // The same with a normal map: tangents of triangles without area.
    let n = 30_000;
    let mesh = MeshData {
        positions: vec![[0.0; 3]; n],
        triangles: (0..n as u32 - 2).map(|i| [i, i + 1, i + 2]).collect(),
        normals: Some(vec![[0.0, 1.0, 0.0]; n]),
        texcoords: Some(vec![[0.5; 2]; n]),
        colors: None,
    };
    let mut scene = Scene::from_mesh("point", &mesh, &Material::default(), None).unwrap();
    scene.create_texture("/materials/0/normalTexture", 1, 1, &[0.5; 4]).unwrap();
    let tangents = scene.meshes()[0].primitives[0].tangents.as_ref().unwrap();
    assert!(tangents.iter().flatten().all(|x| x.is_finite()));
}

#[test]
fn a_long_chain_of_nodes_is_no_problem() {
    let n = 100_000;
    let nodes: Vec<String> = (1..n).map(|i| format!(r#"{{"children":[{i}]}}"#)).chain(["{}".to_owned()]).collect();
    let json = format!(r#"{{"asset":{{"version":"2.0"}},"scenes":[{{"nodes":[0]}}],"nodes":[{}]}}"#, nodes.join(","));
    let scene = Scene::from_bytes(json.as_bytes(), "chain").unwrap();
    assert_eq!(scene.reachable().len(), n);
    assert_eq!(scene.world_matrices().len(), n);
}

#[test]
fn required_extensions_that_are_unknown_are_named() {
    refuse(
        r#"{"asset":{"version":"2.0"},"extensionsRequired":["KHR_draco_mesh_compression"]}"#,
        "KHR_draco_mesh_compression",
    );
    refuse(r#"{"asset":{"version":"1.0"}}"#, "glTF version 1.0");
    refuse("", "the file is empty");
    refuse("hello", "broken JSON");
    refuse("{}", "\"asset\" is missing");
}

#[test]
fn paths_outside_reach_and_devices_are_not_read() {
    let view = |uri: &str| {
        let rest =
            format!(r#","bufferViews":[{{"buffer":0,"byteLength":12}}],"buffers":[{{"byteLength":12,"uri":"{uri}"}}]"#);
        with_position(r#"{"bufferView":0,"componentType":5126,"type":"VEC3","count":1}"#, &rest)
    };
    let folder = tempfile::tempdir().unwrap();
    for uri in ["/dev/zero", "file:///dev/zero", "http://example.com/a.bin", "%2Fdev%2Fzero", "a%zz", "."] {
        let path = folder.path().join("scene.gltf");
        std::fs::write(&path, view(uri)).unwrap();
        let error = Scene::load(&path).expect_err(uri).to_string();
        assert!(error.contains("/buffers/0"), "{uri}: {error}");
    }
}
