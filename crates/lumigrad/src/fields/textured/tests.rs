//! A ball whose colours are a formula, and photographs of it that are made from the formula alone.

use super::super::place::Place;
use super::super::source::{Depths, Source};
use super::super::surface::extracted;
use super::*;
use crate::train::{Dataset, Shot};
use glam::{DVec3, Vec3};
use lumigrad_core::Device;
use lumigrad_geometry::simplify;
use lumigrad_raster::texture::Sampling;
use lumigrad_raster::{Aov, Bindings, Options, Renderer};
use lumigrad_scene::camera::{Framing, View, sphere_views};
use lumigrad_scene::smooth_normals;

const RADIUS: f32 = 0.7;
/// Where the ball is in the world, and how large the domain.
const PLACE: Place = Place { centre: [1.0, -2.0, 0.5], scale: 2.0 };

fn colour(n: [f32; 3]) -> [f32; 3] {
    [0.5 + 0.4 * n[0], 0.5 + 0.3 * (6.0 * n[1]).sin(), 0.5 + 0.4 * n[2]]
}

/// Light that is seen at a place of a picture: colour and depth.
fn seen(view: &View, place: [f64; 2]) -> Option<([f32; 3], f32)> {
    let [from, to] = view.ray(place)?.map(DVec3::from);
    let (o, d) = ((from - DVec3::from(PLACE.centre)) / PLACE.scale, to / PLACE.scale);
    let (a, b, c) = (d.length_squared(), o.dot(d), o.length_squared() - f64::from(RADIUS).powi(2));
    let root = b * b - a * c;
    let depth = (root > 0.0).then(|| (-b - root.sqrt()) / a)?;
    Some((colour(((o + d * depth) / f64::from(RADIUS)).as_vec3().to_array()), depth as f32))
}

struct Ball {
    /// Colours are known at points, or to views only.
    points: bool,
}

impl Source for Ball {
    fn name(&self) -> &str {
        "ball"
    }

    fn place(&self) -> Place {
        PLACE
    }

    fn half(&self) -> DVec3 {
        DVec3::ONE
    }

    fn values(&self, points: &[f32]) -> Result<Vec<f32>> {
        Ok(points.as_chunks::<3>().0.iter().map(|p| Vec3::from(*p).length() - RADIUS).collect())
    }

    fn depths(&self, view: &View) -> Result<Depths> {
        let pixel = |k: usize| seen(view, [(k % view.width) as f64 + 0.5, (k / view.width) as f64 + 0.5]);
        let (colours, depths) =
            (0..view.width * view.height).map(|k| pixel(k).unwrap_or(([0.0; 3], f32::INFINITY))).unzip();
        Ok(Depths { depths, colours })
    }

    fn colours(&self, points: &[[f32; 3]]) -> Result<Option<Vec<[f32; 3]>>> {
        let at = |p: &[f32; 3]| colour(Vec3::from(*p).normalize_or_zero().to_array());
        Ok(self.points.then(|| points.iter().map(at).collect()))
    }
}

/// Positions, triangles and normals.
type Mesh = (Vec<[f32; 3]>, Vec<[u32; 3]>, Vec<[f32; 3]>);

/// The ball's surface in the domain.
fn surface(triangles: usize) -> Mesh {
    let found = extracted(&Ball { points: true }, "mc", 32).unwrap();
    let found = found.kept(simplify(&found.positions, &found.triangles, triangles).unwrap());
    let normals = smooth_normals(&found.positions, &found.triangles);
    (found.positions, found.triangles, normals)
}

fn views(n: usize, side: usize) -> Vec<View> {
    sphere_views(n, &Framing::of_sphere(PLACE.centre, PLACE.scale * f64::from(RADIUS), (side, side)))
}

fn shot(view: View) -> Shot {
    let (w, h, n) = (view.width, view.height, 4);
    let (mut all, mut alpha) = (vec![], vec![]);
    for k in 0..w * h {
        let (mut sum, mut hits) = ([0.0f32; 3], 0);
        for i in 0..n * n {
            let spot = [(i % n) as f64, (i / n) as f64].map(|x| (x + 0.5) / n as f64);
            if let Some((c, _)) = seen(&view, [(k % w) as f64 + spot[0], (k / w) as f64 + spot[1]]) {
                (0..3).for_each(|a| sum[a] += c[a]);
                hits += 1;
            }
        }
        all.push(sum.map(|x| x / hits.max(1) as f32));
        alpha.push(hits as f32 / (n * n) as f32);
    }
    Shot { view, colour: all, alpha, mask: vec![], depth: vec![], normals: vec![], readout: None }
}

#[test]
fn textures_have_the_colours_of_points_and_of_views() {
    let (positions, triangles, normals) = surface(1500);
    let atlas = atlas(&positions, &triangles, Some(256)).unwrap();
    let (rows, texels) = (atlas.rows(&positions), atlas.texels(256, 0.0));
    for points in [true, false] {
        let found = baked(&Ball { points }, (&atlas, &positions, &normals), &views(24, 256)).unwrap();
        let (mut worst, mut sum, mut n) = (0.0f32, 0.0, 0);
        for texel in texels.known() {
            let p = Vec3::from(texels.blend(texel, &atlas.triangles, &rows)).normalize();
            let miss = (Vec3::from(found[texel]) - Vec3::from(colour(p.to_array()))).abs().max_element();
            (worst, sum, n) = (worst.max(miss), sum + miss, n + 1);
        }
        let bounds = if points { [1e-5, 1e-6] } else { [0.08, 0.012] };
        assert!(worst < bounds[0] && sum / (n as f32) < bounds[1], "{points}: {worst} {}", sum / n as f32);
    }
}

