//! Real glTF samples.
#![allow(missing_docs)]

mod common;

use lumigrad_scene::{LightKind, Mode, Projection, Scene, Wrap};

/// File, then how many nodes, meshes, materials, images, instances and triangles it has.
const SAMPLES: &[(&str, [usize; 6])] = &[("AlphaBlendModeTest.glb", [13, 9, 6, 9, 9, 0])];

#[test]
fn samples_have_the_counts_that_other_readers_find() {
    let Some(data) = common::data() else { return };
    for path in common::gltf_files(&data.join("gltf")) {
        let scene = Scene::load(&path).unwrap();
        let instances = scene.instances();
        let triangles: usize = instances.iter().map(|i| scene.primitive(i).triangles.len()).sum();
        println!(
            "{} {:?} {:?}",
            path.display(),
            [
                scene.nodes().len(),
                scene.meshes().len(),
                scene.materials().len(),
                scene.images().len(),
                instances.len(),
                triangles
            ],
            scene.warnings
        );
        let mut lo = [f32::MAX; 3];
        let mut hi = [f32::MIN; 3];
        for i in &instances {
            for p in scene.world_geometry(i).unwrap().positions {
                for c in 0..3 {
                    lo[c] = lo[c].min(p[c]);
                    hi[c] = hi[c].max(p[c]);
                }
            }
        }
        println!("   {lo:?} {hi:?} params {}", scene.parameters().len());
    }
}
