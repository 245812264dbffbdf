//! BRDFs of the caller's own in place of glTF's: pictures and derivatives.

use lumigrad_core::map::vector;
use lumigrad_core::{DType, Device, Error, Map, Result, Tape, Tensor, Var};
use lumigrad_raster::modular::{Lights, Points, shade, shade_by};
use lumigrad_raster::shading::lights::{UNBOUNDED, column, kind};
use lumigrad_raster::shading::{Brdf, Prefilter, Substance};
use lumigrad_raster::{Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::View;
use lumigrad_scene::environment::Environment;
use lumigrad_scene::{AlphaMode, Light, LightKind, Material, MeshData, Node, Scene, Specular, Transform};
use lumigrad_testkit::{Check, real_in};
use std::f64::consts::PI;
use std::sync::Arc;

const SIZE: usize = 20;

/// glTF's own formula, of base colour, metallic and roughness [5].
#[derive(Debug)]
struct Formula(Var);

impl Brdf for Formula {
    fn evaluate(&self, vectors: &Var) -> Result<Var> {
        let map = Map::cached("tests/formula", |m| {
            let [nx, ny, nz, vx, vy, vz, lx, ly, lz] = m.item::<9>("vectors");
            let [r, g, b, metallic, roughness] = m.uniform::<5>("numbers");
            let (normal, light) = ([nx, ny, nz], [lx, ly, lz]);
            let reflected = Substance::new([r, g, b], metallic, roughness).reflect(normal, [vx, vy, vz], light);
            m.output("brdf", &vector::scale(reflected, 1.0 / vector::dot(normal, light).max(1e-9)));
        });
        Ok(map.apply(&[vectors, &self.0])?.remove(0))
    }
}

/// The same from everywhere: colour / π.
#[derive(Debug)]
struct Lambert([f64; 3]);

impl Brdf for Lambert {
    fn evaluate(&self, vectors: &Var) -> Result<Var> {
        let row = Tensor::from_slice(&Device::cpu(), &self.0.map(|c| c / PI), &[1, 3])?;
        let row: Var = row.cast(vectors.dtype())?.to_device(vectors.device())?.into();
        row.broadcast_to(&[vectors.shape()[0], 3])
    }
}

/// A wavy sheet with emission below a lamp of each kind; a half-transparent one before its middle.
fn scene(material: Material) -> Scene {
    let mut scene = Scene::new("brdf");
    let mut glass = Material { alpha_mode: AlphaMode::Blend, ..material.clone() };
    glass.base_color_factor[3] = 0.5;
    let materials = [material, glass].map(|m| scene.add_material(&m).unwrap());
    for (k, material) in materials.into_iter().enumerate() {
        let (half, z) = if k == 0 { (1.7, 0.0) } else { (0.4, 0.6) };
        let mut mesh = MeshData { normals: Some(vec![]), ..Default::default() };
        for i in 0..36 {
            let (x, y) = (half * (0.4 * (i % 6) as f32 - 1.0), half * (0.4 * (i / 6) as f32 - 1.0));
            mesh.positions.push([x, y, z + 0.1 * (2.1 * x).sin() * (1.7 * y).cos()]);
            mesh.normals.as_mut().unwrap().push([-0.2 * (2.1 * x).cos(), 0.1, 1.0]);
        }
        mesh.triangles = (0..30).filter(|i| i % 6 < 5).flat_map(|i| [[i, i + 1, i + 7], [i, i + 7, i + 6]]).collect();
        let mesh = scene.add_mesh("sheet", &[(mesh, Some(material))]).unwrap();
        scene.add_node(&Node { mesh: Some(mesh), ..Default::default() }).unwrap();
    }
    let spot = LightKind::Spot { inner_cone_angle: 0.3, outer_cone_angle: 0.9 };
    for (k, (kind, intensity)) in
        [(LightKind::Directional, 1.5), (LightKind::Point, 4.0), (spot, 6.0)].into_iter().enumerate()
    {
        let light = Light { name: String::new(), color: [0.9, 0.8, 0.7], intensity, range: Some(9.0), kind };
        let light = scene.add_light(&light).unwrap();
        let (translation, rotation) = ([0.6 * k as f32 - 0.5, 0.4, 1.6], [0.98, -0.1, 0.15, 0.0]);
        let transform = Transform::Trs { translation, rotation, scale: [1.0; 3] };
        scene.add_node(&Node { light: Some(light), transform, ..Default::default() }).unwrap();
    }
    scene
}

const NUMBERS: [f64; 5] = [0.8, 0.5, 0.3, 0.4, 0.5];

fn material() -> Material {
    let [r, g, b, metallic, roughness] = NUMBERS.map(|x| x as f32);
    Material {
        base_color_factor: [r, g, b, 1.0],
        metallic_factor: metallic,
        roughness_factor: roughness,
        emissive_factor: [0.2, 0.1, 0.15],
        double_sided: true,
        ..Default::default()
    }
}

fn camera(device: &Device, dtype: DType) -> Camera {
    let view = View::look_at("", [0.31, 0.24, 2.6], [0.0; 3], [0.0, 1.0, 0.0], 0.7, (SIZE, SIZE)).unwrap();
    Camera::new(&View { near: 0.1, far: 10.0, ..view }, device, dtype).unwrap()
}

fn picture(scene: &Scene, around: Option<Environment>, brdf: Option<Arc<dyn Brdf>>, device: &Device) -> Vec<f64> {
    let renderer = Renderer::new(scene, device, &Options { environment: around, dtype: None }).unwrap();
    let mut bindings = Bindings::new();
    for (material, brdf) in brdf.iter().flat_map(|b| [(0, b), (1, b)]) {
        bindings.reflect(material, brdf.clone());
    }
    let frame = renderer.frame(&bindings).unwrap();
    frame.render(&camera(device, DType::F32)).unwrap().image.tensor().to_f64_vec().unwrap()
}

fn farthest(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn gltfs_own_formula_as_another_brdf_draws_the_same_picture() {
    let scene = scene(material());
    for device in lumigrad_testkit::devices("another brdf") {
        let numbers = Tensor::from_slice(&device, &NUMBERS.map(|x| x as f32), &[1, 5]).unwrap();
        let own = picture(&scene, None, None, &device);
        let other = picture(&scene, None, Some(Arc::new(Formula(numbers.into()))), &device);
        assert!(farthest(&own, &[0.0].repeat(own.len())) > 0.5, "there is light");
        assert!(farthest(&own, &other) < 1e-5, "{} on {device}", farthest(&own, &other));
    }
}

#[test]
fn a_constant_brdf_is_the_diffuse_material_below_lamps_and_sky() {
    let specular = Specular { factor: 0.0, texture: None, color_factor: [1.0; 3], color_texture: None };
    let dull = Material { metallic_factor: 0.0, specular: Some(specular), ..material() };
    let scene = scene(dull);
    let lambert = || -> Option<Arc<dyn Brdf>> { Some(Arc::new(Lambert([0.8, 0.5, 0.3]))) };
    let cpu = Device::cpu();
    let own = |around: Option<Environment>| picture(&scene, around, None, &cpu);
    let other = |around: Option<Environment>| picture(&scene, around, lambert(), &cpu);
    assert!(farthest(&own(None), &other(None)) < 1e-5);
    // A sky that is bright on one side.
    let (width, height) = (32, 16);
    let data =
        (0..width * height).flat_map(|k| [1.0, 0.7, 0.4].map(|c| c * (1.0 + (k % width) as f32 / 32.0))).collect();
    let sky = Environment { width, height, data };
    let (a, b) = (own(Some(sky.clone())), other(Some(sky)));
    assert!(farthest(&a, &b) < 0.02, "{}", farthest(&a, &b));
}

/// Points, lamps and sky as `modular` takes them.
fn inputs() -> Vec<Tensor> {
    let n = 12;
    let mut list = vec![real_in(&[n, 3], 1, -0.5, 0.5)];
    list.extend((2..4).map(|seed| {
        let flat = real_in(&[n, 3], seed, -0.4, 0.4).to_f64_vec().unwrap();
        let up: Vec<f64> = flat.chunks(3).flat_map(|d| [d[0], d[1], 1.0 + d[2]]).collect();
        Tensor::from_slice(&Device::cpu(), &up, &[n, 3]).unwrap()
    }));
    let mut rows = [[0.0; column::COUNT]; 2];
    for (k, row) in rows.iter_mut().enumerate() {
        row[..4].copy_from_slice(&[0.9, 0.8, 0.7, 2.0]);
        row[column::RANGE] = if k == 0 { UNBOUNDED as f64 } else { 6.0 };
        row[column::POSITION..column::POSITION + 3].copy_from_slice(&[0.4, -0.3, 1.5]);
        row[column::DIRECTION..column::DIRECTION + 3].copy_from_slice(&[0.2, 0.1, -0.9]);
    }
    list.push(Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[2, column::COUNT]).unwrap());
    list.push(real_in(&[4, 8, 3], 60, 0.2, 1.0));
    list.push(Tensor::from_slice(&Device::cpu(), &NUMBERS, &[1, 5]).unwrap());
    list
}

fn lit(x: &[Var]) -> lumigrad_raster::Result<Var> {
    let kinds = Tensor::from_slice(x[0].device(), &[kind::DIRECTIONAL, kind::POINT], &[2, 1])?;
    let sky = Prefilter::new(4, 8, x[0].device(), x[0].dtype())?.apply(&x[4])?;
    shade_by(&Formula(x[5].clone()), [&x[0], &x[1], &x[2]], Some(Lights { table: &x[3], kinds: &kinds }), Some(&sky))
}

#[test]
fn derivatives_by_points_lamps_sky_and_the_brdf_are_right_on_both_devices() {
    let of = |x: &[Var]| {
        lit(x).map(|v| vec![v]).map_err(|e| match e {
            lumigrad_raster::Error::Core(e) => e,
            other => Error::shape("shading", &[], other.to_string()),
        })
    };
    // Ranges have slopes of another size, and unbounded ones none.
    Check::new("shade_by", of).f32_tolerance(1e-3).run(&inputs());
}

#[test]
fn points_are_lit_alike_by_both_functions() {
    let x: Vec<Var> = inputs().into_iter().map(Var::from).collect();
    let (n, cpu) = (x[0].shape()[0], Device::cpu());
    let kinds = Tensor::from_slice(&cpu, &[kind::DIRECTIONAL, kind::POINT], &[2, 1]).unwrap();
    let lights = Some(Lights { table: &x[3], kinds: &kinds });
    let color: Var = Tensor::from_slice(&cpu, &NUMBERS[..3].repeat(n), &[n, 3]).unwrap().into();
    let rest: Var = Tensor::from_slice(&cpu, &NUMBERS[3..].repeat(n), &[n, 2]).unwrap().into();
    let points = Points { position: &x[0], normal: &x[1], view: &x[2], base_color: &color, metallic_roughness: &rest };
    let own = shade(points, lights, None).unwrap().tensor().to_f64_vec().unwrap();
    let brdf = Formula(x[5].clone());
    let other = shade_by(&brdf, [&x[0], &x[1], &x[2]], lights, None).unwrap().tensor().to_f64_vec().unwrap();
    assert!(farthest(&own, &other) < 1e-12 && own.iter().any(|x| *x > 0.1), "{own:?} {other:?}");
}

#[test]
fn a_picture_has_gradients_by_what_a_brdf_holds() {
    let scene = scene(material());
    let cpu = Device::cpu();
    let loss = |numbers: Var| {
        let options = Options { environment: None, dtype: Some(DType::F64) };
        let renderer = Renderer::new(&scene, &cpu, &options).unwrap();
        let mut bindings = Bindings::new();
        bindings.reflect(0, Arc::new(Formula(numbers)));
        let image = renderer.frame(&bindings).unwrap().render(&camera(&cpu, DType::F64)).unwrap().image;
        image.square().unwrap().sum().unwrap()
    };
    let tensor = |numbers: [f64; 5]| Tensor::from_slice(&cpu, &numbers, &[1, 5]).unwrap();
    let tape = Tape::new();
    let numbers = tape.variable(tensor(NUMBERS));
    let slopes = tape.backward(&loss(numbers.clone())).unwrap().take(&numbers).unwrap().to_vec::<f64>().unwrap();
    for k in 0..5 {
        let at = |h: f64| {
            let mut moved = NUMBERS;
            moved[k] += h;
            loss(tensor(moved).into()).tensor().item().unwrap()
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        let ratio = slopes[k] / difference;
        assert!(difference.abs() > 1.0 && (ratio - 1.0).abs() < 1e-6, "{k}: {}, expected {difference}", slopes[k]);
    }
}

#[test]
fn brdfs_of_a_wrong_shape_are_told() {
    #[derive(Debug)]
    struct Wrong;
    impl Brdf for Wrong {
        fn evaluate(&self, vectors: &Var) -> Result<Var> {
            Ok(vectors.clone())
        }
    }
    let x: Vec<Var> = inputs().into_iter().map(Var::from).collect();
    let kinds = Tensor::from_slice(&Device::cpu(), &[kind::DIRECTIONAL, kind::POINT], &[2, 1]).unwrap();
    let lights = Some(Lights { table: &x[3], kinds: &kinds });
    let said = shade_by(&Wrong, [&x[0], &x[1], &x[2]], lights, None).unwrap_err().to_string();
    assert!(said.contains("a BRDF") && said.contains("[12, 3]"), "{said}");
}
