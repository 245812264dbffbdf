//! Shading against the f64 reference of the glTF BRDF, and derivatives of all its parts.

use lumigrad_core::map::{Builder, Expr, vector};
use lumigrad_core::{CallParams, DType, Device, Map, Tape, Tensor, Var};
use lumigrad_raster::shading::lights::{column, kind};
use lumigrad_raster::shading::{
    Clearcoat, Dielectric, EnvironmentTables, KERNELS, Prefilter, PrefilteredEnvironment, Substance, environment,
    punctual_radiance,
};
use lumigrad_scene::environment::{Environment, irradiance};
use lumigrad_testkit::{Check, data_dir, read_npz, real, real_in};
use serde_json::Value;
use std::path::Path;

/// The lit sphere of the reference: visible pixels with their normals (= positions) and view vectors.
struct Sphere {
    pixels: Vec<usize>,
    normals: Tensor,
    views: Tensor,
    scene: Value,
}

struct Material {
    name: String,
    row: [f32; 5],
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

impl Sphere {
    fn load(dir: &Path) -> Self {
        let scene: Value = serde_json::from_slice(&std::fs::read(dir.join("scene.json")).unwrap()).unwrap();
        let camera = &scene["camera"];
        let m: Vec<Vec<f64>> = camera["transform_matrix"].as_array().unwrap().iter().map(numbers).collect();
        let value = |k: &str| camera[k].as_f64().unwrap();
        let (w, h) = (value("w") as usize, value("h") as usize);
        let (mut pixels, mut normals, mut views) = (vec![], vec![], vec![]);
        for pixel in 0..w * h {
            let x = ((pixel % w) as f64 + 0.5 - value("cx")) / value("fl_x");
            let y = -((pixel / w) as f64 + 0.5 - value("cy")) / value("fl_y");
            let d: [f64; 3] = std::array::from_fn(|r| m[r][0] * x + m[r][1] * y - m[r][2]);
            let o: [f64; 3] = std::array::from_fn(|r| m[r][3]);
            let dot = |a: [f64; 3], b: [f64; 3]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let (a, b, c) = (dot(d, d), dot(o, d), dot(o, o) - 1.0);
            let root = b * b - a * c;
            if root > 0.0 {
                let t = (-b - root.sqrt()) / a;
                pixels.push(pixel);
                normals.extend((0..3).map(|k| o[k] + t * d[k]));
                views.extend((0..3).map(|k| -d[k] / a.sqrt()));
            }
        }
        let n = pixels.len();
        let tensor = |data: &[f64]| Tensor::from_slice(&Device::cpu(), data, &[n, 3]).unwrap();
        Self { pixels, normals: tensor(&normals), views: tensor(&views), scene }
    }

    fn materials(&self) -> Vec<Material> {
        let list = self.scene["materials"].as_array().unwrap();
        list.iter()
            .map(|m| {
                let c = numbers(&m["base_color"]);
                let value = |k: &str| m[k].as_f64().unwrap() as f32;
                let row = [c[0] as f32, c[1] as f32, c[2] as f32, value("metallic"), value("roughness")];
                Material { name: m["name"].as_str().unwrap().into(), row }
            })
            .collect()
    }

    /// Reference radiance of a material at the visible pixels.
    fn reference(&self, file: &Path) -> Vec<Vec<f64>> {
        let array = &read_npz(file)["radiance"];
        let size = array.shape[1] * array.shape[2] * 3;
        let at = |m: usize, p: usize, c: usize| array.data[m * size + 3 * p + c];
        (0..array.shape[0])
            .map(|m| self.pixels.iter().flat_map(|&p| (0..3).map(move |c| (p, c))).map(|(p, c)| at(m, p, c)).collect())
            .collect()
    }

