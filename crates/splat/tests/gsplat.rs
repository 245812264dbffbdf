//! Pictures and gradients by gsplat's PyTorch code (`gsplat/reference.py` made `gsplat/reference.npz`), drawn again.

use lumigrad_core::map::Expr;
use lumigrad_core::ops::concat;
use lumigrad_core::{CallParams, DType, Device, Map, Tape, Tensor, Var};
use lumigrad_splat::device::{CameraVars, DeviceOptions, GaussianVars, SURFEL_PLANES, render_vars, surfels_vars};
use lumigrad_splat::{Gaussians, Kernel, Projection, RenderOptions, View, render};
use lumigrad_testkit::{Array, devices, read_npz};
use std::collections::BTreeMap;
use std::path::Path;

const SIZE: [usize; 2] = [48, 32];
/// Largest difference of pixels.
const BAR: f64 = 1e-4;
/// Gradients of 32 bits: those by rotations are small differences of larger numbers, 1.1e-4 off; those of surfels divide by how
/// steeply rays meet planes.
const SINGLE_BARS: [f64; 2] = [3e-4, 2e-3];
/// The same in 64 bits, and of gradients in units of the largest of their array; the reference is stored in 32.
const FINE_BAR: f64 = 3e-6;

const CASES: [(&str, Kernel, Projection); 4] = [
    ("classic", Kernel::Classic, Projection::Perspective),
    ("mip", Kernel::Mip, Projection::Perspective),
    ("orthographic", Kernel::Classic, Projection::Orthographic),
    ("surfel", Kernel::Surfel, Projection::Perspective),
];

struct Reference {
    all: BTreeMap<String, Array>,
    kernel: Kernel,
    projection: Projection,
    name: &'static str,
}

