//! Gradients estimated from pictures against analytic ones.

use lumigrad_core::map::srgb;
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Map, Tape, Tensor, Var};
use lumigrad_optim::{Adam, Group};
use lumigrad_raster::stochastic::{HardwareRasterizer, ImageRenderer, Picture, Reach, Unknown, estimate};
use lumigrad_raster::{Bindings, Camera, Error, Options, Renderer};
use lumigrad_scene::camera::{Framing, sphere_views};
use lumigrad_scene::{Material, MeshData, Node, Scene};

const TEXTURE: &str = "/materials/0/pbrMetallicRoughness/baseColorTexture";
const SIZE: usize = 20;
const TEXELS: u32 = 16;
const POSITION: &str = "/meshes/0/primitives/0/attributes/POSITION";

/// An unlit icosahedron with an 8 × 8 texture on each of its faces' halves, from one camera.
struct Case {
    renderer: Renderer,
    camera: Camera,
    pointers: Vec<&'static str>,
    scales: usize,
}

fn icosahedron() -> Scene {
    let mut scene = Scene::new("icosahedron");
    let material = scene.add_material(&Material { unlit: true, ..Default::default() }).unwrap();
    let g = 0.5 + 1.25f32.sqrt();
    let signs = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]];
    let corners: Vec<[f32; 3]> =
        (0..3).flat_map(|k| signs.map(|[a, b]| std::array::from_fn(|i| [0.0, a, b * g][(i + k) % 3]))).collect();
    let distance = |a: [f32; 3], b: [f32; 3]| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>();
    let near = |i: usize, j: usize| (distance(corners[i], corners[j]) - 4.0).abs() < 1e-3;
    let mut mesh = MeshData { texcoords: Some(vec![]), ..Default::default() };
    for p in &corners {
        mesh.positions.push(p.map(|x| x / 2.0));
        mesh.texcoords.as_mut().unwrap().push([0.5 + 0.24 * p[0], 0.5 - 0.24 * p[1]]);
    }
    for (i, j, k) in (0..12).flat_map(|i| (i + 1..12).flat_map(move |j| (j + 1..12).map(move |k| (i, j, k)))) {
        if near(i, j) && near(j, k) && near(k, i) {
            let [a, b, c] = [corners[i], corners[j], corners[k]].map(glam::Vec3::from);
            let outwards = (b - a).cross(c - a).dot(a + b + c) > 0.0;
            mesh.triangles.push(if outwards { [i as u32, j as u32, k as u32] } else { [i as u32, k as u32, j as u32] });
        }
    }
    let mesh = scene.add_mesh("icosahedron", &[(mesh, Some(material))]).unwrap();
    scene.add_node(&Node { mesh: Some(mesh), ..Default::default() }).unwrap();
    let texels: Vec<f32> = (0..TEXELS * TEXELS)
        .flat_map(|i| [random::uniform(1, i as u64), random::uniform(2, i as u64), 0.4, 1.0].map(|x| x as f32))
        .collect();
    scene.create_texture(TEXTURE, TEXELS, TEXELS, &texels).unwrap();
    scene
}

impl Case {
    fn new(pointers: &[&'static str], device: &Device) -> Self {
        let renderer = Renderer::new(&icosahedron(), device, &Options::default()).unwrap();
        let view = sphere_views(3, &Framing::of_sphere([0.0; 3], 1.0, (SIZE, SIZE))).remove(1);
        Self {
            renderer,
            camera: Camera::new(&view, device, DType::F32).unwrap(),
            pointers: pointers.to_vec(),
            scales: 1,
        }
    }

    fn start(&self) -> Vec<Tensor> {
        let value = |pointer: &&str| {
            let (shape, data) = self.renderer.scene().get(pointer).unwrap();
            Tensor::from_slice(self.renderer.device(), &data, &shape).unwrap()
        };
        self.pointers.iter().map(value).collect()
    }

    fn bindings(&self, values: &[Var]) -> Bindings {
        let mut bindings = Bindings::new();
        self.pointers.iter().zip(values).for_each(|(p, v)| bindings.bind(*p, v.clone()));
        bindings
    }

    fn unknowns(&self, values: &[Tensor], steps: &[f64]) -> Vec<Unknown> {
        let values: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        let frame = self.renderer.frame(&self.bindings(&values)).unwrap();
        let layers = frame.picture(&self.camera).unwrap().layers;
        let unknown = |(pointer, step): (&&str, &f64)| {
            let mut unknown = self.renderer.unknown(&[*pointer], *step, self.camera.width, None).unwrap();
            if let Reach::Texture(texture) = unknown.reach {
                unknown.reach = Reach::Texture(texture.units_of(&layers, self.scales).unwrap());
            }
            unknown
        };
        self.pointers.iter().zip(steps).map(unknown).collect()
    }

    /// The mean of estimates of `n` draws.
    fn mean(&mut self, unknowns: &[Unknown], n: u64) -> Vec<Vec<f64>> {
        let values = self.start();
        let mut sums: Vec<Vec<f64>> = values.iter().map(|v| vec![0.0; v.len()]).collect();
        for draw in 0..n {
            let found = estimate(self, &values, unknowns, pixels, random::hash(5, draw)).unwrap();
            for (sum, gradient) in sums.iter_mut().zip(&found.gradients) {
                let gradient = gradient.to_f64_vec().unwrap();
                sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g / n as f64);
            }
        }
        sums
    }

