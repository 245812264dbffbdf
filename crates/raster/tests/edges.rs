//! The derivative of visibility: what silhouettes sweep, against the derivative of areas that are known in closed form.

use lumigrad_core::{DType, Device, Map, Tape, Tensor};
use lumigrad_raster::{Bindings, Camera, Options, Renderer};
use lumigrad_scene::camera::{Lens, View};
use lumigrad_scene::{Material, MeshData, Scene};
use std::f64::consts::PI;

/// Pixels a side.
const SIZE: usize = 256;
const POINTER: &str = "/meshes/0/primitives/0/attributes/POSITION";
/// What a single picture may be off by: it has as many samples of an edge as the edge crosses rows.
const BAR: f64 = 0.02;
/// What the mean over positions may be off by.
const MEAN_BAR: f64 = 0.005;
/// Offsets within a pixel, none of them special.
const OFFSETS: [[f64; 2]; 6] = [[0.0, 0.0], [0.31, 0.17], [0.5, 0.5], [0.73, 0.41], [0.12, 0.88], [0.93, 0.64]];

/// A white, unlit, double-sided mesh in front of nothing.
struct Silhouette {
    base: Tensor,
    renderer: Renderer,
    view: View,
}

/// Motions of the mesh: p ↦ scale · p + shift.
#[derive(Clone, Copy, Debug)]
enum Motion {
    Shift([f64; 3]),
    Grow,
    /// Only along x.
    Widen,
}

/// One picture: its sum, and the sum's derivative in both modes.
struct Sum {
    value: f64,
    derivative: f64,
}

impl Silhouette {
    fn new(positions: Vec<[f32; 3]>, triangles: Vec<[u32; 3]>, lens: Lens, focal: f64) -> Self {
        let material = Material { unlit: true, double_sided: true, ..Default::default() };
        let mesh = MeshData { positions, triangles, ..Default::default() };
        let scene = Scene::from_mesh("silhouette", &mesh, &material, None).unwrap();
        let options = Options { environment: None, dtype: Some(DType::F64) };
        let renderer = Renderer::new(&scene, &Device::cpu(), &options).unwrap();
        let flat = mesh.positions.as_flattened();
        let base = Tensor::from_slice(&Device::cpu(), flat, &[mesh.positions.len(), 3]).unwrap();
        let identity = std::array::from_fn(|r| std::array::from_fn(|c| (r == c) as u8 as f64));
        let view = View {
            name: "edges".into(),
            viewmat: identity,
            intrinsics: [focal, focal, 0.0, 0.0],
            width: SIZE,
            height: SIZE,
            lens,
            near: 0.1,
            far: 100.0,
        };
        Self { base: base.cast(DType::F64).unwrap(), renderer, view }
    }

    /// Σ weight(column) · alpha with the mesh's origin at a pixel position, moved by `t` along the motion.
    fn sum(&self, centre: [f64; 2], motion: Motion, t: f64, weight: impl Fn(usize) -> f64) -> Sum {
        let mut view = self.view.clone();
        (view.intrinsics[2], view.intrinsics[3]) = (centre[0], centre[1]);
        let camera = Camera::new(&view, &Device::cpu(), DType::F64).unwrap();
        let map = Map::new("test/motion", |m| {
            let p = m.item::<3>("base");
            let [t] = m.uniform("parameter");
            let (shift, scale) = match motion {
                Motion::Shift(d) => (d, [0.0; 3]),
                Motion::Grow => ([0.0; 3], [1.0; 3]),
                Motion::Widen => ([0.0; 3], [1.0, 0.0, 0.0]),
            };
            let moved: Vec<_> = (0..3).map(|k| p[k] * (1.0 + scale[k] * t) + shift[k] * t).collect();
            m.output("positions", &moved);
        });
        let tape = Tape::new();
        let parameter = tape.variable(Tensor::from_slice(&Device::cpu(), &[t], &[1]).unwrap());
        let positions = map.apply(&[&self.base.clone().into(), &parameter]).unwrap().remove(0);
        let mut bindings = Bindings::new();
        bindings.bind(POINTER, positions);
        let image = self.renderer.frame(&bindings).unwrap().render(&camera).unwrap().image;
        let weights: Vec<f64> =
            (0..SIZE * SIZE * 4).map(|i| if i % 4 == 3 { weight(i / 4 % SIZE) } else { 0.0 }).collect();
        let weights = Tensor::from_slice(&Device::cpu(), &weights, &[SIZE, SIZE, 4]).unwrap();
        let sum = image.mul(&weights.into()).unwrap().sum().unwrap();
        let one = Tensor::full(&Device::cpu(), DType::F64, &[1], 1.0).unwrap();
        let forward = tape.linearize(&sum, &[&parameter]).unwrap().apply(&[one]).unwrap().item().unwrap();
        let reverse = tape.backward(&sum).unwrap().take(&parameter).unwrap().item().unwrap();
        assert!((forward - reverse).abs() <= 1e-9 * forward.abs().max(1.0), "{forward} forward, {reverse} reverse");
        Sum { value: sum.tensor().item().unwrap(), derivative: forward }
    }

