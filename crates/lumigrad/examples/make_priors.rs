//! Makes the priors in `assets/guidance`, and the classifier that judges what they create:
//! `cargo run --release -p lumigrad --example make_priors assets/guidance`.
//!
//! Classes of shapes are made by rule with random proportions and colours, rendered by lumigrad itself, and described by a
//! Gaussian for each class and direction. The classifier sees other shapes of the classes, in grey, and clouds of Gaussians
//! that are none of them.

use lumigrad::core::ops::random;
use lumigrad::core::{DType, Device, Tape, Tensor, Var};
use lumigrad::create::{Judge, NONE, camera, ring};
use lumigrad::guidance::analytic::{Basis, Mixture, Pictures, Precision, Samples};
use lumigrad::guidance::{DiffusionPrior, View as Direction};
use lumigrad::optim::{Adam, Group};
use lumigrad::raster::{Bindings, Camera, Options, Renderer};
use lumigrad::scene::environment::Environment;
use lumigrad::scene::picture::{Picture, Transfer};
use lumigrad::scene::{Light, LightKind, Material, MeshData, Node, Scene, Transform};
use lumigrad::splat::{Gaussians, Kernel, RenderOptions, render};
use std::f32::consts::TAU;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Side of the prior's pictures, and how many times larger they are rendered.
const SIDE: usize = 24;
const FINER: usize = 4;
/// Directions around the object that have a Gaussian of their own, and principal directions of each.
const SECTORS: usize = 16;
const RANK: usize = 2;
/// Shapes of a class, and views of each in a sector.
const SHAPES: u64 = 12;
const VIEWS: u64 = 2;
/// Elevations, degrees.
const ELEVATION: [f64; 2] = [14.0, 26.0];
const CLASSES: [&str; 3] = ["chair", "mug", "tree"];

/// Uniform numbers of one shape, one after another.
struct Dice(u64, u64);

impl Dice {
    fn roll(&mut self, lo: f32, hi: f32) -> f32 {
        self.1 += 1;
        lo + (hi - lo) * random::uniform(self.0, self.1) as f32
    }

    /// A colour (linear) near another.
    fn near(&mut self, colour: [f32; 3]) -> [f32; 3] {
        let bright = self.roll(0.8, 1.2);
        colour.map(|c| (c * bright * self.roll(0.85, 1.15)).clamp(0.01, 1.0))
    }
}

fn triangle_normals(mesh: &mut MeshData) {
    // Corners of their own, so that edges are sharp.
    let corners: Vec<[f32; 3]> = mesh.triangles.iter().flatten().map(|i| mesh.positions[*i as usize]).collect();
    let normal = |t: &[[f32; 3]]| {
        let e = |k: usize| [0, 1, 2].map(|c| t[k][c] - t[0][c]);
        let (a, b) = (e(1), e(2));
        let n = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
        let length = n.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
        n.map(|x| x / length)
    };
    mesh.normals = Some(corners.chunks(3).flat_map(|t| [normal(t); 3]).collect());
    mesh.triangles = (0..corners.len() as u32 / 3).map(|t| [3 * t, 3 * t + 1, 3 * t + 2]).collect();
    mesh.positions = corners;
}

fn block(lo: [f32; 3], hi: [f32; 3]) -> MeshData {
    let corner = |k: usize| [0, 1, 2].map(|c| if k >> c & 1 == 0 { lo[c] } else { hi[c] });
    let sides = [[0, 4, 6, 2], [1, 3, 7, 5], [0, 1, 5, 4], [2, 6, 7, 3], [0, 2, 3, 1], [4, 5, 7, 6]];
    let triangles = sides.iter().flat_map(|s| [[s[0], s[1], s[2]], [s[0], s[2], s[3]]]).collect();
    let mut mesh = MeshData { positions: (0..8).map(corner).collect(), triangles, ..Default::default() };
    triangle_normals(&mut mesh);
    mesh
}