#[test]
fn a_normal_map_shows_what_simplification_took() {
    let (positions, triangles, normals) = surface(120);
    let device = Device::cpu();
    let ball = Ball { points: true };
    let atlas = atlas(&positions, &triangles, Some(256)).unwrap();
    let world = positions.iter().map(|&p| PLACE.outwards(p)).collect();
    let colours = vec![[1.0; 3]; 256 * 256];
    let flat = Some(vec![[0.0, 0.0, 1.0]; 256 * 256]);
    let mut mesh = Textured { positions: world, normals, atlas, colours, normal_map: flat };
    let angle = |mesh: &Textured| -> f64 {
        let scene = mesh.scene().unwrap();
        let renderer = Renderer::new(&scene, &device, &Options::default()).unwrap();
        let frame = renderer.frame(&Bindings::new()).unwrap();
        let view = &views(3, 96)[1];
        let camera = refit::camera(view, &mesh.positions, &device).unwrap();
        let aov = frame.aov(&camera, Sampling::Sampler).unwrap().tensor().to_vec::<f32>().unwrap();
        let (mut sum, mut n) = (0.0, 0);
        for (k, pixel) in aov.chunks_exact(Aov::COUNT).enumerate().filter(|(_, p)| p[Aov::MASK] > 0.0) {
            let [x, y] = [k % 96, k / 96].map(|x| x as f64 + 0.5);
            let Some(p) = view.unproject([x, y], f64::from(pixel[Aov::DEPTH])) else { continue };
            let exact = (DVec3::from(p) - DVec3::from(PLACE.centre)).normalize();
            let own =
                DVec3::new(pixel[Aov::NORMAL].into(), pixel[Aov::NORMAL + 1].into(), pixel[Aov::NORMAL + 2].into());
            (sum, n) = (sum + own.normalize_or_zero().dot(exact).clamp(-1.0, 1.0).acos().to_degrees(), n + 1);
        }
        sum / n as f64
    };
    let before = angle(&mesh);
    let scene = mesh.scene().unwrap();
    mesh.normal_map = normal_map(&ball, (&mesh.atlas, &positions, &mesh.normals), &scene).unwrap();
    assert!(mesh.normal_map.is_some());
    let after = angle(&mesh);
    assert!(after < 1.5 && after < 0.4 * before, "{after}° after {before}°");
}

#[test]
fn refitting_finds_the_colours_and_the_outline_of_photographs() {
    let device = Device::cpu();
    let (positions, triangles, normals) = surface(800);
    let kept = |list: Vec<View>| list.into_iter().map(shot).collect::<Vec<Shot>>();
    let (train, test) = (kept(views(16, 48)), kept(views(5, 48)));
    let dataset = Dataset { train, test, points: Default::default() };
    let photographs = Photographs { dataset, background: [1.0; 3] };
    let atlas = atlas(&positions, &triangles, Some(128)).unwrap();
    // A grey ball that is 4 % too small.
    let small = positions.iter().map(|&p| PLACE.outwards(p.map(|x| 0.96 * x))).collect();
    let colours = vec![[0.5; 3]; 128 * 128];
    let mut mesh = Textured { positions: small, normals, atlas, colours, normal_map: None };
    let score = |mesh: &Textured| scored(&mesh.scene().unwrap(), &photographs, &device).unwrap().0;
    let before = score(&mesh);
    refit(&mut mesh, &photographs, &Refit { steps: 200, seed: 1 }, &device).unwrap();
    let after = score(&mesh);
    assert!(after > 30.0 && before < 20.0, "{before} dB, then {after} dB");
    let radii = mesh.positions.iter().map(|p| Vec3::from(PLACE.inwards(*p)).length() / RADIUS);
    let mean = radii.sum::<f32>() / mesh.positions.len() as f32;
    assert!((mean - 1.0).abs() < 0.015, "{mean}");
}

#[test]
fn only_what_photographs_see_is_kept() {
    let device = Device::cpu();
    let (positions, triangles, _) = surface(800);
    let n = positions.len() as u32;
    // A smaller ball inside.
    let place = |by: f32| positions.iter().map(move |&p| PLACE.outwards(p.map(|x| by * x)));
    let all: Vec<[f32; 3]> = place(1.0).chain(place(0.5)).collect();
    let both: Vec<[u32; 3]> = triangles.iter().copied().chain(triangles.iter().map(|t| t.map(|v| v + n))).collect();
    let train = views(12, 48).into_iter().map(shot).collect();
    let photographs =
        Photographs { dataset: Dataset { train, test: vec![], points: Default::default() }, background: [0.0; 3] };
    let kept = visible(&all, &both, &photographs, &device).unwrap();
    assert_eq!(kept.triangles.len(), triangles.len());
    assert!(kept.vertices.iter().all(|v| *v < n));
}

#[test]
fn written_files_say_what_they_can_hold() {
    let (positions, triangles, normals) = surface(100);
    let folder = tempfile::tempdir().unwrap();
    let atlas = atlas(&positions, &triangles, Some(64)).unwrap();
    let colours = vec![[0.25, 0.5, 0.75]; 64 * 64];
    let mesh = Textured { positions, normals, atlas, colours, normal_map: None };
    let glb = folder.path().join("ball.glb");
    mesh.save(&glb).unwrap();
    let scene = lumigrad_scene::Scene::load(&glb).unwrap();
    assert!(scene.materials()[0].unlit && scene.textures()[0].sampler.mip.is_none());
    assert_eq!(scene.meshes()[0].primitives[0].triangles.len(), mesh.atlas.triangles.len());
    assert_eq!(scene.images()[0].rgba8[..4], [64, 128, 191, 255]);
    mesh.save(&folder.path().join("ball.obj")).unwrap();
    assert!(folder.path().join("ball.png").is_file());
    assert!(mesh.save(&folder.path().join("ball.stl")).is_err());
}
