//! What users do with the file of a trained field: meshes, pictures, sounds; and files that are none.

mod common;

use common::Run;
use lumigrad::core::{Device, Tensor};
use lumigrad::field::{Activation, Field, Model};
use lumigrad::geometry::Topology;
use lumigrad::scene::camera::View;
use lumigrad::scene::mesh::load_mesh;
use lumigrad::scene::picture::load_exr_channels;
use serde_json::Value;
use std::fs;
use std::path::Path;

type Point = [f64; 3];

/// Radii of a torus around z in its field's domain, and where that lies.
const RADII: [f64; 2] = [0.5, 0.2];
const CENTRE: Point = [1.0, 2.0, 3.0];
const SCALE: f64 = 2.0;

/// A network of squares with these weights [in, out] and biases.
fn squares(layers: &[(Vec<f32>, Vec<f32>)], facts: &[(&str, &str)]) -> Model {
    let (width, depth) = (layers[0].1.len(), layers.len() - 1);
    let dim = layers[0].0.len() / width;
    let field = Field { activation: Activation::Square, ..Field::siren(dim, 1, width, depth) };
    let arrays = layers.iter().flat_map(|(weight, bias)| [weight, bias]);
    let values = field.shapes().into_iter().zip(arrays);
    let values = values.map(|((_, shape), v)| Tensor::from_slice(&Device::cpu(), v, &shape).unwrap()).collect();
    Model { field, values, facts: facts.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect() }
}

fn place() -> [(&'static str, &'static str); 3] {
    [("kind", "sdf"), ("centre", "[1.0, 2.0, 3.0]"), ("scale", "2")]
}

/// (x² + y² + z² + R² − r²)² − 4R²(x² + y²), exactly: 4u is (u + 1)² − (u − 1)².
fn torus() -> Model {
    let [big, small] = RADII.map(|r| (r * r) as f32);
    let identity = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let sums = vec![1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0];
    let layers = [(identity, vec![0.0; 3]), (sums, vec![big - small, 1.0, -1.0]), (vec![1.0, -big, big], vec![0.0])];
    squares(&layers, &place())
}

/// The signed distance to that torus in the world, and its gradient.
fn distance(p: Point) -> (f64, Point) {
    let [x, y, z] = [0, 1, 2].map(|c| (p[c] - CENTRE[c]) / SCALE);
    let ring = x.hypot(y);
    let tube = (ring - RADII[0]).hypot(z);
    let across = (ring - RADII[0]) / tube;
    ((tube - RADII[1]) * SCALE, [across * x / ring, across * y / ring, z / tube])
}

fn write(folder: &Path, name: &str, model: &Model) {
    fs::write(folder.join(name), model.to_bytes().unwrap()).unwrap();
}

/// Runs on the CPU, unless a device is named.
fn run(folder: &Path, words: &str) -> Run {
    let mut all: Vec<&str> = words.split_whitespace().chain(["--json"]).collect();
    if !all.contains(&"--device") {
        all.extend(["--device", "cpu"]);
    }
    Run::new(folder, &all)
}

fn done(folder: &Path, words: &str) -> Value {
    let run = run(folder, words);
    assert_eq!(run.code, 0, "{words}: {}{}", run.out, run.err);
    run.json()
}

fn fails(folder: &Path, words: &str, code: i32, said: &[&str]) {
    let run = run(folder, words);
    assert_eq!(run.code, code, "{words}: {}{}", run.out, run.err);
    assert!(!run.err.contains("panicked"), "{words}: {}", run.err);
    let error = &run.json()["error"];
    let text = format!("{} {} {}", error["message"], error["location"], error["help"]).replace("\\\"", "\"");
    said.iter().for_each(|s| assert!(text.contains(s), "{words} says {s:?}: {text}"));
}

fn dot(a: Point, b: Point) -> f64 {
    (0..3).map(|c| a[c] * b[c]).sum()
}