/// A closed surface of revolution about +Y through (radius, height) from below.
fn turned(profile: &[[f32; 2]], n: u32) -> MeshData {
    let mut mesh = MeshData::default();
    for [radius, height] in profile {
        for k in 0..n {
            let (sin, cos) = (TAU * k as f32 / n as f32).sin_cos();
            mesh.positions.push([radius * sin, *height, radius * cos]);
        }
    }
    for ring in 0..profile.len() as u32 - 1 {
        for k in 0..n {
            let (a, b) = (ring * n + k, ring * n + (k + 1) % n);
            mesh.triangles.extend([[a, b, b + n], [a, b + n, a + n]]);
        }
    }
    triangle_normals(&mut mesh);
    mesh
}

/// A bent tube in the plane z = 0 about (x, y).
fn handle(at: [f32; 2], big: f32, small: f32) -> MeshData {
    let (along, around) = (14u32, 8u32);
    let mut mesh = MeshData::default();
    for i in 0..=along {
        let (sin, cos) = (-0.5 * TAU / 2.0 + TAU / 2.0 * i as f32 / along as f32).sin_cos();
        for j in 0..around {
            let (s, c) = (TAU * j as f32 / around as f32).sin_cos();
            mesh.positions.push([at[0] + (big + small * c) * cos, at[1] + (big + small * c) * sin, small * s]);
        }
    }
    for i in 0..along {
        for j in 0..around {
            let (a, b) = (i * around + j, i * around + (j + 1) % around);
            mesh.triangles.extend([[a, a + around, b], [b, a + around, b + around]]);
        }
    }
    triangle_normals(&mut mesh);
    mesh
}

/// A shape of a class: parts and their colours.
fn shape(class: &str, seed: u64) -> Vec<(MeshData, [f32; 3])> {
    let mut d = Dice(random::hash(seed, class.len() as u64), 0);
    match class {
        "chair" => {
            let wood = d.near([0.42, 0.17, 0.06]);
            let (w, seat, back, t) = (d.roll(0.42, 0.5), d.roll(-0.12, -0.02), d.roll(0.72, 0.82), d.roll(0.05, 0.07));
            let mut parts = vec![(block([-w, seat - 0.06, -w], [w, seat + 0.06, w]), wood)];
            for (x, z) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                let (x, z): (f32, f32) = (x * (w - t), z * (w - t));
                parts.push((block([x - t, -0.8, z - t], [x + t, seat, z + t]), wood));
            }
            parts.push((block([-w, seat, -w], [w, back, -w + 0.11]), d.near([0.5, 0.22, 0.08])));
            parts
        }
        "mug" => {
            let glaze = d.near([0.08, 0.2, 0.5]);
            let (r, h) = (d.roll(0.46, 0.54), d.roll(0.52, 0.62));
            let profile = [[0.0, -h], [r, -h], [r, h], [0.88 * r, h], [0.84 * r, 0.1 - h], [0.0, 0.1 - h]];
            vec![(turned(&profile, 24), glaze), (handle([0.95 * r, 0.0], d.roll(0.26, 0.32), 0.075), d.near(glaze))]
        }
        _ => {
            let (trunk, leaves) = (d.near([0.25, 0.12, 0.05]), d.near([0.05, 0.28, 0.07]));
            let (r, h) = (d.roll(0.5, 0.6), d.roll(0.78, 0.88));
            let mut parts = vec![(turned(&[[0.0, -0.85], [0.12, -0.85], [0.1, -0.3], [0.0, -0.3]], 12), trunk)];
            for k in 0..3 {
                let (low, wide) = (-0.45 + 0.4 * k as f32, r * (1.0 - 0.25 * k as f32));
                parts.push((turned(&[[0.0, low], [wide, low], [0.0, (low + 0.62).min(h)]], 16), leaves));
            }
            parts
        }
    }
}

