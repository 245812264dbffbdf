//! Derivatives of whole pictures by every kind of parameter, against finite differences in f64 and between devices.

use lumigrad_core::{Device, Error, Result, Tensor, Var};
use lumigrad_raster::shading::ENVIRONMENT_POINTER;
use lumigrad_raster::{Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::{AlphaMode, Light, LightKind, Material, MeshData, Node, Scene, Transform};
use lumigrad_testkit::{Check, real_in};

const PBR: &str = "/materials/0/pbrMetallicRoughness";
const LIGHTS: &str = "/extensions/KHR_lights_punctual/lights";
const SIZE: usize = 20;

/// A wavy sheet of n × n quads that fills the picture.
fn sheet(n: u32, half: f32, z: f32) -> MeshData {
    let at = |k: u32| 2.0 * k as f32 / n as f32 - 1.0;
    let mut mesh = MeshData { normals: Some(vec![]), texcoords: Some(vec![]), ..Default::default() };
    for i in 0..(n + 1) * (n + 1) {
        let (u, v) = (at(i % (n + 1)), at(i / (n + 1)));
        let (x, y) = (half * u, half * v);
        mesh.positions.push([x, y, z + 0.12 * (2.1 * x + 0.4).sin() * (1.7 * y - 0.3).cos()]);
        mesh.normals.as_mut().unwrap().push([0.0, 0.0, 1.0]);
        mesh.texcoords.as_mut().unwrap().push([0.71 * u + 0.13, 0.64 * v - 0.21]);
    }
    for i in (0..n * (n + 1)).filter(|i| i % (n + 1) < n) {
        mesh.triangles.extend([[i, i + 1, i + n + 2], [i, i + n + 2, i + n + 1]]);
    }
    mesh
}

/// A sheet with five textures below three lights and an environment, and a half-transparent one in front of its middle.
fn scene() -> Scene {
    let mut scene = Scene::new("gradients");
    let textured = Material {
        base_color_factor: [0.9, 0.8, 0.7, 1.0],
        metallic_factor: 0.6,
        roughness_factor: 0.8,
        emissive_factor: [0.2, 0.1, 0.15],
        double_sided: true,
        ..Default::default()
    };
    let glass = Material {
        base_color_factor: [0.3, 0.5, 0.8, 0.6],
        metallic_factor: 0.1,
        roughness_factor: 0.5,
        alpha_mode: AlphaMode::Blend,
        double_sided: true,
        ..Default::default()
    };
    let materials = [textured, glass].map(|m| scene.add_material(&m).unwrap());
    let meshes = [(sheet(5, 1.7, 0.0), materials[0]), (sheet(2, 0.45, 0.5), materials[1])];
    for (k, (data, material)) in meshes.into_iter().enumerate() {
        let mesh = scene.add_mesh(&format!("sheet {k}"), &[(data, Some(material))]).unwrap();
        scene.add_node(&Node { mesh: Some(mesh), ..Default::default() }).unwrap();
    }
    for (k, slot) in SLOTS.iter().enumerate() {
        let texels: Vec<f32> = texture(k).to_f64_vec().unwrap().iter().map(|&x| x as f32).collect();
        scene.create_texture(&format!("/materials/0/{slot}"), 8, 8, &texels).unwrap();
    }
    let spot = LightKind::Spot { inner_cone_angle: 0.3, outer_cone_angle: 0.9 };
    let kinds = [(LightKind::Directional, 1.5), (LightKind::Point, 4.0), (spot, 6.0)];
    for (k, (kind, intensity)) in kinds.into_iter().enumerate() {
        let light = Light { name: String::new(), color: [0.9, 0.8, 0.7], intensity, range: Some(9.0), kind };
        let light = scene.add_light(&light).unwrap();
        let translation = [0.6 * k as f32 - 0.5, 0.4, 1.6];
        let transform = Transform::Trs { translation, rotation: [0.98, -0.1, 0.15, 0.0], scale: [1.0; 3] };
        scene.add_node(&Node { light: Some(light), transform, ..Default::default() }).unwrap();
    }
    with_texture_transform(&scene)
}

const SLOTS: [&str; 5] = [
    "pbrMetallicRoughness/baseColorTexture",
    "pbrMetallicRoughness/metallicRoughnessTexture",
    "normalTexture",
    "occlusionTexture",
    "emissiveTexture",
];

/// Random texels; normal maps point roughly upwards.
fn texture(slot: usize) -> Tensor {
    let random = real_in(&[8, 8, 4], 40 + slot as u64, 0.3, 0.9);
    if slot != 2 {
        return random;
    }
    let flat: Vec<f64> = random.to_f64_vec().unwrap();
    let texels: Vec<f64> = flat.chunks(4).flat_map(|t| [0.35 + 0.3 * t[0], 0.35 + 0.3 * t[1], 0.95, 1.0]).collect();
    Tensor::from_slice(&Device::cpu(), &texels, &[8, 8, 4]).unwrap()
}

/// The scene with a transform of its base colour texture, which has to stand in the file to be rendered.
fn with_texture_transform(scene: &Scene) -> Scene {
    let glb = scene.to_glb().unwrap();
    let number = |at: usize| u32::from_le_bytes(glb[at..at + 4].try_into().unwrap()) as usize;
    let end = 20 + number(12);
    let mut json: serde_json::Value = serde_json::from_slice(&glb[20..end]).unwrap();
    let transform = serde_json::json!({"offset": [0.1, 0.2], "rotation": 0.3, "scale": [0.8, 1.1]});
    json["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] =
        serde_json::json!({"KHR_texture_transform": transform});
    let mut text = serde_json::to_vec(&json).unwrap();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut out = glb[..8].to_vec();
    out.extend(((20 + text.len() + glb.len() - end) as u32).to_le_bytes());
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(&glb[16..20]);
    out.extend(&text);
    out.extend(&glb[end..]);
    Scene::from_bytes(&out, "gradients.glb").unwrap()
}

/// What is bound, with a point away from visibility changes.
fn parameters(scene: &Scene) -> Vec<(String, Tensor)> {
    let tensor = |data: &[f64], shape: &[usize]| Tensor::from_slice(&Device::cpu(), data, shape).unwrap();
    let vector = |data: &[f64]| tensor(data, &[data.len()]);
    let positions = |mesh: usize| {
        let points = &scene.meshes()[mesh].primitives[0].positions;
        let flat: Vec<f64> = points.as_flattened().iter().map(|&x| x as f64).collect();
        tensor(&flat, &[points.len(), 3])
    };
    let mut list: Vec<(String, Tensor)> = vec![];
    let mut add = |pointer: String, value: Tensor| list.push((pointer, value));
    for mesh in 0..2 {
        add(format!("/meshes/{mesh}/primitives/0/attributes/POSITION"), positions(mesh));
    }
    for (k, slot) in SLOTS.iter().enumerate() {
        add(format!("/materials/0/{slot}"), texture(k));
    }
    add(format!("{PBR}/baseColorFactor"), vector(&[0.9, 0.8, 0.7, 1.0]));
    add(format!("{PBR}/metallicFactor"), vector(&[0.6]));
    add(format!("{PBR}/roughnessFactor"), vector(&[0.8]));
    add("/materials/0/normalTexture/scale".into(), vector(&[0.7]));
    add("/materials/0/occlusionTexture/strength".into(), vector(&[0.6]));
    add("/materials/0/emissiveFactor".into(), vector(&[0.2, 0.1, 0.15]));
    add("/materials/1/pbrMetallicRoughness/baseColorFactor".into(), vector(&[0.3, 0.5, 0.8, 0.6]));
    let transform = format!("{PBR}/baseColorTexture/extensions/KHR_texture_transform");
    add(format!("{transform}/offset"), vector(&[0.1, 0.2]));
    add(format!("{transform}/rotation"), vector(&[0.3]));
    add(format!("{transform}/scale"), vector(&[0.8, 1.1]));
    for light in 0..3 {
        add(format!("{LIGHTS}/{light}/color"), vector(&[0.9, 0.8, 0.7]));
        add(format!("{LIGHTS}/{light}/intensity"), vector(&[2.0]));
    }
    add(format!("{LIGHTS}/1/range"), vector(&[5.0]));
    add(format!("{LIGHTS}/2/spot/innerConeAngle"), vector(&[0.3]));
    add(format!("{LIGHTS}/2/spot/outerConeAngle"), vector(&[0.9]));
    add("/nodes/3/translation".into(), vector(&[0.1, 0.4, 1.6]));
    add(ENVIRONMENT_POINTER.into(), real_in(&[4, 8, 3], 60, 0.2, 1.0));
    let view = View::look_at("", [0.31, 0.24, 2.6], [0.0; 3], [0.0, 1.0, 0.0], 0.7, (SIZE, SIZE)).unwrap();
    add("pose".into(), tensor(view.viewmat[..3].as_flattened(), &[3, 4]));
    add("intrinsics".into(), tensor(&view.intrinsics, &[4]));
    list
}

fn unwrapped<T>(r: lumigrad_raster::Result<T>) -> Result<T> {
    r.map_err(|e| match e {
        lumigrad_raster::Error::Core(e) => e,
        other => Error::shape("the renderer", &[], other.to_string()),
    })
}

/// The picture of the scene with all parameters bound.
fn picture(scene: &Scene, names: &[String], values: &[Var]) -> Result<Vec<Var>> {
    let (device, dtype) = (values[0].device().clone(), values[0].dtype());
    let renderer = unwrapped(Renderer::new(scene, &device, &Options { environment: None, dtype: Some(dtype) }))?;
    let mut bindings = Bindings::new();
    names.iter().zip(values).for_each(|(n, v)| bindings.bind(n.clone(), v.clone()));
    let (viewmat, intrinsics) = (bindings.get("pose").unwrap().clone(), bindings.get("intrinsics").unwrap().clone());
    let (width, height, near, far) = (SIZE, SIZE, 0.1, 10.0);
    let camera = Camera { viewmat, intrinsics, width, height, orthographic: false, near, far };
    let frame = unwrapped(renderer.frame(&bindings))?;
    Ok(vec![unwrapped(frame.render(&camera))?.image])
}

#[test]
fn the_derivative_by_each_parameter_is_that_of_finite_differences() {
    let scene = scene();
    let (names, values): (Vec<String>, Vec<Tensor>) = parameters(&scene).into_iter().unzip();
    for k in 0..names.len() {
        let others: Vec<usize> = (0..names.len()).filter(|&i| i != k).collect();
        // In f32 vertices are snapped elsewhere and derivatives of mip levels are noisy; the next test compares devices.
        Check::new(&names[k], |x| picture(&scene, &names, x))
            .fixed(&others)
            .step(1e-7)
            .f32_tolerance(0.05)
            .cpu_only()
            .run(&values);
    }
}

#[test]
fn devices_agree_on_a_whole_picture_and_its_derivatives() {
    let scene = scene();
    let (names, values): (Vec<String>, Vec<Tensor>) = parameters(&scene).into_iter().unzip();
    // In parts, because all tangents at once need more storage buffers than some adapters offer.
    let parts: [&[&str]; 4] = [
        &["/materials/0/pbr", "/materials/1"],
        &["/materials/0/normal", "/materials/0/occlusion", "/materials/0/emissive"],
        &["/meshes", "pose", "intrinsics"],
        &["/extensions", "/nodes", ENVIRONMENT_POINTER],
    ];
    for part in parts {
        let others: Vec<usize> =
            (0..names.len()).filter(|&k| !part.iter().any(|start| names[k].starts_with(start))).collect();
        assert!(others.len() < names.len());
        // The whole chain in f32: projection, mip levels and highlights each magnify rounding.
        Check::new("frame", |x| picture(&scene, &names, x)).step(1e-7).f32_tolerance(5e-3).fixed(&others).run(&values);
    }
}
