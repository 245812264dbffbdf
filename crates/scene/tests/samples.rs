//! Real glTF samples, against facts that other software found.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::{AlphaMode, Filter, LightKind, Projection, Scene, Wrap};

/// File, then its nodes, meshes, materials, images, drawn primitives and drawn triangles (counted from the JSON by a
/// separate script).
const SAMPLES: &[(&str, [usize; 6])] = &[
    ("AlphaBlendModeTest.glb", [13, 9, 6, 9, 9, 61]),
    ("AnimatedMorphCube.glb", [1, 1, 1, 0, 1, 12]),
    ("Avocado/Avocado.gltf", [1, 1, 1, 3, 1, 682]),
    ("Box.glb", [2, 1, 1, 0, 1, 12]),
    ("BoxInterleaved.glb", [2, 1, 1, 0, 1, 12]),
    ("BoxTextured.glb", [2, 1, 1, 1, 1, 12]),
    ("Cameras/Cameras.gltf", [3, 1, 0, 0, 1, 2]),
    ("CesiumMan.glb", [22, 1, 1, 1, 1, 4672]),
    ("ClearCoatTest.glb", [33, 27, 19, 6, 27, 37116]),
    ("CornellBox.glb", [4, 4, 5, 0, 6, 36]),
    ("DamagedHelmet.glb", [1, 1, 1, 5, 1, 15452]),
    ("Duck.glb", [3, 1, 1, 1, 1, 4212]),
    ("Duck_data_uri.gltf", [3, 1, 1, 1, 1, 4212]),
    ("LitCubes.glb", [5, 3, 3, 0, 3, 36]),
    ("NormalTangentTest.glb", [2, 1, 1, 3, 1, 7774]),
    ("SimpleMeshes/SimpleMeshes.gltf", [2, 1, 0, 0, 2, 2]),
    ("SimpleSparseAccessor/SimpleSparseAccessor.gltf", [1, 1, 0, 0, 1, 12]),
    ("TextureSettingsTest.glb", [11, 10, 10, 3, 10, 72]),
    ("TextureTransformTest/TextureTransformTest.gltf", [12, 9, 9, 5, 12, 24]),
    ("geometry-camera-light.glb", [6, 2, 1, 0, 2, 14]),
];

#[test]
fn samples_have_the_counts_of_their_json() {
    let Some(data) = common::data() else { return };
    for (file, expected) in SAMPLES {
        let scene = Scene::load(data.join("gltf").join(file)).unwrap();
        let drawn = scene.instances();
        let triangles = drawn.iter().map(|i| scene.primitive(i).triangles.len()).sum();
        let sizes = [scene.nodes().len(), scene.meshes().len(), scene.materials().len(), scene.images().len()];
        assert_eq!([sizes[0], sizes[1], sizes[2], sizes[3], drawn.len(), triangles], *expected, "{file}");
        // Four materials of the clear-coat test have textures that are not shown.
        let (coats, others): (Vec<_>, Vec<_>) =
            scene.warnings.iter().partition(|w| w.contains("/extensions/KHR_materials_clearcoat/clearcoat"));
        assert_eq!(coats.len(), if *file == "ClearCoatTest.glb" { 4 } else { 0 }, "{coats:?}");
        let unexpected: Vec<_> = others.into_iter().filter(|w| !w.starts_with("/animations")).collect();
        assert!(unexpected.is_empty(), "{file}: {unexpected:?}");
    }
}

fn load(name: &str) -> Option<Scene> {
    Some(Scene::load(common::data()?.join("gltf").join(name)).unwrap())
}