fn scene(class: &str, seed: u64) -> Result<Scene> {
    let mut scene = Scene::new(class);
    for (k, (mesh, [r, g, b])) in shape(class, seed).into_iter().enumerate() {
        let material = Material {
            name: format!("part {k}"),
            base_color_factor: [r, g, b, 1.0],
            metallic_factor: 0.0,
            roughness_factor: 0.9,
            double_sided: true,
            ..Default::default()
        };
        let material = scene.add_material(&material)?;
        let mesh = scene.add_mesh(&format!("part {k}"), &[(mesh, Some(material))])?;
        scene.add_node(&Node { name: format!("part {k}"), mesh: Some(mesh), ..Node::default() })?;
    }
    let light = Light { name: "sun".into(), color: [1.0; 3], intensity: 45.0, range: None, kind: LightKind::Point };
    let light = scene.add_light(&light)?;
    let transform = Transform::Trs { translation: [2.5, 4.0, 2.0], rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };
    scene.add_node(&Node { name: "sun".into(), light: Some(light), transform, ..Node::default() })?;
    Ok(scene)
}

/// Display-encoded pictures over white, [SIDE, SIDE, 3], of one shape.
fn pictures(class: &str, seed: u64, from: &[Direction]) -> Result<Vec<Vec<f32>>> {
    let scene = scene(class, seed)?;
    let environment = Some(Environment::constant([0.7; 3]));
    let renderer = Renderer::new(&scene, &Device::cpu(), &Options { environment, dtype: None })?;
    let frame = renderer.frame(&Bindings::new())?;
    let large = SIDE * FINER;
    let one = |direction: &Direction| -> Result<Vec<f32>> {
        let view = camera(*direction, large)?;
        let data = frame.render(&Camera::new(&view, &Device::cpu(), DType::F32)?)?.image.tensor().to_vec::<f32>()?;
        let picture =
            Picture { width: large, height: large, channels: 4, data, transfer: Transfer::Linear, premultiplied: true };
        // Display encoding first: splats are composited in it.
        let picture = picture.into_straight().into_srgb().over([1.0; 3]);
        let channels = picture.data.len() / (large * large);
        let cell = |y: usize, x: usize, c: usize| {
            let mut sum = 0.0;
            for at in 0..FINER * FINER {
                let (row, column) = (y * FINER + at / FINER, x * FINER + at % FINER);
                sum += picture.data[(row * large + column) * channels + c].clamp(0.0, 1.0);
            }
            sum / (FINER * FINER) as f32
        };
        Ok((0..SIDE * SIDE * 3).map(|k| cell(k / 3 / SIDE, k / 3 % SIDE, k % 3)).collect())
    };
    from.iter().map(one).collect()
}

/// A direction in a sector around the object.
fn within(sector: usize, key: u64, spread: f64) -> Direction {
    let [lo, hi] = ELEVATION.map(f64::to_radians);
    let middle = ring(SECTORS, 0.0, 0.0)[sector].azimuth;
    let turn = std::f64::consts::TAU / SECTORS as f64 * spread * (random::uniform(key, 0) - 0.5);
    Direction { azimuth: middle + turn, elevation: lo + (hi - lo) * random::uniform(key, 1) }
}

fn prior() -> Result<Mixture> {
    let mut sets = vec![];
    for (label, class) in CLASSES.iter().enumerate() {
        let first = sets.len();
        let middle = 0.5 * (ELEVATION[0] + ELEVATION[1]).to_radians();
        for view in ring(SECTORS, middle, 0.0) {
            sets.push(Samples { pictures: vec![], label: Some(label), view: Some(view) });
        }
        for s in 0..SHAPES {
            let seed = 1000 * label as u64 + s;
            let key = |sector: usize, v: u64| random::hash(seed, 100 * sector as u64 + v);
            let from: Vec<Direction> = (0..SECTORS)
                .flat_map(|sector| (0..VIEWS).map(move |v| (sector, v)))
                .map(|(sector, v)| within(sector, key(sector, v), 0.7))
                .collect();
            for (k, picture) in pictures(class, seed, &from)?.into_iter().enumerate() {
                let centred = picture.iter().map(|x| 2.0 * x - 1.0).collect();
                sets[first + k / VIEWS as usize].pictures.push(centred);
            }
        }
    }
    // Halfway between two sectors both count alike; a whole sector away one is e⁻⁴ of the other.
    let apart = std::f64::consts::TAU / SECTORS as f64;
    let concentration = 4.0 / (1.0 - apart.cos());
    let labels = CLASSES.map(String::from).to_vec();
    let about = Pictures { labels, concentration, ..Pictures::new("shapes", [SIDE, SIDE], 3) };
    Ok(Mixture::estimate(about, Basis::Principal(RANK), &sets)?)
}

