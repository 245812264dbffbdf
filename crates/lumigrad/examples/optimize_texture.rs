//! Recovers the texture of a globe from pictures of it, through the library.
//!
//! `cargo run --release -p lumigrad --example optimize_texture`

use lumigrad::core::{DType, Device, Tape, Tensor};
use lumigrad::optim::{Adam, Group, Loss};
use lumigrad::raster::{Bindings, Camera, Options, Renderer};
use lumigrad::scene::camera::{Framing, sphere_views};
use lumigrad::scene::{Scene, environment::Environment};
use std::error::Error;

/// glTF object-model pointer of what is recovered.
const TEXTURE: &str = "/materials/0/pbrMetallicRoughness/baseColorTexture";

/// Mean squared errors of the first and the last picture.
fn recover(
    device: &Device,
    texture_size: usize,
    picture_size: usize,
    steps: usize,
) -> Result<[f64; 2], Box<dyn Error>> {
    let scene = Scene::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb"))?;
    let options = Options { environment: Some(Environment::constant([1.0; 3])), dtype: None };
    let renderer = Renderer::new(&scene, device, &options)?;

    // The pictures to match; with photographs, they and their cameras come from files.
    let mut views = vec![];
    for view in sphere_views(6, &Framing::of_sphere([0.0; 3], 1.0, (picture_size, picture_size))) {
        let camera = Camera::new(&view, device, DType::F32)?;
        let picture = renderer.frame(&Bindings::new())?.render(&camera)?.image.tensor().clone();
        views.push((camera, picture));
    }

    // From grey, one picture per step.
    let mut texture = Tensor::full(device, DType::F32, &[texture_size, 2 * texture_size, 4], 0.5)?;
    let mut adam = Adam::new(vec![Group { bounds: (0.0, 1.0), ..Group::new("texture", 0.05) }]);
    let (loss, mut errors) = (Loss::from_name("l2")?, vec![]);
    for (camera, picture) in views.iter().cycle().take(steps) {
        let tape = Tape::new();
        let variable = tape.variable(texture.clone());
        let mut bindings = Bindings::new();
        bindings.bind(TEXTURE, variable.clone());
        let image = renderer.frame(&bindings)?.render(camera)?.image;
        let error = loss.evaluate(&image, picture, None)?;
        let gradient = tape.backward(&error)?.take(&variable);
        adam.step(&mut [&mut texture], &[gradient], 1.0)?;
        errors.push(error.tensor().item()?);
    }
    Ok([errors[0], errors[errors.len() - 1]])
}

fn main() -> Result<(), Box<dyn Error>> {
    let [first, last] = recover(&Device::from_name("auto")?, 128, 128, 120)?;
    println!("mean squared error: {first:.5} from grey, {last:.7} at the end");
    Ok(())
}

#[test]
fn the_texture_of_the_globe_is_recovered() {
    let [first, last] = recover(&Device::cpu(), 32, 48, 60).unwrap();
    assert!(last < 0.02 * first, "from {first} to {last}");
}