#[test]
fn cameras_and_lights_are_read() {
    let Some(scene) = load("geometry-camera-light.glb") else { return };
    assert_eq!(scene.placed_cameras().len(), 2);
    let lights = scene.placed_lights();
    assert_eq!(lights.len(), 2);
    assert!(lights.iter().any(|(_, l, _)| l.kind == LightKind::Point && l.intensity == 1000.0));
    let spot = |kind: LightKind| matches!(kind, LightKind::Spot { outer_cone_angle, .. } if outer_cone_angle > 0.65);
    assert!(lights.iter().any(|(_, l, _)| spot(l.kind)));
    let Some(scene) = load("Cameras/Cameras.gltf") else { return };
    assert!(matches!(scene.cameras()[0].projection, Projection::Perspective { .. }));
    assert!(matches!(scene.cameras()[1].projection, Projection::Orthographic { .. }));
}

#[test]
fn materials_and_samplers_are_read() {
    let Some(scene) = load("TextureSettingsTest.glb") else { return };
    let wraps: Vec<Wrap> = scene.textures().iter().map(|t| t.sampler.wrap_s).collect();
    assert!(wraps.contains(&Wrap::ClampToEdge) && wraps.contains(&Wrap::MirroredRepeat));
    assert!(scene.materials().iter().any(|m| m.double_sided));
    let Some(scene) = load("AlphaBlendModeTest.glb") else { return };
    let mut masks: Vec<f32> =
        scene.materials().iter().filter(|m| m.alpha_mode == AlphaMode::Mask).map(|m| m.alpha_cutoff).collect();
    masks.sort_by(f32::total_cmp);
    assert_eq!(masks, [0.25, 0.5, 0.75]);
    let Some(scene) = load("ClearCoatTest.glb") else { return };
    let coats = scene.materials().iter().filter_map(|m| m.clearcoat.as_ref());
    assert!(coats.clone().any(|c| c.normal_texture.is_some()) && coats.count() > 5);
    let Some(scene) = load("CornellBox.glb") else { return };
    assert!(scene.materials().iter().any(|m| m.emissive_strength > 1.0));
    let Some(scene) = load("DamagedHelmet.glb") else { return };
    assert_eq!(scene.textures()[0].sampler.mip, Some(Filter::Linear));
}

#[test]
fn texture_transforms_turn_counter_clockwise() {
    let Some(scene) = load("TextureTransformTest/TextureTransformTest.gltf") else { return };
    let turned = scene.materials().iter().filter_map(|m| m.base_color_texture?.transform).find(|t| t.rotation != 0.0);
    let t = turned.expect("a material with a rotation");
    let [row_u, row_v] = t.matrix();
    assert!((row_u[1] - t.rotation.sin() * t.scale[1]).abs() < 1e-7);
    assert!((row_v[0] + t.rotation.sin() * t.scale[0]).abs() < 1e-7);
}

/// MikkTSpace on a file that brings its own tangents (made by its exporter).
#[test]
fn generated_tangents_agree_with_those_of_the_file() {
    let Some(mut scene) = load("Avocado/Avocado.gltf") else { return };
    let slot = "/meshes/0/primitives/0/attributes";
    let (_, stored) = scene.get(&format!("{slot}/TANGENT")).unwrap();
    // Writing other texture coordinates and the old ones again makes the tangents anew.
    let (_, uv) = scene.get(&format!("{slot}/TEXCOORD_0")).unwrap();
    let moved: Vec<f32> = uv.iter().map(|x| x + 1.0).collect();
    scene.set(&format!("{slot}/TEXCOORD_0"), &moved).unwrap();
    scene.set(&format!("{slot}/TEXCOORD_0"), &uv).unwrap();
    let (_, made) = scene.get(&format!("{slot}/TANGENT")).unwrap();
    let (mut angles, mut mirrored): (Vec<f32>, usize) = (Vec::new(), 0);
    for (a, b) in stored.chunks_exact(4).zip(made.chunks_exact(4)) {
        mirrored += usize::from(a[3] != b[3]);
        let dot: f32 = (0..3).map(|c| a[c] * b[c]).sum();
        angles.push(dot.clamp(-1.0, 1.0).acos().to_degrees());
    }
    angles.sort_by(f32::total_cmp);
    let (n, median) = (angles.len(), angles[angles.len() / 2]);
    println!(
        "{mirrored} of {n} mirrored; angles: median {median}, 90 % {}, worst {}",
        angles[n * 9 / 10],
        angles[n - 1]
    );
    // One triangle of the avocado has its texture mirrored; its exporter gave all vertices the same handedness.
    assert!(mirrored <= 3 && median < 1.0, "{mirrored} mirrored, median angle {median}");
}