    fn analytic(&self) -> Vec<Vec<f64>> {
        let tape = Tape::new();
        let leaves: Vec<Var> = self.start().into_iter().map(|t| tape.variable(t)).collect();
        let image = self.renderer.frame(&self.bindings(&leaves)).unwrap().render(&self.camera).unwrap().image;
        let loss = brightness().apply(&[&image]).unwrap().remove(0).sum().unwrap();
        let mut gradients = tape.backward(&loss).unwrap();
        leaves.iter().map(|v| gradients.take(v).unwrap().to_f64_vec().unwrap()).collect()
    }
}

impl ImageRenderer for Case {
    type Error = Error;

    fn render(&mut self, values: &[Tensor]) -> Result<Picture, Error> {
        let values: Vec<Var> = values.iter().cloned().map(Var::from).collect();
        self.renderer.frame(&self.bindings(&values))?.picture(&self.camera)
    }
}

/// Linear in colours: where a loss is curved, pixels half covered by antialiasing have other derivatives than pixels that
/// are covered half of the time.
fn brightness() -> Map {
    Map::cached("test/brightness", |m| {
        let [r, g, b, _] = m.item("picture");
        m.output("loss", &[0.5 * r + 0.3 * g + 0.2 * b]);
    })
}

fn pixels(color: &Tensor) -> Result<Tensor, Error> {
    Ok(brightness().run(&[color], &Default::default())?.remove(0))
}

/// Cosine of the angle between them, and their ratio along the second.
fn compare(estimated: &[f64], exact: &[f64]) -> (f64, f64) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let along = dot(estimated, exact);
    (along / (dot(estimated, estimated) * dot(exact, exact)).sqrt(), along / dot(exact, exact))
}

#[test]
fn the_mean_estimate_of_texels_points_along_the_gradient() {
    let mut case = Case::new(&[TEXTURE], &Device::cpu());
    let unknowns = case.unknowns(&case.start(), &[0.02]);
    let (estimated, exact) = (case.mean(&unknowns, 4096).remove(0), case.analytic().remove(0));
    let (cosine, ratio) = compare(&estimated, &exact);
    assert!(cosine > 0.98, "cosine {cosine}");
    assert!((ratio - 1.0).abs() < 0.05, "magnitude {ratio}");
}

/// Squared distance of display-encoded colours.
fn encoded_distance(color: &Tensor, goal: &Tensor) -> Result<Tensor, Error> {
    let map = Map::cached("test/encoded distance", |m| {
        let (a, b) = (m.item::<4>("picture"), m.item::<4>("goal"));
        m.output("loss", &[0, 1, 2].map(|k| (srgb::to_encoded(a[k]) - srgb::to_encoded(b[k])).square()));
    });
    Ok(map.run(&[color, goal], &Default::default())?.remove(0))
}