    /// Derivatives at all offsets from a place, each and in the mean, against the analytic one.
    fn check(&self, what: &str, place: [f64; 2], motion: Motion, expected: f64, weight: fn(usize) -> f64) {
        let at = |o: [f64; 2]| [place[0] + o[0], place[1] + o[1]];
        let found: Vec<f64> = OFFSETS.iter().map(|&o| self.sum(at(o), motion, 0.0, weight).derivative).collect();
        let error = |x: f64| (x / expected - 1.0).abs();
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        let worst = found.iter().copied().map(error).fold(0.0, f64::max);
        println!("{what}: {expected:.3} expected, worst {:.2} %, mean {:.2} %", 100.0 * worst, 100.0 * error(mean));
        assert!(worst <= BAR && error(mean) <= MEAN_BAR, "{what}: {found:?}, expected {expected}");
    }
}

fn alike(_: usize) -> f64 {
    1.0
}

/// With this weight a shift by a pixel adds the area.
fn by_column(x: usize) -> f64 {
    x as f64 + 0.5
}

/// A fan around the centre, in the plane z.
fn disc(n: usize, radius: f32, z: f32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
    let mut points = vec![[0.0, 0.0, z]];
    points.extend((0..n).map(|k| {
        let angle = 2.0 * std::f32::consts::PI * k as f32 / n as f32;
        [radius * angle.cos(), radius * angle.sin(), z]
    }));
    let triangles = (0..n as u32).map(|k| [0, 1 + k, 1 + (k + 1) % n as u32]).collect();
    (points, triangles)
}

/// n × n quads of a rectangle, turned in the plane z.
fn rectangle(n: usize, half: [f32; 2], angle: f32, z: f32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
    let side = n as u32 + 1;
    let points = (0..side * side).map(|i| {
        let at = |k: u32| 2.0 * k as f32 / n as f32 - 1.0;
        let (x, y) = (half[0] * at(i % side), half[1] * at(i / side));
        [angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y, z]
    });
    let quads = (0..side * side).filter(|i| i % side < n as u32 && i / side < n as u32);
    let triangles = quads.flat_map(|i| [[i, i + 1, i + side + 1], [i, i + side + 1, i + side]]);
    (points.collect(), triangles.collect())
}

/// A unit sphere around a point on the z axis, with triangles that are smaller than pixels.
fn sphere(rows: usize, radius: f32, z: f32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
    let columns = 2 * rows;
    let mut points = vec![];
    for r in 0..=rows {
        let theta = std::f32::consts::PI * r as f32 / rows as f32;
        for c in 0..columns {
            let phi = 2.0 * std::f32::consts::PI * (c as f32 + 0.3) / columns as f32;
            let ring = if r == 0 || r == rows { 0.0 } else { theta.sin() };
            points.push([radius * ring * phi.cos(), radius * theta.cos(), z + radius * ring * phi.sin()]);
        }
    }
    let at = |r: usize, c: usize| (r * columns + c % columns) as u32;
    let mut triangles = vec![];
    for r in 0..rows {
        for c in 0..columns {
            let (a, b, d, e) = (at(r, c), at(r, c + 1), at(r + 1, c), at(r + 1, c + 1));
            if r > 0 {
                triangles.push([a, b, e]);
            }
            if r + 1 < rows {
                triangles.push([a, e, d]);
            }
        }
    }
    (points, triangles)
}

const CENTRE: [f64; 2] = [128.0, 128.0];
const RIGHT: Motion = Motion::Shift([1.0, 0.0, 0.0]);

