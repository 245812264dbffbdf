//! Classes of shapes by rule, and what they look like.

use crate::{FINER, Result, SIDE};
use lumigrad::core::ops::random;
use lumigrad::core::{DType, Device};
use lumigrad::create::{camera, normals, ring};
use lumigrad::guidance::View as Direction;
use lumigrad::raster::{Bindings, Camera, Options, Renderer};
use lumigrad::scene::camera::View;
use lumigrad::scene::environment::Environment;
use lumigrad::scene::picture::{Picture, Transfer};
use lumigrad::scene::{Light, LightKind, Material, MeshData, Node, Scene, Transform};
use std::f32::consts::TAU;

pub const CLASSES: [&str; 3] = ["chair", "mug", "tree"];
/// Directions around the object that have a Gaussian of their own.
pub const SECTORS: usize = 16;
/// Elevations, degrees.
pub const ELEVATION: [f64; 2] = [14.0, 26.0];

/// Uniform numbers of one shape, one after another.
pub struct Dice(u64, u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed, 0)
    }

    pub fn roll(&mut self, lo: f32, hi: f32) -> f32 {
        self.1 += 1;
        lo + (hi - lo) * random::uniform(self.0, self.1) as f32
    }

    /// A colour (linear) near another.
    pub fn near(&mut self, colour: [f32; 3]) -> [f32; 3] {
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
    let mut d = Dice::new(random::hash(seed, class.len() as u64));
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

pub fn scene(class: &str, seed: u64) -> Result<Scene> {
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

/// What is seen of a shape.
#[derive(Clone, Copy, PartialEq)]
pub enum Seen {
    /// Its colours in the light.
    Colours,
    /// Its normals in the axes of the view, as colours.
    Normals,
}

/// Display-encoded pictures over white, [SIDE, SIDE, 3], of one shape.
pub fn pictures(class: &str, seed: u64, from: &[Direction], seen: Seen) -> Result<Vec<Vec<f32>>> {
    let (scene, cpu) = (scene(class, seed)?, Device::cpu());
    let environment = Some(Environment::constant([0.7; 3]));
    let renderer = Renderer::new(&scene, &cpu, &Options { environment, dtype: None })?;
    let frame = renderer.frame(&Bindings::new())?;
    let large = SIDE * FINER;
    let lit = |view: &View| -> Result<Picture> {
        let data = frame.render(&Camera::new(view, &cpu, DType::F32)?)?.image.tensor().to_vec::<f32>()?;
        let picture =
            Picture { width: large, height: large, channels: 4, data, transfer: Transfer::Linear, premultiplied: true };
        // Display encoding first: splats are composited in it.
        Ok(picture.into_straight().into_srgb().over([1.0; 3]))
    };
    let one = |direction: &Direction| -> Result<Vec<f32>> {
        let view = camera(*direction, large)?;
        let picture = if seen == Seen::Colours { lit(&view)? } else { normals(&renderer, &view)? };
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
pub fn within(sector: usize, key: u64, spread: f64) -> Direction {
    let [lo, hi] = ELEVATION.map(f64::to_radians);
    let middle = ring(SECTORS, 0.0, 0.0)[sector].azimuth;
    let turn = std::f64::consts::TAU / SECTORS as f64 * spread * (random::uniform(key, 0) - 0.5);
    Direction { azimuth: middle + turn, elevation: lo + (hi - lo) * random::uniform(key, 1) }
}
