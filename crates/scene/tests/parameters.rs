//! Parameters by pointer: listed, resolved, read and written.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::{
    Camera, Image, Light, LightKind, Material, MeshData, Node, ParameterKind, Projection, Scene, Transform,
};

fn quad() -> MeshData {
    MeshData {
        positions: vec![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
        triangles: vec![[0, 1, 2], [0, 2, 3]],
        normals: Some(vec![[0.0, 0.0, 1.0]; 4]),
        texcoords: Some(vec![[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]),
        colors: Some(vec![[0.5, 0.25, 1.0, 1.0]; 4]),
    }
}

/// A textured quad with a camera and a spot light.
fn scene() -> Scene {
    let image = Image { name: "checker".into(), width: 2, height: 1, rgba8: vec![255, 0, 0, 255, 0, 128, 255, 255] };
    let material = Material { name: "Red/Blue".into(), roughness_factor: 0.5, ..Material::default() };
    let mut scene = Scene::from_mesh("quad", &quad(), &material, Some(&image)).unwrap();
    let projection = Projection::Perspective { yfov: 0.7, aspect_ratio: None, znear: 0.1, zfar: None };
    let camera = scene.add_camera(&Camera { name: "main".into(), projection }).unwrap();
    let kind = LightKind::Spot { inner_cone_angle: 0.1, outer_cone_angle: 0.5 };
    let light = Light { name: "lamp".into(), color: [1.0, 0.9, 0.8], intensity: 40.0, range: None, kind };
    let light = scene.add_light(&light).unwrap();
    let transform = Transform::Trs { translation: [0.0, 0.0, 3.0], rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };
    let node = Node { name: "eye".into(), transform, camera: Some(camera), light: Some(light), ..Node::default() };
    scene.add_node(&node).unwrap();
    scene
}

/// The scene after it went through a file.
fn through_a_file(scene: &Scene) -> Scene {
    Scene::from_bytes(&scene.to_glb().unwrap(), "again.glb").unwrap()
}

#[test]
fn every_parameter_can_be_set_read_back_and_saved() {
    let mut scene = scene();
    let parameters = scene.parameters();
    assert!(parameters.len() > 15);
    for (i, p) in parameters.iter().enumerate() {
        let (shape, old) = scene.get(&p.pointer).unwrap();
        assert_eq!(shape, p.shape, "{}", p.pointer);
        let n: usize = shape.iter().product();
        assert_eq!(old.len(), n);
        let new: Vec<f32> = match p.kind {
            ParameterKind::Rotation => vec![0.6, 0.0, 0.8, 0.0],
            ParameterKind::Texture { .. } => (0..n).map(|k| (k % 5) as f32 / 4.0).collect(),
            _ => (0..n).map(|k| 0.1 + 0.01 * i as f32 + 0.003 * k as f32).collect(),
        };
        scene.set(&p.pointer, &new).unwrap();
        let close = |scene: &Scene, what: &str| {
            let (_, read) = scene.get(&p.pointer).unwrap();
            // 8 bits of sRGB: half a step at white is 0.0045 of linear light.
            let tolerance = if matches!(p.kind, ParameterKind::Texture { .. }) { 5e-3 } else { 0.0 };
            for (a, b) in read.iter().zip(&new) {
                assert!((a - b).abs() <= tolerance, "{what} {}: {a} for {b}", p.pointer);
            }
        };
        close(&scene, "set");
        close(&through_a_file(&scene), "saved");
    }
}

#[test]
fn names_and_stars_stand_in_place_of_indices() {
    let scene = scene();
    let pointers =
        |pattern: &str| -> Vec<String> { scene.resolve(pattern).unwrap().into_iter().map(|p| p.pointer).collect() };
    let roughness = ["/materials/0/pbrMetallicRoughness/roughnessFactor"];
    assert_eq!(pointers("/materials/Red~1Blue/pbrMetallicRoughness/roughnessFactor"), roughness);
    assert_eq!(pointers("/materials/*/*/roughnessFactor"), roughness);
    assert_eq!(pointers("/meshes/*/primitives/*/attributes/POSITION"), ["/meshes/0/primitives/0/attributes/POSITION"]);
    assert_eq!(pointers("/cameras/main/*"), ["/cameras/0/perspective/yfov"]);
    assert_eq!(pointers("/extensions/KHR_lights_punctual/lights/lamp/intensity").len(), 1);
    assert_eq!(pointers("/nodes/eye/translation"), ["/nodes/1/translation"]);
    let all = pointers("/materials/0/*");
    assert!(all.contains(&"/materials/0/pbrMetallicRoughness/baseColorTexture".to_owned()));
    assert!(!all.iter().any(|p| p.contains("clearcoat")), "extensions that are not there are not meant by *");
    assert_eq!(pointers("/materials/0/extensions/KHR_materials_ior/ior").len(), 1);
}

#[test]
fn a_pointer_that_matches_nothing_names_the_nearest() {
    let error = scene().resolve("/materials/0/pbrMetallicRoughness/roughnesFactor").unwrap_err();
    assert!(error.to_string().contains("did you mean /materials/0/pbrMetallicRoughness/roughnessFactor"), "{error}");
    assert!(scene().resolve("/materials/9/nothing").is_err());
    assert!(scene().get("/materials/9/nothing").is_err());
    assert!(scene().set("", &[1.0]).is_err());
}

#[test]
fn an_absent_field_has_its_default_and_setting_it_declares_the_extension() {
    let mut scene = scene();
    let ior = "/materials/0/extensions/KHR_materials_ior/ior";
    assert_eq!(scene.get(ior).unwrap(), (vec![1], vec![1.5]));
    assert!(!scene.parameters().iter().any(|p| p.pointer == ior));
    scene.set(ior, &[1.33]).unwrap();
    assert_eq!(scene.materials()[0].ior, 1.33);
    let again = through_a_file(&scene);
    assert_eq!(again.materials()[0].ior, 1.33);
    assert!(again.json()["extensionsUsed"].as_array().unwrap().contains(&"KHR_materials_ior".into()));
}

#[test]
fn wrong_lengths_and_values_that_are_not_finite_are_refused() {
    let mut scene = scene();
    let factor = "/materials/0/pbrMetallicRoughness/baseColorFactor";
    assert!(scene.set(factor, &[1.0; 3]).is_err());
    let error = scene.set(factor, &[1.0, f32::NAN, 1.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("value 1"), "{error}");
    assert_eq!(scene.get(factor).unwrap().1, [1.0; 4]);
}

#[test]
fn base_colour_is_linear_light_and_alpha_is_not_decoded() {
    let scene = scene();
    let (shape, values) = scene.get("/materials/0/pbrMetallicRoughness/baseColorTexture").unwrap();
    assert_eq!(shape, [1, 2, 4]);
    assert_eq!(values[..4], [1.0, 0.0, 0.0, 1.0]);
    // 128/255 in sRGB is 0.21586 of linear light.
    assert!((values[5] - 0.215_86).abs() < 1e-5);
}

#[test]
fn a_texture_can_be_made_where_there_is_only_a_factor() {
    let mut scene = scene();
    let slot = "/materials/0/pbrMetallicRoughness/metallicRoughnessTexture";
    assert!(scene.get(slot).is_err());
    let image = scene.create_texture(slot, 3, 2, &[0.2; 24]).unwrap();
    let parameter = scene.resolve(slot).unwrap().remove(0);
    let channels = [false, true, true, false];
    assert_eq!(parameter.kind, ParameterKind::Texture { image, srgb: false, channels });
    assert_eq!(parameter.shape, [2, 3, 4]);
    let again = through_a_file(&scene);
    assert_eq!(again.get(slot).unwrap(), scene.get(slot).unwrap());
    assert!(scene.create_texture("/materials/0/alphaCutoff", 1, 1, &[0.0; 4]).is_err());
    let bare = MeshData { texcoords: None, ..quad() };
    let mut bare = Scene::from_mesh("bare", &bare, &Material::default(), None).unwrap();
    let error = bare.create_texture(slot, 1, 1, &[0.0; 4]).unwrap_err().to_string();
    assert!(error.contains("TEXCOORD_0"), "{error}");
    // A normal map brings tangents.
    scene.create_texture("/materials/0/normalTexture", 1, 1, &[0.5, 0.5, 1.0, 1.0]).unwrap();
    let tangents = scene.meshes()[0].primitives[0].tangents.as_ref().unwrap();
    assert_eq!(tangents[0], [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_matrix_becomes_translation_rotation_scale_when_one_is_set() {
    let mut scene = scene();
    let matrix = glam::DMat4::from_scale_rotation_translation(
        glam::DVec3::new(1.0, 2.0, 3.0),
        glam::DQuat::from_rotation_y(0.5),
        glam::DVec3::new(4.0, 5.0, 6.0),
    );
    let node = Node { transform: Transform::Matrix(matrix.to_cols_array().map(|x| x as f32)), ..Node::default() };
    let node = scene.add_node(&node).unwrap();
    let pointer = |part: &str| format!("/nodes/{node}/{part}");
    let (_, scale) = scene.get(&pointer("scale")).unwrap();
    assert!(scale.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-5));
    scene.set(&pointer("translation"), &[0.0, 1.0, 0.0]).unwrap();
    assert!(scene.json().pointer(&pointer("matrix")).is_none());
    let world = scene.world_matrices()[node];
    let expected = glam::DMat4::from_translation(glam::DVec3::new(-4.0, -4.0, -6.0)) * matrix;
    assert!(world.abs_diff_eq(expected, 1e-5), "{world} {expected}");
    // A shear has no such parts.
    let mut shear = glam::DMat4::IDENTITY;
    shear.y_axis.x = 0.5;
    let node = Node { transform: Transform::Matrix(shear.to_cols_array().map(|x| x as f32)), ..Node::default() };
    let node = scene.add_node(&node).unwrap();
    let (shape, values) = scene.get(&format!("/nodes/{node}/matrix")).unwrap();
    assert_eq!((shape, values[1]), (vec![4, 4], 0.5), "row-major");
}

#[test]
fn moved_positions_bring_normals_and_keep_seams_smooth() {
    let mut scene = scene();
    let slot = "/meshes/0/primitives/0/attributes";
    // Turn the quad by a right angle about x: normals follow.
    let (_, positions) = scene.get(&format!("{slot}/POSITION")).unwrap();
    let turned: Vec<f32> = positions.chunks_exact(3).flat_map(|p| [p[0], -p[2], p[1]]).collect();
    scene.set(&format!("{slot}/POSITION"), &turned).unwrap();
    for scene in [&scene, &through_a_file(&scene)] {
        let (_, normals) = scene.get(&format!("{slot}/NORMAL")).unwrap();
        assert!(normals.chunks_exact(3).all(|n| (n[1] + 1.0).abs() < 1e-6), "{normals:?}");
    }
}

#[test]
fn images_shared_by_two_slots_are_one_image() {
    let Some(data) = common::data() else { return };
    let scene = Scene::load(data.join("gltf/DamagedHelmet.glb")).unwrap();
    let image = |slot: &str| match scene.resolve(&format!("/materials/*/{slot}")).unwrap()[0].kind {
        ParameterKind::Texture { image, .. } => image,
        other => panic!("{other:?}"),
    };
    let all = ["pbrMetallicRoughness/baseColorTexture", "normalTexture", "emissiveTexture", "occlusionTexture"];
    let distinct: std::collections::BTreeSet<usize> = all.map(image).into();
    assert_eq!(distinct.len(), 4);
    assert_eq!(scene.resolve("/materials/*/pbrMetallicRoughness/baseColorTexture").unwrap()[0].shape, [2048, 2048, 4]);
}