/// A cloud of Gaussians that shows nothing.
fn cloud(seed: u64) -> Result<Vec<f32>> {
    let mut d = Dice(random::hash(seed, 7), 0);
    let n = d.roll(20.0, 1500.0) as usize;
    let (ball, size, spread) = (d.roll(0.3, 1.0), d.roll(0.5, 1.6), d.roll(0.1, 1.2));
    let size = size * ball * (1.0 / n as f32).cbrt();
    let tint = [0, 1, 2].map(|_| d.roll(-1.0, 1.0));
    let mut g = Gaussians { sh_degree: 0, kernel: Kernel::Mip, ..Default::default() };
    for _ in 0..n {
        let p = [0, 1, 2].map(|_| d.roll(-1.0, 1.0));
        let length = p.iter().map(|x| x * x).sum::<f32>().sqrt();
        g.means.push(p.map(|x| ball * x / length.max(1.0)));
        g.log_scales.push([size.ln(); 3]);
        g.rotations.push([1.0, 0.0, 0.0, 0.0]);
        g.opacity_logits.push(d.roll(-2.5, 3.0));
        g.sh.push(tint.map(|t| t + spread * d.roll(-1.0, 1.0)));
    }
    let from = within((seed % SECTORS as u64) as usize, random::hash(seed, 8), 1.0);
    let view = camera(from, SIDE)?;
    let view = lumigrad::splat::View {
        viewmat: view.viewmat.map(|row| row.map(|x| x as f32)),
        intrinsics: view.intrinsics.map(|x| x as f32),
        width: SIDE,
        height: SIDE,
        projection: Default::default(),
        shutter: Default::default(),
    };
    let image = render(&g, &view, &RenderOptions { background: [1.0; 3], ..Default::default() })?;
    Ok(image.colour.into_iter().flatten().map(|x| x.clamp(0.0, 1.0)).collect())
}

/// Features and classes of pictures that the prior was not made of.
fn lesson(first: u64, shapes: u64) -> Result<(Vec<f32>, Vec<usize>)> {
    let (mut x, mut y) = (vec![], vec![]);
    for (label, class) in CLASSES.iter().enumerate() {
        for s in 0..shapes {
            let seed = 1_000_000 + first + 1000 * label as u64 + s;
            let from: Vec<Direction> = (0..SECTORS).map(|k| within(k, random::hash(seed, k as u64), 1.0)).collect();
            for picture in pictures(class, seed, &from)? {
                x.extend(Judge::features(SEEN, &picture, SIDE, SIDE)?);
                y.push(label);
            }
        }
    }
    for s in 0..shapes * SECTORS as u64 {
        x.extend(Judge::features(SEEN, &cloud(9_000_000 + first + s)?, SIDE, SIDE)?);
        y.push(CLASSES.len());
    }
    Ok((x, y))
}

/// Side of what the judge sees, and its hidden units.
const SEEN: usize = 12;
const HIDDEN: usize = 32;