#[test]
fn every_method_has_the_surface_of_a_field() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "torus.safetensors", &torus());
    for (method, off) in [("mc", 3e-3), ("mt", 8e-3), ("dc", 6e-3), ("flexicubes", 0.012), ("tsdf", 0.03)] {
        let found = done(folder, &format!("mesh torus.safetensors --resolution 64 --method {method} -o {method}.ply"));
        let metric = |name: &str| found["metrics"][name].as_f64().unwrap_or(f64::NAN);
        let found = ["manifold", "watertight", "genus", "n_components"].map(metric);
        assert_eq!(found, [1.0; 4], "{method}");
        let mesh = load_mesh(&folder.join(format!("{method}.ply"))).unwrap();
        let farthest = mesh.positions.iter().map(|p| distance(p.map(f64::from)).0.abs()).fold(0.0, f64::max);
        assert!(farthest < off, "{method}: {farthest} off");
    }
}

#[test]
fn meshes_of_fields_are_manifold_and_where_the_surface_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "torus.safetensors", &torus());
    let job = "mesh torus.safetensors --resolution 64 --curvature --largest";
    for (file, normals) in [("a.ply", "polyfit"), ("b.obj", "ad"), ("c.glb", "polyfit"), ("d.gltf", "ad")] {
        let found = done(folder, &format!("{job} --normals {normals} -o {file}"));
        let metric = |name: &str| found["metrics"][name].as_f64().unwrap_or(f64::NAN);
        assert_eq!((metric("manifold"), metric("watertight"), metric("genus")), (1.0, 1.0, 1.0), "{file}");
        assert_eq!((metric("n_components"), metric("n_vertices")), (1.0, metric("n_triangles") / 2.0));
        // Between ½(1/r + 1/(R + r)) outside and ½(1/r − 1/(R − r)) inside, over the scale.
        let range = metric("curvature_range");
        assert!((1.2..1.62).contains(&range), "{file}: curvature {range}");
    }
    for file in ["a.ply", "b.obj"] {
        let mesh = load_mesh(&folder.join(file)).unwrap();
        assert!(Topology::welded(&mesh.positions, &mesh.triangles).unwrap().manifold());
        let (normals, colours) = (mesh.normals.unwrap(), mesh.colors.unwrap());
        let (mut outer, mut inner) = (0.0f32, 1.0f32);
        for ((p, n), colour) in mesh.positions.iter().zip(&normals).zip(&colours) {
            let (off, gradient) = distance(p.map(f64::from));
            assert!(off.abs() < 3e-3, "{file}: {p:?} is {off} off");
            let turned = dot(n.map(f64::from), gradient).min(1.0).acos().to_degrees();
            // Marching cubes leaves vertices off the surface by that much.
            assert!(turned < 0.5, "{file}: the normal at {p:?} is {turned}° off");
            let ring = ((p[0] - 1.0) as f64).hypot((p[1] - 2.0) as f64) / SCALE;
            if ring > 0.69 {
                outer = outer.max(colour[2]);
            } else if ring < 0.31 {
                inner = inner.min(colour[2]);
            }
        }
        // The outside bulges more: it is redder.
        assert!(outer < inner, "{file}: blue {outer} outside, {inner} inside");
    }
    let eval = done(folder, "eval c.glb --against a.ply --samples 2000");
    assert!(eval["metrics"]["chamfer_percent"].as_f64().unwrap() < 1e-4);
}

/// A camera that looks at the torus from above, as a file.
fn camera(folder: &Path, size: usize) -> View {
    let angle = 0.5f64;
    let view = View::look_at("above", [2.0, -2.5, 6.5], CENTRE, [0.0, 0.0, 1.0], angle, (size, size)).unwrap();
    let matrix = serde_json::json!(view.to_opengl());
    let frames = serde_json::json!([{ "file_path": "above.png", "transform_matrix": matrix }]);
    let file = serde_json::json!({ "camera_angle_x": angle, "w": size, "h": size, "frames": frames });
    fs::write(folder.join("cameras.json"), file.to_string()).unwrap();
    view
}

/// Channels of an EXR file, interleaved by pixel in the order of `names`.
fn channels(path: &Path, names: &[&str]) -> Vec<Vec<f32>> {
    let found = load_exr_channels(path).unwrap();
    let channel = |name: &&str| found.list.iter().find(|(n, _)| n == name).unwrap().1.clone();
    names.iter().map(channel).collect()
}