#[test]
fn a_growing_and_a_moving_disc_sweep_their_area() {
    // Few, long triangles and many that are narrower than a pixel at the rim.
    for n in [48, 1200] {
        let (r, polygon) = (88.8f64, n as f64 / 2.0 * (2.0 * PI / n as f64).sin());
        let (points, triangles) = disc(n, r as f32, 5.0);
        let s = Silhouette::new(points, triangles, Lens::Orthographic, 1.0);
        s.check(&format!("growing disc of {n}"), CENTRE, Motion::Grow, 2.0 * polygon * r * r, alike);
        s.check(&format!("moving disc of {n}"), CENTRE, RIGHT, polygon * r * r, by_column);
        // Half outside: what enters the picture is the chord at its border.
        let found: f64 = OFFSETS.iter().map(|o| s.sum([o[0], 128.0 + o[1]], RIGHT, 0.0, alike).derivative).sum();
        let chords: f64 = OFFSETS.iter().map(|o| 2.0 * (r * r - o[0] * o[0]).sqrt()).sum();
        println!("entering disc of {n}: {:.2} %", 100.0 * (found / chords - 1.0));
        assert!((found / chords - 1.0).abs() < BAR);
    }
}

#[test]
fn a_growing_and_a_moving_rectangle_sweep_their_area() {
    let half = [81.1f64, 68.5];
    // Axis-aligned, turned, and at exactly 45°, where an edge is neither steep nor flat.
    for (angle, n) in [(0.0, 1), (0.0, 200), (0.35, 1), (0.35, 200), (std::f32::consts::FRAC_PI_4, 1)] {
        let (points, triangles) = rectangle(n, half.map(|x| x as f32), angle, 5.0);
        let s = Silhouette::new(points, triangles, Lens::Orthographic, 1.0);
        let area = 4.0 * half[0] * half[1];
        s.check(&format!("rectangle at {angle} of {n}, growing"), CENTRE, Motion::Grow, 2.0 * area, alike);
        s.check(&format!("rectangle at {angle} of {n}, widening"), CENTRE, Motion::Widen, area, alike);
        s.check(&format!("rectangle at {angle} of {n}, moving"), CENTRE, RIGHT, area, by_column);
    }
}

#[test]
fn a_sphere_sweeps_its_area_in_parallel_and_central_projection() {
    let (points, triangles) = sphere(160, 1.0, 5.0);
    let area = PI * 84.5f64.powi(2);
    let s = Silhouette::new(points.clone(), triangles.clone(), Lens::Orthographic, 84.5);
    s.check("parallel: moving", CENTRE, RIGHT, 84.5 * area, by_column);
    // Growing about the camera's axis: z moves too, without effect.
    s.check("parallel: growing", CENTRE, Motion::Grow, 2.0 * area, alike);

    let (distance, focal) = (5.0f64, 400.0);
    let tangent = (distance * distance - 1.0).sqrt();
    let r = focal / tangent;
    let s = Silhouette::new(points, triangles, Lens::Perspective, focal);
    let nearer = Motion::Shift([0.0, 0.0, -1.0]);
    let expected = 2.0 * PI * r * focal * distance / tangent.powi(3);
    s.check("central: coming nearer", CENTRE, nearer, expected, alike);
    // The outline is a cone's section; near the axis it moves as its centre does.
    s.check("central: moving", CENTRE, RIGHT, PI * r * r * focal * distance / (tangent * tangent), by_column);
}

#[test]
fn the_sum_of_a_picture_changes_as_its_derivative_says() {
    let (points, triangles) = sphere(60, 1.0, 4.0);
    let s = Silhouette::new(points, triangles, Lens::Perspective, 300.0);
    // From one place to another over many pixels: the integral of the derivative is the difference of the sums.
    let motion = Motion::Shift([0.4, 0.2, -0.3]);
    let n = 64;
    let steps: Vec<Sum> = (0..n).map(|k| s.sum([110.3, 118.1], motion, (k as f64 + 0.5) / n as f64, alike)).collect();
    let integral = steps.iter().map(|s| s.derivative).sum::<f64>() / n as f64;
    let ends = [0.0, 1.0].map(|t| s.sum([110.3, 118.1], motion, t, alike).value);
    let difference = ends[1] - ends[0];
    println!("integral {integral:.2}, difference {difference:.2}");
    assert!((integral / difference - 1.0).abs() < 0.02);
}