/// Column and row of a pixel, depth (metres along the viewing axis) and shading normal of the reference picture.
type Seen = (usize, usize, f64, [f64; 3]);

/// From render_reference/aov, pixels without flags.
const MAN: &[Seen] = &[
    (125, 49, 2.0142789, [0.1209, -0.0642, 0.9907]),
    (147, 192, 2.5032115, [0.2076, 0.0031, 0.9780]),
    (166, 29, 2.1479812, [0.9624, -0.0458, -0.2681]),
    (131, 96, 2.1374388, [0.5581, 0.0917, 0.8247]),
    (133, 177, 2.5227175, [-0.3704, -0.3201, 0.8721]),
];
const CUBE: &[Seen] = &[
    (138, 178, 3.1325324, [0.0, 0.0, -1.0]),
    (176, 236, 3.7529237, [0.0, -1.0, 0.0]),
    (160, 157, 3.1285925, [0.0, 0.0, -1.0]),
    (142, 66, 3.4992745, [0.0, 0.0, -1.0]),
];

#[test]
fn posed_skins_and_morphs_lie_where_the_reference_camera_sees_them() {
    let Some(data) = common::data() else { return };
    let folder = data.join("render_reference").join("aov");
    for (asset, view, pixels) in [("CesiumMan_posed", "a", MAN), ("AnimatedMorphCube_posed", "b", CUBE)] {
        let scene = Scene::load(folder.join(format!("{asset}.glb"))).unwrap();
        let instance = &scene.instances()[0];
        let geometry = scene.world_geometry(instance).unwrap();
        let normals = geometry.normals.as_ref().unwrap();
        let camera = std::fs::read_to_string(folder.join(format!("{asset}_{view}.json"))).unwrap();
        let camera: serde_json::Value = serde_json::from_str(&camera).unwrap();
        let number = |key: &str| camera[key].as_f64().unwrap();
        let matrix = |r: usize, c: usize| camera["frames"][0]["transform_matrix"][r][c].as_f64().unwrap();
        let axis = |c: usize| glam::DVec3::new(matrix(0, c), matrix(1, c), matrix(2, c));
        for &(column, row, depth, normal) in pixels {
            let x = (column as f64 + 0.5 - number("cx")) / number("fl_x");
            let y = -(row as f64 + 0.5 - number("cy")) / number("fl_y");
            let ray = axis(0) * x + axis(1) * y - axis(2);
            let point = |v: u32| glam::DVec3::from_array(geometry.positions[v as usize].map(f64::from)) - axis(3);
            let mut nearest = (f64::INFINITY, glam::DVec3::ZERO);
            for t in &scene.primitive(instance).triangles {
                let [a, b, c] = t.map(point);
                let volumes = [ray.dot(b.cross(c)), ray.dot(c.cross(a)), ray.dot(a.cross(b))];
                let sum: f64 = volumes.iter().sum();
                if volumes.iter().all(|v| v / sum >= 0.0) {
                    let hit = a.dot((b - a).cross(c - a)) / sum;
                    if hit > 0.0 && hit < nearest.0 {
                        let corner = |i: usize| glam::DVec3::from_array(normals[t[i] as usize].map(f64::from));
                        nearest = (hit, (0..3).map(|i| corner(i) * volumes[i] / sum).sum::<glam::DVec3>().normalize());
                    }
                }
            }
            let place = format!("{asset} {column},{row}");
            assert!((nearest.0 / depth - 1.0).abs() < 1e-6, "{place}: depth {} for {depth}", nearest.0);
            let off = (nearest.1 - glam::DVec3::from_array(normal)).abs().max_element();
            assert!(off < 1e-3, "{place}: normal {} for {normal:?}", nearest.1);
        }
    }
}