#[test]
fn rays_meet_the_surface_where_it_is() {
    const SIZE: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "torus.safetensors", &torus());
    let view = camera(folder, SIZE);
    let job = format!("render torus.safetensors --camera cameras.json --size {SIZE}x{SIZE} --aov depth,normal,mask");
    for (normals, tolerance) in [("ad", 0.05), ("polyfit", 0.3)] {
        done(folder, &format!("{job} --normals {normals} -o {normals}"));
        let exr = |aov: &str, names: &[&str]| channels(&folder.join(normals).join(format!("above_{aov}.exr")), names);
        let (depths, seen) = (exr("depth", &["Z"]), exr("normal", &["X", "Y", "Z"]));
        let mask = exr("mask", &["Y"]);
        let (mut hits, mut differing) = (0, 0);
        for pixel in 0..SIZE * SIZE {
            let at = [(pixel % SIZE) as f64 + 0.5, (pixel / SIZE) as f64 + 0.5];
            // Sphere tracing of the exact distance.
            let mut depth = 0.0;
            let point = |depth: f64| view.unproject(at, depth).unwrap();
            let step = distance_between(point(1.0), point(0.0));
            while depth < 20.0 && distance(point(depth)).0 > 1e-9 {
                depth += distance(point(depth)).0 / step;
            }
            let hit = depth < 20.0;
            if hit != (mask[0][pixel] == 1.0) {
                differing += 1;
                continue;
            }
            if !hit {
                assert_eq!((depths[0][pixel], seen[0][pixel]), (0.0, 0.0));
                continue;
            }
            hits += 1;
            let error = (f64::from(depths[0][pixel]) - depth).abs();
            let normal = [0, 1, 2].map(|c| f64::from(seen[c][pixel]));
            let facing = -dot(normal, [0, 1, 2].map(|c| point(1.0)[c] - point(0.0)[c])) / step;
            assert!(error * facing < 1e-4, "{normals}: depth {}, expected {depth}", depths[0][pixel]);
            let turned = dot(normal, distance(point(depth)).1).min(1.0).acos().to_degrees();
            assert!(turned * facing < tolerance, "{normals}: a normal is {turned}° off");
        }
        assert!(hits > SIZE * SIZE / 5 && differing <= 1, "{hits} hits, {differing} beside the outline");
    }
}

fn distance_between(a: Point, b: Point) -> f64 {
    let d = [0, 1, 2].map(|c| a[c] - b[c]);
    dot(d, d).sqrt()
}

#[test]
fn both_devices_see_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "torus.safetensors", &torus());
    let job = "render torus.safetensors --size 32x32 --camera orbit:1 --aov depth,normal";
    done(folder, &format!("{job} -o cpu"));
    let gpu = run(folder, &format!("{job} --device gpu:software -o gpu"));
    if gpu.code != 0 && std::env::var_os("LUMIGRAD_REQUIRE_GPU").is_none() {
        return println!("SKIPPED: both_devices_see_the_same: {}", gpu.err);
    }
    assert_eq!(gpu.code, 0, "{}", gpu.err);
    for (aov, names) in [("depth", &["Z"][..]), ("normal", &["X", "Y", "Z"])] {
        let of = |device: &str| channels(&folder.join(device).join(format!("orbit_000_{aov}.exr")), names).concat();
        let (a, b) = (of("cpu"), of("gpu"));
        // A ray beside the outline may see it or not.
        let differing = a.iter().zip(&b).filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
        assert!(differing <= names.len(), "{aov}: {differing} of {} numbers differ", a.len());
    }
}

#[test]
fn surfaces_are_shown_in_four_ways() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "torus.safetensors", &torus());
    let mut pictures = vec![];
    for shading in ["lit", "normals", "curvature", "mirror"] {
        let job = "render torus.safetensors --size 32x24 --rays 2";
        let found = done(folder, &format!("{job} --shading {shading} -o {shading}"));
        assert_eq!(found["metrics"]["n_files"], 1.0);
        pictures.push(image::open(folder.join(shading).join("orbit_000.png")).unwrap().to_rgba8());
    }
    let at = |k: usize, x: u32, y: u32| pictures[k].get_pixel(x, y).0;
    assert!((0..4).all(|k| at(k, 0, 0)[3] == 0), "corners are empty");
    // Outlines are soft.
    assert!(pictures[0].pixels().any(|p| (1..255).contains(&p.0[3])));
    // Every way shows something else.
    for k in 1..4 {
        let differing = pictures[0].pixels().zip(pictures[k].pixels()).filter(|(a, b)| a != b).count();
        assert!(differing > 50, "way {k}: {differing}");
    }
    // Light from all around on a grey surface is grey.
    done(folder, "render torus.safetensors --size 16x16 --environment 1,1,1 --format exr -o sky");
    let light = channels(&folder.join("sky/orbit_000.exr"), &["R", "G", "B", "A"]);
    let seen = light[3].iter().position(|a| *a == 1.0).unwrap();
    assert!((0..3).all(|c| (light[c][seen] - 0.8).abs() < 0.01), "{} {}", light[0][seen], light[2][seen]);
}

