//! Cases of the group `raster`: steps of inverse rendering.

use super::timing::{record, time};
use crate::Result;
use crate::core::{DType, Device, Tape, Tensor, Var};
use crate::optim::{Adam, Group, Loss};
use crate::optimize::encode;
use crate::raster::{Bindings, Camera, Options, Renderer};
use crate::run::{Summary, peak_memory_bytes, sphere};
use crate::scene::camera::{Framing, sphere_views};
use crate::scene::environment::Environment;
use crate::scene::{Image, Light, LightKind, Material, Node, Scene, Transform};

/// Cells of the sphere each way: 2 · 100² triangles, less those at the poles.
const CELLS: usize = 100;
/// Texels of a side.
const TEXELS: u32 = 512;
const TEXTURE: &str = "/materials/0/pbrMetallicRoughness/baseColorTexture";

fn scene() -> Result<Scene> {
    let pixels = (0..TEXELS * TEXELS).flat_map(|i| {
        let (x, y) = (i % TEXELS, i / TEXELS);
        let on = ((x / 32) + (y / 32)) % 2 == 0;
        if on { [220, 180, 120, 255] } else { [60, 90, 140, 255] }
    });
    let image = Image { name: "checks".into(), width: TEXELS, height: TEXELS, rgba8: pixels.collect() };
    let material = Material { roughness_factor: 0.4, metallic_factor: 0.3, ..Material::default() };
    let mut scene = Scene::from_mesh("sphere", &sphere(CELLS), &material, Some(&image))?;
    let kind = LightKind::Point;
    let light = Light { name: "lamp".into(), color: [1.0; 3], intensity: 10.0, range: None, kind };
    let light = Some(scene.add_light(&light)?);
    let transform = Transform::Trs { translation: [2.0, 2.0, 2.0], rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };
    scene.add_node(&Node { name: "lamp".into(), light, transform, ..Node::default() })?;
    Ok(scene)
}

/// `raster_{side}_step_ms`: forward, backward and Adam of a 512² base-colour texture on a sphere of 20 000 triangles, PBR
/// with an environment and a point light, L1 of display-encoded colour.
fn step(device: &Device, summary: &mut Summary, side: usize) -> Result<()> {
    let scene = scene()?;
    let options = Options { environment: Some(Environment::constant([0.6, 0.7, 0.9])), dtype: None };
    let renderer = Renderer::new(&scene, device, &options)?;
    let view = sphere_views(1, &Framing::of_sphere([0.0; 3], 1.0, (side, side))).remove(0);
    let camera = Camera::new(&view, device, DType::F32)?;
    let target = encode(&renderer.frame(&Bindings::new())?.render(&camera)?.image)?.tensor().clone();
    let size = TEXELS as usize;
    let mut texture = Tensor::full(device, DType::F32, &[size, size, 4], 0.5)?;
    let mut adam = Adam::new(vec![Group::new("texture", 0.01)]);
    let loss = Loss::from_name("l1")?;
    let timing = time(device, || {
        let tape = Tape::new();
        let leaf = tape.variable(texture.clone());
        let mut bindings = Bindings::new();
        bindings.bind(TEXTURE, leaf.clone());
        let image = encode(&renderer.frame(&bindings)?.render(&camera)?.image)?;
        let value = loss.evaluate(&image, &target, None)?;
        let gradient = tape.backward(&value)?.take(&leaf);
        drop((image, value, bindings, leaf, tape));
        adam.step(&mut [&mut texture], &[gradient], 1.0)?;
        Ok(())
    })?;
    record(summary, &format!("raster_{side}_step_ms"), 1e3 * timing.median, &timing);
    Ok(())
}

/// `jvp_over_forward`, `vjp_over_forward`: re-applying the recorded Jacobian of the whole renderer by the same texture,
/// over a forward pass, at 512².
pub fn jacobian(device: &Device, summary: &mut Summary) -> Result<()> {
    let scene = scene()?;
    let options = Options { environment: Some(Environment::constant([0.6, 0.7, 0.9])), dtype: None };
    let renderer = Renderer::new(&scene, device, &options)?;
    let view = sphere_views(1, &Framing::of_sphere([0.0; 3], 1.0, (512, 512))).remove(0);
    let camera = Camera::new(&view, device, DType::F32)?;
    let size = TEXELS as usize;
    let texture = Tensor::full(device, DType::F32, &[size, size, 4], 0.5)?;
    let render = |texture: &Var| -> Result<Var> {
        let mut bindings = Bindings::new();
        bindings.bind(TEXTURE, texture.clone());
        Ok(renderer.frame(&bindings)?.render(&camera)?.image)
    };
    let constant: Var = texture.clone().into();
    let forward = time(device, || render(&constant).map(drop))?;
    let tape = Tape::new();
    let leaf = tape.variable(texture.clone());
    let image = render(&leaf)?;
    let jacobian = tape.linearize(&image, &[&leaf])?;
    let tangent = [texture];
    let cotangent = image.tensor().clone();
    let jvp = time(device, || Ok(jacobian.apply(&tangent).map(drop)?))?;
    let vjp = time(device, || Ok(jacobian.apply_transpose(&cotangent).map(drop)?))?;
    record(summary, "jvp_over_forward", jvp.median / forward.median, &jvp);
    record(summary, "vjp_over_forward", vjp.median / forward.median, &vjp);
    Ok(())
}

/// Both sizes, and the most memory that the program held.
pub fn steps(device: &Device, summary: &mut Summary) -> Result<()> {
    for side in [256, 1024] {
        step(device, summary, side)?;
    }
    summary.metric("raster_peak_memory_mib", peak_memory_bytes() as f64 / (1 << 20) as f64);
    Ok(())
}