    /// Runs a shading map in f32.
    fn shade(&self, map: &Map, material: &Material, tables: &[&Tensor]) -> Vec<f64> {
        let f32s = |t: &Tensor| t.cast(DType::F32).unwrap();
        let row = Tensor::from_slice(&Device::cpu(), &material.row, &[5]).unwrap();
        let (normals, views) = (f32s(&self.normals), f32s(&self.views));
        let mut inputs = vec![&normals, &views, &row];
        inputs.extend(tables);
        map.run(&inputs, &CallParams::default()).unwrap()[0].to_f64_vec().unwrap()
    }
}

fn substance(row: [Expr; 5]) -> Substance {
    Substance::new([row[0], row[1], row[2]], row[3], row[4])
}

/// normal, view, material; then what `shade` declares.
fn shading_map(name: &str, shade: impl FnOnce(&mut Builder, &Substance, [Expr; 3], [Expr; 3]) -> [Expr; 3]) -> Map {
    Map::new(name, |m| {
        let (n, v) = (m.item("normal"), m.item("view"));
        let material = substance(m.uniform("material"));
        // Stored normals are rounded: the shading expects unit vectors.
        let radiance = shade(m, &material, vector::normalize(n), vector::normalize(v));
        m.output("radiance", &radiance);
    })
}

fn light_row(name: &str, light: &Value) -> ([f32; column::COUNT], i32) {
    let mut row = [0.0; column::COUNT];
    let mut put = |at: usize, v: &Value| match v {
        Value::Array(_) => numbers(v).iter().enumerate().for_each(|(k, x)| row[at + k] = *x as f32),
        Value::Number(x) => row[at] = x.as_f64().unwrap() as f32,
        _ => {}
    };
    put(column::COLOR, &light["color"]);
    put(column::INTENSITY, &light["intensity"]);
    put(column::RANGE, &light["range"]);
    put(column::POSITION, &light["position"]);
    put(column::DIRECTION, &light["direction"]);
    put(column::INNER_CONE, &light["inner"]);
    put(column::OUTER_CONE, &light["outer"]);
    let kind = match name {
        "directional" => kind::DIRECTIONAL,
        "point" => kind::POINT,
        _ => kind::SPOT,
    };
    (row, kind)
}

#[test]
fn punctual_lights_match_the_reference_brdf() {
    let Some(data) = data_dir("punctual lights") else { return };
    let dir = data.join("render_reference/shading");
    let sphere = Sphere::load(&dir);
    let map = shading_map("test/punctual", |m, material, n, v| {
        let (lights, kinds) = (m.table("lights"), m.table_int("kinds"));
        punctual_radiance(lights, kinds, 1, material, n, n, v)
    });
    for name in ["directional", "point", "spot"] {
        let (row, kind) = light_row(name, &sphere.scene["lights"][name]);
        let lights = Tensor::from_slice(&Device::cpu(), &row, &[1, column::COUNT]).unwrap();
        let kinds = Tensor::from_slice(&Device::cpu(), &[kind], &[1, 1]).unwrap();
        let reference = sphere.reference(&dir.join(format!("{name}.npz")));
        for (material, expected) in sphere.materials().iter().zip(&reference) {
            let found = sphere.shade(&map, material, &[&lights, &kinds]);
            let peak = expected.iter().fold(0f64, |m, x| m.max(*x));
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            // Relative to the value, with the mean as the floor: near the terminator N·L itself is rounded.
            let error = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(mean);
            let worst = found.iter().zip(expected).map(error).fold(0.0, f64::max);
            println!("{name} {}: worst relative error {worst:.1e}, peak {peak:.2}", material.name);
            let limit = if material.row[4] < 0.2 { 1e-3 } else { 1e-4 };
            assert!(worst < limit, "{name} {}: {worst}", material.name);
        }
    }
}

fn prefiltered(map: &Environment) -> PrefilteredEnvironment {
    let (h, w) = (map.height, map.width);
    let texels = Tensor::from_slice(&Device::cpu(), &map.data, &[h, w, 3]).unwrap();
    Prefilter::new(h, w, &Device::cpu(), DType::F32).unwrap().apply(&texels.into()).unwrap()
}

fn environment_map() -> Map {
    shading_map("test/environment", |m, material, n, v| {
        EnvironmentTables::declare(m).reflect(material, n, v, 1.0.into())
    })
}

/// Mean ratio and PSNR (peak 1, values clipped to 1).
fn compare(found: &[f64], expected: &[f64]) -> (f64, f64) {
    let sum = |x: &[f64]| x.iter().sum::<f64>();
    let square = |(a, b): (&f64, &f64)| (a.min(1.0) - b.min(1.0)).powi(2);
    let mse = found.iter().zip(expected).map(square).sum::<f64>() / found.len() as f64;
    (sum(found) / sum(expected), -10.0 * mse.log10())
}

fn inputs(e: &PrefilteredEnvironment) -> [&Tensor; 3] {
    e.inputs().map(|v| v.tensor())
}

#[test]
fn a_furnace_reflects_what_the_reference_reflects_and_metals_at_most_one() {
    let Some(data) = data_dir("furnace") else { return };
    let dir = data.join("render_reference/shading");
    let (sphere, map) = (Sphere::load(&dir), environment_map());
    let light = prefiltered(&Environment::constant([1.0; 3]));
    let reference = sphere.reference(&dir.join("furnace.npz"));
    for (material, expected) in sphere.materials().iter().zip(&reference) {
        let found = sphere.shade(&map, material, &inputs(&light));
        let (ratio, psnr) = compare(&found, expected);
        println!("furnace {}: mean ratio {ratio:.5}, PSNR {psnr:.1} dB", material.name);
        assert!((ratio - 1.0).abs() < 2e-3 && psnr > 55.0, "{}: {ratio} {psnr}", material.name);
        if material.row[3] == 1.0 {
            assert!(found.iter().all(|x| *x < 1.0 + 1e-5), "{}", material.name);
        }
    }
}

#[test]
fn environment_light_matches_the_reference_in_the_mean() {
    let Some(data) = data_dir("environment light") else { return };
    let dir = data.join("render_reference/shading");
    let (sphere, map) = (Sphere::load(&dir), environment_map());
    let picture = Environment::load(&data.join("envmaps/spiaggia_di_mondello_1k.hdr")).unwrap();
    let light = prefiltered(&picture);
    let reference = sphere.reference(&dir.join("environment.npz"));
    for (material, expected) in sphere.materials().iter().zip(&reference) {
        let found = sphere.shade(&map, material, &inputs(&light));
        let (ratio, psnr) = compare(&found, expected);
        println!("environment {}: mean ratio {ratio:.4}, PSNR {psnr:.1} dB", material.name);
        assert!((ratio - 1.0).abs() < 0.05 && psnr > 20.0, "{}: {ratio} {psnr}", material.name);
    }
}