#[test]
fn moving_surfaces_have_times() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // |p|² − (0.6 + 0.2 t)², times nothing: a sphere whose radius grows from 0.4 to 0.8.
    let identity: Vec<f32> = (0..16).map(|k| (k % 5 == 0) as u8 as f32).collect();
    let layers = [(identity, vec![0.0, 0.0, 0.0, 3.0]), (vec![1.0, 1.0, 1.0, -0.04], vec![0.0])];
    let facts = [("kind", "evolution"), ("centre", "[0.0, 0.0, 0.0]"), ("scale", "10"), ("duration", "4")];
    write(folder, "moving.safetensors", &squares(&layers, &facts));
    for (time, radius) in [("--time 0", 4.0), ("--time 2", 6.0), ("--time 4", 8.0), ("", 8.0)] {
        done(folder, &format!("mesh moving.safetensors --resolution 32 {time} -o a.ply"));
        let mesh = load_mesh(&folder.join("a.ply")).unwrap();
        for p in &mesh.positions {
            let found = p.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((found - radius).abs() < 0.05, "{time:?}: radius {found}, expected {radius}");
        }
    }
    done(folder, "render moving.safetensors --frames 3 --size 16x16 --camera orbit:2 -o moments");
    let seen = |k: usize| {
        let picture = image::open(folder.join(format!("moments/orbit_001_{k:04}.png"))).unwrap().to_rgba8();
        picture.pixels().filter(|p| p.0[3] > 0).count()
    };
    assert!(seen(0) < seen(1) && seen(1) < seen(2), "the camera stands still");
    fails(folder, "mesh moving.safetensors --time 5", 2, &["--time", "expected 0 to 4"]);
    fails(folder, "render moving.safetensors --time 1 --frames 2", 2, &["--frames"]);
}

