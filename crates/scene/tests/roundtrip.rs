//! What goes in comes out: saving changes only what was changed.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::{MeshData, Scene};

fn assert_same(a: &Scene, b: &Scene, what: &str) {
    assert_eq!(a.materials(), b.materials(), "{what}");
    assert_eq!(a.textures(), b.textures(), "{what}");
    assert!(a.images() == b.images(), "{what}: images");
    assert_eq!(a.instances(), b.instances(), "{what}");
    let geometry = |scene: &Scene| format!("{:?} {:?} {:?}", scene.meshes(), scene.skins(), scene.nodes());
    assert!(geometry(a) == geometry(b), "{what}: geometry");
    assert_eq!(format!("{:?} {:?}", a.cameras(), a.lights()), format!("{:?} {:?}", b.cameras(), b.lights()), "{what}");
}

#[test]
fn samples_come_out_of_every_form_of_file_as_they_went_in() {
    let Some(data) = common::data() else { return };
    let folder = tempfile::tempdir().unwrap();
    for path in common::gltf_files(&data.join("gltf")) {
        let what = path.display().to_string();
        let scene = Scene::load(&path).unwrap();
        let (glb, gltf, separate) =
            (folder.path().join("a.glb"), folder.path().join("b.gltf"), folder.path().join("ä c.gltf"));
        scene.save(&glb).unwrap();
        scene.save(&gltf).unwrap();
        scene.save_separate(&separate).unwrap();
        for file in [&glb, &gltf, &separate] {
            assert_same(&scene, &Scene::load(file).unwrap(), &what);
        }
        let again = Scene::load(&glb).unwrap();
        assert_eq!(again.to_glb().unwrap(), std::fs::read(&glb).unwrap(), "{what}: a second time nothing changes");
        if path.extension().is_some_and(|e| e == "glb") {
            assert_eq!(again.json(), scene.json(), "{what}: the JSON goes through");
        }
    }
}

#[test]
fn animations_extras_and_unknown_extensions_go_through() {
    let Some(data) = common::data() else { return };
    let mut scene = Scene::load(data.join("gltf/CesiumMan.glb")).unwrap();
    let before = scene.json().clone();
    scene.set("/materials/0/pbrMetallicRoughness/roughnessFactor", &[0.25]).unwrap();
    let after = Scene::from_bytes(&scene.to_glb().unwrap(), "after").unwrap();
    for key in ["animations", "skins", "nodes", "meshes", "accessors", "bufferViews", "buffers", "images", "asset"] {
        assert_eq!(before[key], after.json()[key], "{key}");
    }
    assert_eq!(after.materials()[0].roughness_factor, 0.25);
}

#[test]
fn a_changed_texture_takes_the_place_of_the_old_one() {
    let Some(data) = common::data() else { return };
    let mut scene = Scene::load(data.join("gltf/BoxTextured.glb")).unwrap();
    let slot = "/materials/0/pbrMetallicRoughness/baseColorTexture";
    let (shape, values) = scene.get(slot).unwrap();
    let size = std::fs::metadata(data.join("gltf/BoxTextured.glb")).unwrap().len() as usize;
    scene.set(slot, &vec![0.5; values.len()]).unwrap();
    let glb = scene.to_glb().unwrap();
    assert!(glb.len() < size, "the old picture is left out: {} of {size} bytes", glb.len());
    let again = Scene::from_bytes(&glb, "again").unwrap();
    assert_eq!(again.get(slot).unwrap(), (shape, scene.get(slot).unwrap().1));
    assert_eq!(
        again.json()["bufferViews"].as_array().unwrap().len(),
        scene.json()["bufferViews"].as_array().unwrap().len()
    );
    assert_eq!(format!("{:?}", again.meshes()), format!("{:?}", scene.meshes()));
}

#[test]
fn changed_positions_leave_everything_else() {
    let Some(data) = common::data() else { return };
    for file in [
        "CesiumMan.glb",
        "SimpleMeshes/SimpleMeshes.gltf",
        "BoxInterleaved.glb",
        "AnimatedMorphCube.glb",
        "SimpleSparseAccessor/SimpleSparseAccessor.gltf",
    ] {
        let mut scene = Scene::load(data.join("gltf").join(file)).unwrap();
        let slot = "/meshes/0/primitives/0/attributes/POSITION";
        let (_, values) = scene.get(slot).unwrap();
        scene.set(slot, &values.iter().map(|x| x * 1.5 + 0.25).collect::<Vec<_>>()).unwrap();
        assert_same(&scene, &Scene::from_bytes(&scene.to_glb().unwrap(), "again").unwrap(), file);
    }
}

#[test]
fn replaced_geometry_is_what_is_saved() {
    let Some(data) = common::data() else { return };
    let mut scene = Scene::load(data.join("gltf/CesiumMan.glb")).unwrap();
    let tetrahedron = MeshData {
        positions: vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        triangles: vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]],
        ..MeshData::default()
    };
    scene.replace_geometry(0, 0, &tetrahedron).unwrap();
    let glb = scene.to_glb().unwrap();
    let again = Scene::from_bytes(&glb, "again").unwrap();
    assert_same(&scene, &again, "tetrahedron");
    assert_eq!(again.meshes()[0].primitives[0].triangles, tetrahedron.triangles);
    assert!(again.meshes()[0].primitives[0].influences.is_none());
    let wrong = MeshData { triangles: vec![[0, 1, 4]], ..tetrahedron };
    assert!(scene.replace_geometry(0, 0, &wrong).is_err());
    assert!(scene.replace_geometry(7, 0, &MeshData::default()).is_err());
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let scene = Scene::new("empty");
    let folder = tempfile::tempdir().unwrap();
    assert!(scene.save(folder.path().join("scene.obj")).is_err());
    assert!(scene.save(folder.path().join("no such folder/scene.glb")).is_err());
    let path = folder.path().join("scene.glb");
    scene.save(&path).unwrap();
    assert!(Scene::load(&path).unwrap().instances().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
}

#[test]
fn samplers_come_back_as_they_were_set() {
    use lumigrad_scene::{Filter, Material, Sampler, Wrap};
    let mut scene = Scene::new("samplers");
    let material = scene.add_material(&Material::default()).unwrap();
    let slot = format!("/materials/{material}/pbrMetallicRoughness/baseColorTexture");
    scene.create_texture(&slot, 1, 1, &[1.0; 4]).unwrap();
    let filters = [Filter::Nearest, Filter::Linear];
    let wraps = [Wrap::Repeat, Wrap::MirroredRepeat, Wrap::ClampToEdge];
    for k in 0..36 {
        let mip = [None, Some(Filter::Nearest), Some(Filter::Linear)][k / 4 % 3];
        let (wrap_s, wrap_t) = (wraps[k / 12], wraps[(k + 1) % 3]);
        let sampler = Sampler { wrap_s, wrap_t, mag: filters[k % 2], min: filters[k / 2 % 2], mip };
        scene.set_sampler(0, sampler).unwrap();
        let again = Scene::from_bytes(&scene.to_glb().unwrap(), "again").unwrap();
        assert_eq!(again.textures()[0].sampler, sampler);
    }
    assert!(scene.set_sampler(1, Sampler::default()).is_err());
}