#[test]
fn dark_texels_stay_where_pictures_match_when_they_move_in_display_encoding() {
    let mut case = Case::new(&[TEXTURE], &Device::cpu());
    let mut unknowns = case.unknowns(&case.start(), &[0.1]);
    unknowns[0].bounds = (0.0, 1.0);
    let dark = Tensor::full(&Device::cpu(), DType::F32, case.start()[0].shape(), 0.05).unwrap();
    let goal = case.render(std::slice::from_ref(&dark)).unwrap().color;
    let mut drift = |encoded: bool| -> f64 {
        unknowns[0].encoded = encoded;
        let values = std::slice::from_ref(&dark);
        let draws = (0..200).map(|draw| {
            let found = estimate(&mut case, values, &unknowns, |c| encoded_distance(c, &goal), random::hash(7, draw));
            found.unwrap().gradients[0].to_f64_vec().unwrap().into_iter().sum::<f64>()
        });
        draws.sum()
    };
    let (linear, encoded) = (drift(false), drift(true));
    assert!(encoded.abs() < 0.1 * linear.abs(), "{encoded} by encoded moves, {linear} by linear ones");
}

#[test]
fn the_mean_estimate_of_vertices_points_along_the_gradient() {
    let mut case = Case::new(&[POSITION], &Device::cpu());
    let unknowns = case.unknowns(&case.start(), &[0.05]);
    let (estimated, exact) = (case.mean(&unknowns, 4096).remove(0), case.analytic().remove(0));
    let (cosine, ratio) = compare(&estimated, &exact);
    assert!(cosine > 0.9, "cosine {cosine}");
    assert!((ratio - 1.0).abs() < 0.2, "magnitude {ratio}");
}

#[test]
fn the_hardware_rasteriser_draws_what_ours_draws_and_is_optimised_alike() {
    let Some(gpu) = lumigrad_testkit::gpu("hardware rasteriser") else { return };
    let mut ours = Case::new(&[POSITION, TEXTURE], &gpu);
    let scene = icosahedron();
    let primitive = &scene.meshes()[0].primitives[0];
    let texcoords = primitive.texcoord(0).unwrap().to_vec();
    let camera = ours.camera.clone();
    let mut theirs = HardwareRasterizer::new(&gpu, &primitive.triangles, &texcoords, camera).unwrap();
    let values = ours.start();
    let (a, b) = (ours.render(&values).unwrap(), theirs.render(&values).unwrap());
    let (ids, others) = (&a.layers[0].triangles, &b.layers[0].triangles);
    assert_eq!(ids.to_vec::<u32>().unwrap(), others.to_vec::<u32>().unwrap());
    // Of texture coordinates the hardware one has a single set.
    let far = |a: &Tensor, b: &Tensor, channels: usize| {
        let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
        let rows = a.chunks_exact(4).zip(b.chunks_exact(4));
        rows.flat_map(|(a, b)| (0..channels).map(|k| (a[k] - b[k]).abs())).fold(0.0, f32::max)
    };
    assert!(far(&a.layers[0].texcoords, &b.layers[0].texcoords, 2) < 1e-4);
    // Footprints of hardware are differences within 2 × 2 pixels, hence levels of detail differ a little.
    assert!(far(&a.color, &b.color, 3) < 0.1, "{}", far(&a.color, &b.color, 3));

    // A grey texture becomes the other one again.
    let unknowns = ours.unknowns(&values, &[0.0, 0.03]);
    let still = Unknown { reach: Reach::Rows(0..0), step: 1.0, ..unknowns[0].clone() };
    let unknowns = [still, unknowns[1].clone()];
    let goal = b.color.clone();
    let distance = |color: &Tensor| -> Result<Tensor, Error> {
        Ok(loss_map().run(&[color, &goal], &Default::default())?.remove(0))
    };
    let mut texture = Tensor::full(&gpu, DType::F32, values[1].shape(), 0.5).unwrap();
    let mut adam = Adam::new(vec![Group::new("texture", 0.03)]);
    let (mut first, mut last) = (None, 0.0);
    for step in 0..60 {
        let now = [values[0].clone(), texture.clone()];
        let found = estimate(&mut theirs, &now, &unknowns, distance, step).unwrap();
        first.get_or_insert(found.loss);
        last = found.loss;
        adam.step(&mut [&mut texture], &[Some(found.gradients[1].clone())], 1.0).unwrap();
    }
    assert!(last < 0.1 * first.unwrap(), "{first:?} -> {last}");
}

/// Squared distance of each pixel's colour.
fn loss_map() -> Map {
    Map::cached("test/distance", |m| {
        let ([r, g, b, _], [x, y, z, _]) = (m.item("picture"), m.item("goal"));
        m.output("loss", &[(r - x).square() + (g - y).square() + (b - z).square()]);
    })
}