#[test]
fn files_that_are_no_fields_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = torus();
    write(folder, "good.safetensors", &good);
    let bytes = good.to_bytes().unwrap();
    let named = |name: &str, bytes: &[u8]| fs::write(folder.join(format!("{name}.safetensors")), bytes).unwrap();
    named("cut", &bytes[..bytes.len() - 20]);
    named("header", &bytes[..30]);
    named("empty", &[]);
    named("text", b"a text of some length that is no field at all");
    let with = |name: &str, facts: &[(&str, &str)]| {
        let mut model = torus();
        model.facts.extend(facts.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        write(folder, &format!("{name}.safetensors"), &model);
    };
    with("equation", &[("kind", "pde")]);
    with("picture", &[("kind", "image"), ("size", "8x8"), ("transfer", "srgb")]);
    with("moving", &[("kind", "evolution"), ("duration", "1")]);
    with("still", &[("kind", "evolution")]);
    with("scale", &[("scale", "nan")]);
    with("zero", &[("scale", "0")]);
    with("centre", &[("centre", "[0, 1]")]);
    with("far", &[("centre", "[0, 1, 1e300]")]);
    with("box", &[("half", "[1, 1, -1]")]);
    let mut nan = torus();
    nan.values[1] = Tensor::from_slice(&Device::cpu(), &[0.0, f32::NAN, f32::INFINITY], &[3]).unwrap();
    write(folder, "nan.safetensors", &nan);
    let mut nothing = torus();
    nothing.values[5] = Tensor::from_slice(&Device::cpu(), &[9.0f32], &[1]).unwrap();
    write(folder, "nothing.safetensors", &nothing);
    for (file, said) in [
        ("cut", "not a whole field"),
        ("header", "not a whole field"),
        ("empty", "not a whole field"),
        ("text", "not a whole field"),
        ("equation", "kind \"pde\""),
        ("moving", "3 coordinates, expected 4"),
        ("still", "duration"),
        ("scale", "scale: cannot read \"nan\""),
        ("zero", "scale: 0"),
        ("centre", "centre: cannot read"),
        ("far", "centre"),
        ("box", "half"),
        ("nan", "2 values of layers.0.bias are not finite, the first, number 1, is NaN"),
        ("nothing", "no surface"),
        ("nowhere", "nowhere"),
    ] {
        let file = format!("{file}.safetensors");
        fails(folder, &format!("mesh {file} --resolution 16 -o a.ply"), 1, &[&file, said]);
        fails(folder, &format!("render {file} --size 8x8 -o out"), 1, &[&file, said]);
    }
    fails(folder, "mesh picture.safetensors", 1, &["kind \"image\" has no surface"]);
    fails(folder, "render picture.safetensors", 1, &["3 coordinates, expected 2"]);
    fails(folder, "mesh", 2, &["FIELD is missing"]);
    fails(folder, "mesh .", 1, &["no field"]);
    for (words, said) in [
        ("mesh good.safetensors --resolution 5000", "--resolution"),
        ("mesh good.safetensors --time 1", "does not move"),
        ("mesh good.safetensors --polyfit-sigma 0", "--polyfit-sigma"),
        ("mesh good.safetensors -o a.stl", ".ply, .obj, .glb or .gltf"),
        ("render good.safetensors --time 1", "does not move"),
        ("render good.safetensors --frames 3", "--frames"),
        ("render good.safetensors --aov albedo", "fields have no albedo"),
        ("render picture.safetensors --shading lit", "a picture has no use for it"),
    ] {
        fails(folder, words, 2, &[said]);
    }
    fs::write(folder.join("a.obj"), "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").unwrap();
    fails(folder, "render a.obj --shading mirror", 2, &["--shading", "only fields"]);
    assert!(!folder.join("a.ply").exists() && !folder.join("out").exists(), "nothing is written");
}

#[test]
fn evolutions_begin_as_trained_fields() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let globe = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/globe.glb");
    // A sphere of radius 1, which is 0.8 in the domain.
    let identity: Vec<f32> = (0..9).map(|k| (k % 4 == 0) as u8 as f32).collect();
    let layers = [(identity, vec![0.0; 3]), (vec![0.625; 3], vec![-0.4])];
    let facts = [("kind", "sdf"), ("centre", "[0.0, 0.0, 0.0]"), ("scale", "1.25")];
    write(folder, "sphere.safetensors", &squares(&layers, &facts));
    let job = format!("fit evolve {globe} --init sphere.safetensors --frames 3 --mesh-resolution 32 --batch 64");
    let found = done(folder, &format!("{job} --iterations 0 --out run"));
    let expected = 4.0 / 3.0 * std::f64::consts::PI;
    for k in 0..3 {
        let volume = found["metrics"][format!("volume_{k}")].as_f64().unwrap();
        assert!((volume / expected - 1.0).abs() < 0.02, "frame {k}: volume {volume}, expected {expected}");
    }
    // The run's own field is one that moves, and its frames are an animation.
    done(folder, "mesh run --time 0.5 --resolution 24 -o half.ply");
    let scene = lumigrad::scene::Scene::load(folder.join("run/evolution.glb")).unwrap();
    assert_eq!(scene.warnings, ["/animations: kept but not played; the rest pose is used"]);
    assert_eq!((scene.nodes().len(), scene.meshes().len()), (3, 3));
    assert_eq!(scene.json()["animations"][0]["channels"].as_array().unwrap().len(), 3);
    assert!(fs::read_to_string(folder.join("run/report.html")).unwrap().contains("Moments"));
    fails(folder, &format!("{job} --width 8 --out no"), 2, &["--init", "leave them out"]);
    write(folder, "torus.safetensors", &torus());
    fails(folder, &format!("{} --out no", job.replace("sphere.s", "torus.s")), 2, &["--init", "does not hold"]);
    fails(folder, &format!("{} --out no", job.replace("sphere.s", "nothing.s")), 1, &["nothing.safetensors"]);
}