fn judge() -> Result<Judge> {
    let (x, y) = lesson(0, 10)?;
    let (n, classes) = (y.len(), CLASSES.len() + 1);
    let cpu = Device::cpu();
    let one_hot: Vec<f32> = y.iter().flat_map(|c| (0..classes).map(move |k| (k == *c) as u8 as f32)).collect();
    let inputs = Var::from(Tensor::from_slice(&cpu, &x, &[n, SEEN * SEEN])?);
    let wanted = Var::from(Tensor::from_slice(&cpu, &one_hot, &[n, classes])?);
    let shapes = [vec![SEEN * SEEN, HIDDEN], vec![HIDDEN], vec![HIDDEN, classes], vec![classes]];
    let start = |(k, shape): (usize, &Vec<usize>)| -> Result<Tensor> {
        let size = if k % 2 == 0 { 1.0 / (shape[0] as f64).sqrt() } else { 0.0 };
        let noise = lumigrad::core::ops::random_normal(&cpu, DType::F32, shape, 40 + k as u64)?;
        Ok(lumigrad::core::ops::scale_tensor(&noise, size)?)
    };
    let mut layers: Vec<Tensor> = shapes.iter().enumerate().map(start).collect::<Result<_>>()?;
    let group = |k: usize| Group { decay: 0.02, ..Group::new(format!("layer{k}"), 0.01) };
    let mut adam = Adam::new((0..4).map(group).collect());
    for step in 0..600 {
        let tape = Tape::new();
        let vars: Vec<Var> = layers.iter().map(|t| tape.variable(t.clone())).collect();
        let scores = inputs.linear(&vars[0], Some(&vars[1]))?.tanh()?.linear(&vars[2], Some(&vars[3]))?;
        let most = Var::from(scores.max_axis(1)?.tensor().reshape(&[n, 1])?);
        let logs = scores.sub(&most)?;
        let total = logs.exp()?.sum_axis(1)?.ln()?;
        let right = logs.mul(&wanted)?.sum_axis(1)?;
        let loss = total.sub(&right)?.mean()?;
        let mut g = tape.backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = vars.iter().map(|v| g.take(v)).collect();
        let factor = if step < 400 { 1.0 } else { 0.1 };
        adam.step(&mut layers.iter_mut().collect::<Vec<_>>(), &gradients, factor)?;
    }
    let host: Vec<Vec<f32>> = layers.iter().map(|t| t.to_vec::<f32>()).collect::<std::result::Result<_, _>>()?;
    let layers = host.try_into().map_err(|_| "four layers")?;
    let labels = CLASSES.iter().copied().chain([NONE]).map(String::from).collect();
    Ok(Judge { labels, side: SEEN, layers })
}

/// One picture of many in rows, to look at.
fn sheet(pictures: &[Vec<f32>], columns: usize) -> Picture {
    let rows = pictures.len().div_ceil(columns);
    let (width, height) = (columns * SIDE, rows * SIDE);
    let mut data = vec![1.0; width * height * 3];
    for (k, picture) in pictures.iter().enumerate() {
        for (at, value) in picture.iter().enumerate() {
            let (y, x, c) = (at / 3 / SIDE, at / 3 % SIDE, at % 3);
            data[((k / columns * SIDE + y) * width + k % columns * SIDE + x) * 3 + c] = value.clamp(0.0, 1.0);
        }
    }
    Picture { width, height, channels: 3, data, transfer: Transfer::Srgb, premultiplied: false }
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "assets/guidance".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let prior = prior()?;
    std::fs::write(folder.join("shapes.safetensors"), prior.to_bytes(Precision::Half)?)?;
    let means: Vec<Vec<f32>> =
        (prior.components().iter()).map(|c| c.mean.iter().map(|x| (0.5 + 0.5 * x) as f32).collect()).collect();
    println!("{}: {} components of {} numbers", prior.info().name, means.len(), prior.dimensions());
    if let Some(place) = std::env::args().nth(2) {
        sheet(&means, SECTORS).save_png(Path::new(&place))?;
    }
    let judge = judge()?;
    std::fs::write(folder.join("judge.safetensors"), judge.to_bytes()?)?;
    // Shapes that neither of them saw.
    let (x, y) = lesson(500, 3)?;
    let right = (x.chunks(SEEN * SEEN).zip(&y)).filter(|(x, y)| judge.class_of(x) == **y).count();
    println!("judge: {right} of {} held-out pictures", y.len());
    Ok(())
}
