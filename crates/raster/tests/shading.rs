//! Shading against the f64 reference of the glTF BRDF, and derivatives of all its parts.

use lumigrad_core::map::{Builder, Expr, vector};
use lumigrad_core::{CallParams, DType, Device, Map, Tape, Tensor, Var};
use lumigrad_raster::shading::lights::{UNBOUNDED, column, kind};
use lumigrad_raster::shading::{
    Clearcoat, Dielectric, EnvironmentTables, Prefilter, PrefilteredEnvironment, Substance, environment,
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
    row[column::RANGE] = UNBOUNDED;
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

#[test]
fn the_albedo_table_agrees_with_the_published_one() {
    let Some(data) = data_dir("split-sum table") else { return };
    let bytes = std::fs::read(data.join("envmaps/bsdf_256_256.bin")).unwrap();
    let published: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let mut worst: f64 = 0.0;
    for k in (20..256).step_by(20) {
        for i in (8..256).step_by(8) {
            let (nv, roughness) = ((i as f64 + 0.5) / 256.0, (k as f64 + 0.5) / 256.0);
            let [a, b, ..] = environment::brdf_table::specular(nv, roughness);
            let at = 2 * (k * 256 + i);
            worst = worst.max((published[at] as f64 - a).abs()).max((published[at + 1] as f64 - b).abs());
        }
    }
    println!("albedo table: largest difference {worst:.1e}");
    assert!(worst < 0.02, "{worst}");
}

/// Every extension at once.
fn layered(row: [Expr; 14], coat_normal: [Expr; 3]) -> Substance {
    let mut s = substance([row[0], row[1], row[2], row[3], row[4]]);
    s.dielectric = Dielectric::new(row[5] + 1.0, row[6], [row[7], row[8], row[9]]);
    s.clearcoat = Some(Clearcoat { factor: row[10], roughness: row[11], normal: coat_normal });
    s
}

#[test]
fn derivatives_of_the_brdf_reach_all_inputs_also_below_the_horizon() {
    let map = Map::new("test/brdf", |m| {
        let unit = |v| vector::normalize(v);
        let (n, c) = (unit(m.item::<3>("normal")), unit(m.item::<3>("coat")));
        let (v, l) = (unit(m.item::<3>("view")), unit(m.item::<3>("light")));
        let radiance = layered(m.item("material"), c).reflect(n, v, l);
        m.output("radiance", &radiance);
    });
    let n = 200;
    let mut inputs: Vec<Tensor> = (1..5).map(|seed| real(&[n, 3], seed)).collect();
    inputs.push(real_in(&[n, 14], 9, 0.35, 0.95));
    // Highlights magnify the rounding of normals.
    Check::new("brdf", |x| map.apply(&x.iter().collect::<Vec<_>>())).f32_tolerance(1e-3).run(&inputs);
}

#[test]
fn derivatives_reach_all_parameters_of_lights() {
    let map = Map::new("test/lights", |m| {
        let (n, v) = (vector::normalize(m.item::<3>("normal")), vector::normalize(m.item::<3>("view")));
        let (p, material) = (m.item::<3>("position"), substance(m.uniform("material")));
        let (lights, kinds) = (m.table("lights"), m.table_int("kinds"));
        let radiance = punctual_radiance(lights, kinds, 4, &material, p, n, v);
        m.output("radiance", &radiance);
    });
    let far = UNBOUNDED as f64;
    #[rustfmt::skip]
    let rows = [
        [1.0, 0.9, 0.8, 3.0, far, 0.0, 0.0, 0.0, -0.5, -0.7, -0.4, 0.0, 0.0],
        [0.9, 1.0, 0.8, 20.0, 3.0, 1.6, 1.4, 1.8, 0.0, 0.0, -1.0, 0.0, 0.0],
        [0.7, 1.0, 0.8, 20.0, far, -1.6, 1.4, -1.8, 0.0, 0.0, -1.0, 0.0, 0.0],
        [1.0, 1.0, 0.7, 40.0, 4.0, -1.0, 1.5, 2.5, 0.42, -0.46, -0.72, 0.2, 0.8f64],
    ];
    let cpu = Device::cpu();
    let lights = Tensor::from_slice(&cpu, rows.as_flattened(), &[4, column::COUNT]).unwrap();
    let kinds = Tensor::from_slice(&cpu, &[kind::DIRECTIONAL, kind::POINT, kind::POINT, kind::SPOT], &[4, 1]).unwrap();
    let items = [real(&[200, 3], 1), real(&[200, 3], 2), real_in(&[200, 3], 3, -0.8, 0.8), real_in(&[5], 4, 0.4, 0.8)];
    let inputs = [&items[..], &[lights, kinds]].concat();
    // Highlights magnify the rounding of normals.
    Check::new("lights", |x| map.apply(&x.iter().collect::<Vec<_>>())).f32_tolerance(1e-3).run(&inputs);
}

#[test]
fn derivatives_of_environment_light_reach_texels_material_and_geometry() {
    let map = Map::new("test/environment light", |m| {
        let (n, v) = (vector::normalize(m.item::<3>("normal")), vector::normalize(m.item::<3>("view")));
        let c = vector::normalize(m.item::<3>("coat"));
        let (material, [occlusion]) = (layered(m.item("material"), c), m.item("occlusion"));
        let radiance = EnvironmentTables::declare(m).reflect(&material, n, v, occlusion);
        m.output("radiance", &radiance);
    });
    let light = Prefilter::new(4, 8, &Device::cpu(), DType::F64).unwrap().apply(&real(&[4, 8, 3], 3).into()).unwrap();
    let n = 100;
    let mut items: Vec<Tensor> = (1..4).map(|seed| real(&[n, 3], seed)).collect();
    items.extend([real_in(&[n, 14], 9, 0.35, 0.95), real_in(&[n, 1], 5, 0.2, 1.0)]);
    let tables = light.inputs().map(|v| v.tensor().clone());
    let inputs = [&items[..], &tables].concat();
    // Interpolation between random texels: a place is rounded relative to the whole grid.
    Check::new("environment light", |x| map.apply(&x.iter().collect::<Vec<_>>()))
        .fixed(&[7])
        .f32_tolerance(1e-3)
        .run(&inputs);
}

#[test]
fn prefiltering_is_linear_with_exact_derivatives() {
    Check::new("prefilter", |x| {
        let p = Prefilter::new(4, 8, x[0].device(), x[0].dtype())?;
        Ok(vec![p.apply(&x[0])?.texels])
    })
    .run(&[real(&[4, 8, 3], 1)]);
}

#[test]
fn recorded_maps_are_prefiltered_as_constant_ones() {
    let p = Prefilter::new(16, 32, &Device::cpu(), DType::F64).unwrap();
    let map = real_in(&[16, 32, 3], 1, 0.0, 1.0);
    let once = p.apply(&map.clone().into()).unwrap().texels;
    let recorded = p.apply(&Tape::new().variable(map)).unwrap().texels;
    let (a, b) = (once.tensor().to_f64_vec().unwrap(), recorded.tensor().to_f64_vec().unwrap());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
}

/// Looks directions up, [N, 3] → irradiance / π and radiance of roughness 0 and 0.5, [N, 9].
fn lookup(e: &PrefilteredEnvironment, directions: &Var) -> Var {
    let map = Map::new("test/lookup", |m| {
        let d = m.item("direction");
        let e = EnvironmentTables::declare(m);
        let parts = [e.diffuse(d), e.specular(d, 0.0.into()), e.specular(d, 0.5.into())];
        m.output("values", &parts.concat());
    });
    let mut inputs = vec![directions];
    inputs.extend(e.inputs());
    map.apply(&inputs).unwrap().remove(0)
}

/// A smooth map that tells all directions apart.
fn smooth_map() -> Environment {
    let (width, height) = (128, 64);
    let data = (0..width * height)
        .flat_map(|i| {
            let at = [(i % width) as f64 + 0.5, (i / width) as f64 + 0.5];
            let uv = [at[0] / width as f64, at[1] / height as f64];
            let d = lumigrad_scene::environment::direction_of_uv(uv);
            [1.0 + d[0], 1.0 + d[1] * d[2], 1.0 + d[2]].map(|x| x as f32)
        })
        .collect();
    Environment { width, height, data }
}

#[test]
fn lookups_agree_with_the_map_and_its_spherical_harmonics() {
    let map = smooth_map();
    let light = prefiltered(&map);
    let random = real(&[200, 3], 8).to_f64_vec().unwrap();
    let unit = |d: &[f64]| -> [f64; 3] {
        let l = d.iter().map(|x| x * x).sum::<f64>().sqrt();
        [d[0] / l, d[1] / l, d[2] / l]
    };
    let directions: Vec<f32> = random.chunks(3).flat_map(|d| unit(d).map(|x| x as f32)).collect();
    let found = lookup(&light, &Tensor::from_slice(&Device::cpu(), &directions, &[200, 3]).unwrap().into());
    let sh = map.irradiance_sh();
    for (d, row) in random.chunks(3).zip(found.tensor().to_f64_vec().unwrap().chunks(9)) {
        let (radiance, e) = (map.radiance(unit(d)), irradiance(&sh, unit(d)));
        // The chords of 16 cells round the cosine off by a hundredth.
        for c in 0..3 {
            assert!((row[c] - e[c] / std::f64::consts::PI).abs() < 0.02, "{d:?} {row:?} {e:?}");
            assert!((row[3 + c] - radiance[c]).abs() < 0.01, "{d:?} {row:?} {radiance:?}");
        }
    }
}

#[test]
fn poles_and_seams_are_continuous_with_finite_derivatives() {
    let light = prefiltered(&smooth_map());
    let e = 1e-6f32;
    let pairs = [
        ([0.0, 1.0, 0.0], [e, 1.0, -e]),
        ([0.0, -1.0, 0.0], [-e, -1.0, e]),
        ([-1.0, 0.0, e], [-1.0, 0.0, -e]),
        ([-1.0, e, 0.0], [-1.0, -e, 0.0]),
        ([e, -0.5, 0.7], [-e, -0.5, 0.7]),
        ([0.6, -0.5, e], [0.6, -0.5, -e]),
        ([0.0, 0.0, 1.0], [e, -e, 1.0]),
    ];
    let flat: Vec<f32> = pairs.iter().flat_map(|(a, b)| [*a, *b]).flatten().collect();
    let tape = Tape::new();
    let directions = tape.variable(Tensor::from_slice(&Device::cpu(), &flat, &[2 * pairs.len(), 3]).unwrap());
    let values = lookup(&light, &directions);
    for (k, rows) in values.tensor().to_f64_vec().unwrap().chunks(18).enumerate() {
        assert!((0..9).all(|c| (rows[c] - rows[9 + c]).abs() < 1e-4), "{:?}: {rows:?}", pairs[k]);
    }
    let gradient = tape.backward(&values.sum().unwrap()).unwrap().take(&directions).unwrap();
    assert!(gradient.to_f64_vec().unwrap().iter().all(|g| g.abs() < 100.0));
}