impl Reference {
    fn load((name, kernel, projection): (&'static str, Kernel, Projection)) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gsplat/reference.npz");
        Self { all: read_npz(&path), kernel, projection, name }
    }

    fn get(&self, what: &str) -> &[f64] {
        &self.all[&format!("{}/{what}", self.name)].data
    }

    fn rows<const N: usize>(&self, what: &str) -> Vec<[f32; N]> {
        self.get(what).as_chunks::<N>().0.iter().map(|row| row.map(|x| x as f32)).collect()
    }

    fn gaussians(&self) -> Gaussians {
        Gaussians {
            means: self.rows("means"),
            log_scales: self.rows("log_scales"),
            rotations: self.rows("rotations"),
            opacity_logits: self.get("opacity_logits").iter().map(|&x| x as f32).collect(),
            sh: self.rows("sh"),
            sh_degree: 3,
            kernel: self.kernel,
        }
    }

    fn view(&self) -> View {
        let viewmat = self.rows::<4>("viewmat");
        View {
            viewmat: std::array::from_fn(|i| viewmat[i]),
            intrinsics: self.rows::<4>("intrinsics")[0],
            width: SIZE[0],
            height: SIZE[1],
            projection: self.projection,
            shutter: Default::default(),
        }
    }

    /// gsplat looks along rays at Gaussians of orthographic cameras too: only the constant harmonic is compared.
    fn sh_degree(&self) -> usize {
        if self.projection == Projection::Orthographic { 0 } else { 3 }
    }

    /// Numbers of a pixel.
    fn planes(&self) -> usize {
        if self.kernel == Kernel::Surfel { 8 } else { 5 }
    }

    /// Gaussians and camera as variables of a tape, in order: the arrays, view matrix, intrinsics.
    fn leaves(&self, tape: &Tape, device: &Device, dtype: DType) -> (Vec<Var>, CameraVars) {
        let gaussians = GaussianVars::new(&self.gaussians(), device, dtype).unwrap();
        let camera = CameraVars::new(&self.view(), device, dtype).unwrap();
        let all = gaussians.all().into_iter().chain([&camera.viewmat, &camera.intrinsics]);
        (all.map(|v| tape.variable(v.tensor().clone())).collect(), camera)
    }

    /// Red, green, blue, expected depth and alpha, and normals of surfels [H·W, planes].
    fn pixels(&self, leaves: &[Var], camera: &CameraVars) -> Var {
        let (arrays, own) = leaves.split_at(leaves.len() - 2);
        let vars = GaussianVars::from_all(arrays.to_vec());
        let camera = CameraVars { viewmat: own[0].clone(), intrinsics: own[1].clone(), ..camera.clone() };
        let options = DeviceOptions { kernel: self.kernel, sh_degree: self.sh_degree(), alpha_min: 1.0 / 255.0 };
        let n = SIZE[0] * SIZE[1];
        let (picture, normals) = match self.kernel {
            Kernel::Surfel => {
                let all = surfels_vars(&vars, &camera, &options).unwrap().reshape(&[n, SURFEL_PLANES]).unwrap();
                let (shown, left) = (all.slice(1, 0, 4).unwrap(), all.slice(1, 9, 10).unwrap());
                (concat(&[&shown, &left], 1).unwrap(), Some(all.slice(1, 4, 7).unwrap()))
            }
            _ => (render_vars(&vars, &camera, &options).unwrap().reshape(&[n, 5]).unwrap(), None),
        };
        let map = Map::cached("test/expected depth", |m| {
            let [r, g, b, depth, left] = m.item("picture");
            let alpha = 1.0 - left;
            let shown = Expr::from(1e-10).less(alpha);
            m.output("pixel", &[r, g, b, shown.select(depth, 0.0) / shown.select(alpha, 1.0), alpha]);
        });
        let pixels = map.apply_with(&[&picture], CallParams::default()).unwrap().remove(0);
        normals.map_or(pixels.clone(), |normals| concat(&[&pixels, &normals], 1).unwrap())
    }

    /// Their functional.
    fn loss(&self, pixels: &Var) -> Var {
        let n = SIZE[0] * SIZE[1] * self.planes();
        let weights: Vec<f64> = (0..n).map(|i| (12.9898 * (i as f64 + 1.0)).cos()).collect();
        let like = pixels.tensor();
        let weights = Tensor::from_slice(&Device::cpu(), &weights, &[n / self.planes(), self.planes()]).unwrap();
        let weights = weights.cast(like.dtype()).unwrap().to_device(like.device()).unwrap();
        pixels.mul(&weights.into()).unwrap().sum().unwrap()
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype() {
        DType::F64 => tensor.to_vec::<f64>().unwrap(),
        _ => tensor.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
    }
}

/// The largest difference of two lists in units of the second's largest number, and the ratio of their lengths.
fn compared(found: &[f64], expected: &[f64]) -> (f64, f64) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let off = found.iter().zip(expected).fold(0.0f64, |a, (x, y)| a.max((x - y).abs()));
    let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    (off / largest, length(found) / length(expected))
}

/// The derivative by the pose of the camera, rotation and translation of its own axes, from that by its view matrix.
fn by_pose(by: &[f64], viewmat: &[f64]) -> Vec<f64> {
    let row = |m: &[f64], r: usize| -> [f64; 4] { std::array::from_fn(|k| m[4 * r + k]) };
    let dot = |a: [f64; 4], b: [f64; 4]| (0..4).map(|k| a[k] * b[k]).sum::<f64>();
    // A turn about axis k takes row a to row b, and b to −a.
    let turns =
        [(1, 2), (2, 0), (0, 1)].map(|(a, b)| dot(row(by, b), row(viewmat, a)) - dot(row(by, a), row(viewmat, b)));
    turns.into_iter().chain([3, 7, 11].map(|at| by[at])).collect()
}

/// The derivative by all harmonics [N, 16, 3] from that by the constant ones and the others.
fn by_harmonics(dc: &[f64], rest: &[f64]) -> Vec<f64> {
    let rows = dc.chunks_exact(3).zip(rest.chunks_exact(45));
    rows.flat_map(|(dc, rest)| dc.iter().chain(rest).copied().collect::<Vec<_>>()).collect()
}

fn check(reference: &Reference, device: &Device, dtype: DType, bar: f64) {
    let tape = Tape::new();
    let (leaves, camera) = reference.leaves(&tape, device, dtype);
    let pixels = reference.pixels(&leaves, &camera);
    let what = format!("{} on {device}, {dtype:?}", reference.name);
    let expected = reference.get("picture");
    for (i, (a, b)) in numbers(pixels.tensor()).iter().zip(expected).enumerate() {
        let (pixel, plane) = (i / reference.planes(), i % reference.planes());
        assert!((a - b).abs() < bar * b.abs().max(1.0), "{what}: pixel {pixel}, plane {plane}: {a} for {b}");
    }
    let loss = reference.loss(&pixels);
    let mut gradients = tape.backward(&loss).unwrap();
    let by: Vec<Vec<f64>> = leaves.iter().map(|v| numbers(&gradients.take(v).expect("a gradient"))).collect();
    let mut groups = vec![
        ("means", by[0].clone()),
        ("log_scales", by[1].clone()),
        ("rotations", by[2].clone()),
        ("opacity_logits", by[3].clone()),
        ("sh", by_harmonics(&by[4], &by[5])),
        ("pose", by_pose(&by[6], reference.get("viewmat"))),
        ("intrinsics", by[7].clone()),
    ];
    for (name, found) in &mut groups {
        let mut expected = reference.get(&format!("gradient/{name}")).to_vec();
        if reference.kernel == Kernel::Surfel && *name == "log_scales" {
            // Their normals have the length of the third scale, which ours do not have.
            (0..expected.len() / 3).for_each(|i| expected[3 * i + 2] = 0.0);
        }
        let (off, ratio) = compared(found, &expected);
        let single = SINGLE_BARS[(reference.kernel == Kernel::Surfel) as usize];
        let bar = if dtype == DType::F64 { bar } else { single };
        assert!(off < bar && (ratio - 1.0).abs() < bar, "{what}: by {name}: {off:.1e} off, lengths {ratio}");
    }
}

#[test]
fn pictures_and_gradients_are_those_of_gsplat() {
    for case in CASES {
        let reference = Reference::load(case);
        check(&reference, &Device::cpu(), DType::F64, FINE_BAR);
        for device in devices("gsplat") {
            check(&reference, &device, DType::F32, BAR);
        }
    }
}

#[test]
fn the_host_draws_the_pictures_of_gsplat() {
    for case in CASES {
        let reference = Reference::load(case);
        let mut gaussians = reference.gaussians();
        if reference.sh_degree() == 0 {
            gaussians.sh = gaussians.sh.chunks_exact(16).map(|row| row[0]).collect();
            gaussians.sh_degree = 0;
        }
        let background = [0.9, 0.2, 0.4];
        let image = render(&gaussians, &reference.view(), &RenderOptions { background, ..Default::default() }).unwrap();
        for (i, expected) in reference.get("picture").chunks_exact(reference.planes()).enumerate() {
            let left = 1.0 - expected[4];
            let colour = image.colour[i].map(f64::from);
            let close = |a: f64, b: f64| (a - b).abs() < BAR * b.abs().max(1.0);
            let alike = (0..3).all(|k| close(colour[k], expected[k] + left * f64::from(background[k])));
            let depth = expected[3] * expected[4];
            assert!(alike && close(image.alpha[i].into(), expected[4]), "{}: pixel {i}", reference.name);
            assert!(close(image.depth[i].into(), depth), "{}: depth of pixel {i}: {}", reference.name, image.depth[i]);
        }
    }
}
