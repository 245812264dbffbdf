//! Pictures by PyTorch3D (`raster_reference/pytorch3d`), rendered again with the modular operators.

use lumigrad_core::map::{Expr, Map, vector};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_raster::modular::{Layer, antialias, interpolate, rasterize, sample_texture};
use lumigrad_raster::{Camera, render::neighbours};
use lumigrad_scene::camera::View;
use lumigrad_scene::picture::Picture;
use lumigrad_scene::{Sampler, Wrap};
use lumigrad_testkit::data_dir;
use std::collections::HashMap;
use std::f64::consts::PI;
use std::path::Path;

const SIZE: usize = 512;
/// Their tolerances for textured and shaded pictures, and for silhouettes.
const COLOR_BAR: f64 = 0.05;
const SILHOUETTE_BAR: f64 = 0.055;

/// A mesh whose texture coordinates have indices of their own, as in an OBJ file.
#[derive(Default)]
struct Mesh {
    points: Vec<[f32; 3]>,
    faces: Vec<[u32; 3]>,
    texcoords: Vec<[f32; 2]>,
    texcoord_faces: Vec<[u32; 3]>,
}

/// An icosahedron, halved `level` times and blown up to radius 1.
fn icosphere(level: usize) -> Mesh {
    let t = (1.0 + 5f32.sqrt()) / 2.0;
    let mut points: Vec<[f32; 3]> = vec![];
    for (a, b) in [(-1.0, t), (1.0, t), (-1.0, -t), (1.0, -t)] {
        points.extend([[a, b, 0.0], [0.0, a, b], [b, 0.0, a]]);
    }
    let gap = |a: [f32; 3], b: [f32; 3]| (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>().sqrt();
    let mut faces = vec![];
    for (i, j, k) in (0..12).flat_map(|i| (0..i).flat_map(move |j| (0..j).map(move |k| (i, j, k)))) {
        let near = |a: usize, b: usize| gap(points[a], points[b]) < 2.01;
        if near(i, j) && near(j, k) && near(i, k) {
            faces.push([i as u32, j as u32, k as u32]);
        }
    }
    assert_eq!(faces.len(), 20);
    for _ in 0..level {
        let mut middles = HashMap::new();
        let mut middle = |a: u32, b: u32, points: &mut Vec<[f32; 3]>| {
            *middles.entry((a.min(b), a.max(b))).or_insert_with(|| {
                let (p, q) = (points[a as usize], points[b as usize]);
                points.push(std::array::from_fn(|k| 0.5 * (p[k] + q[k])));
                points.len() as u32 - 1
            })
        };
        let halved = faces.iter().flat_map(|&[a, b, c]| {
            let [d, e, f] = [(a, b), (b, c), (c, a)].map(|(i, j)| middle(i, j, &mut points));
            [[a, d, f], [b, e, d], [c, f, e], [d, e, f]]
        });
        faces = halved.collect();
        for p in &mut points {
            let length = gap(*p, [0.0; 3]);
            *p = p.map(|x| x / length);
        }
    }
    Mesh { points, faces, ..Default::default() }
}

fn read_obj(path: &Path) -> Mesh {
    let mut mesh = Mesh::default();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |k: usize| words[k].parse::<f32>().unwrap();
        let index = |k: usize, part: usize| words[k].split('/').nth(part).unwrap().parse::<u32>().unwrap() - 1;
        match words.first() {
            Some(&"v") => mesh.points.push([number(1), number(2), number(3)]),
            Some(&"vt") => mesh.texcoords.push([number(1), number(2)]),
            Some(&"f") => {
                mesh.faces.push([1, 2, 3].map(|k| index(k, 0)));
                mesh.texcoord_faces.push([1, 2, 3].map(|k| index(k, 1)));
            }
            _ => {}
        }
    }
    mesh
}

fn table<const N: usize>(rows: &[[f32; N]]) -> Var {
    Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[rows.len(), N]).unwrap().into()
}

fn indices(rows: &[[u32; 3]]) -> Tensor {
    Tensor::from_slice(&Device::cpu(), rows.as_flattened(), &[rows.len(), 3]).unwrap()
}

/// A camera at distance 2.7 on the z axis; `side` −1 is behind.
fn project(points: &[[f32; 3]], side: f64) -> Var {
    let fov = 60f64.to_radians();
    let view = View::look_at("", [0.0, 0.0, 2.7 * side], [0.0; 3], [0.0, 1.0, 0.0], fov, (SIZE, SIZE)).unwrap();
    let view = View { near: 1.0, far: 100.0, ..view };
    Camera::new(&view, &Device::cpu(), lumigrad_core::DType::F32).unwrap().project(&table(points)).unwrap()
}

fn layer(clip: &Var, faces: &[[u32; 3]]) -> Layer {
    let both_sides = Tensor::full(&Device::cpu(), lumigrad_core::DType::U32, &[faces.len()], 1.0).unwrap();
    rasterize(clip.tensor(), &indices(faces), &both_sides, SIZE, SIZE, None).unwrap()
}

/// A picture as numbers in [0, 1] as stored, with its number of channels.
fn reference(data: &Path, name: &str) -> Vec<[f64; 3]> {
    let path = data.join("raster_reference/pytorch3d").join(name);
    let p = Picture::load(&path).unwrap();
    assert_eq!((p.width, p.height), (SIZE, SIZE));
    let channel = |pixel: &[f32], k: usize| f64::from(pixel[k.min(p.channels.saturating_sub(1))]);
    p.data.chunks(p.channels).map(|pixel| [0, 1, 2].map(|k| channel(pixel, k))).collect()
}

/// Their Phong shading: ambient ½, diffuse 0.3, specular 0.2 with exponent 64, of a colour; 0 where nothing is seen.
fn phong(color: &Var, position: &Var, normal: &Var, mask: &Var, light: [f64; 3], eye: [f64; 3]) -> Vec<[f64; 3]> {
    let map = Map::new("test/phong", |m| {
        let (c, p, n) = (m.item::<4>("color"), m.item::<3>("position"), m.item::<3>("normal"));
        let [mask] = m.item("mask");
        let constant = |v: [f64; 3]| v.map(Expr::from);
        let n = vector::normalize(n);
        let l = vector::normalize(vector::sub(constant(light), p));
        let v = vector::normalize(vector::sub(constant(eye), p));
        let nl = vector::dot(n, l);
        let mirrored = vector::sub(vector::scale(n, 2.0 * nl), l);
        let highlight = nl.greater(0.0).select(vector::dot(v, mirrored).max(0.0).powi(64), 0.0);
        let out: Vec<Expr> = (0..3).map(|k| mask * ((0.5 + 0.3 * nl.max(0.0)) * c[k] + 0.2 * highlight)).collect();
        m.output("color", &out);
    });
    let rows = |v: &Var| v.reshape(&[SIZE * SIZE, v.len() / (SIZE * SIZE)]).unwrap();
    let inputs = [rows(color), rows(position), rows(normal), rows(mask)];
    let out = map.apply(&inputs.iter().collect::<Vec<_>>()).unwrap().remove(0);
    out.tensor().to_f64_vec().unwrap().chunks(3).map(|c| [c[0], c[1], c[2]]).collect()
}

/// Area-weighted vertex normals.
fn normals(mesh: &Mesh) -> Vec<[f32; 3]> {
    let mut sums = vec![glam::Vec3::ZERO; mesh.points.len()];
    for f in &mesh.faces {
        let [a, b, c] = f.map(|v| glam::Vec3::from(mesh.points[v as usize]));
        f.iter().for_each(|&v| sums[v as usize] += (b - a).cross(c - a));
    }
    sums.iter().map(|n| n.normalize().to_array()).collect()
}

/// Fails where a colour, cut off at 1 as in an 8-bit picture, is off by more than the bar.
fn compare(what: &str, found: &[[f64; 3]], expected: &[[f64; 3]], bar: f64, allowed: usize) {
    let error = |(a, b): (&[f64; 3], &[f64; 3])| (0..3).map(|k| (a[k].min(1.0) - b[k]).abs()).fold(0.0, f64::max);
    let errors: Vec<f64> = found.iter().zip(expected).map(error).collect();
    let bad = errors.iter().filter(|e| !(**e <= bar)).count();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    println!("{what}: mean error {mean:.5}, {bad} of {} pixels above {bar}", errors.len());
    assert!(bad <= allowed, "{what}: {bad} pixels");
}

#[test]
fn a_sphere_covers_the_pixels_that_pytorch3d_covers() {
    let Some(data) = data_dir("coverage") else { return };
    let mesh = icosphere(5);
    let seen = layer(&project(&mesh.points, 1.0), &mesh.faces).triangles.to_vec::<u32>().unwrap();
    let expected = reference(&data, "test_rasterized_sphere_MeshRasterizer.png");
    let different = seen.iter().zip(&expected).filter(|(id, e)| (**id != 0) != (e[0] > 0.5)).count();
    println!("sphere: {different} pixels differ");
    assert_eq!(different, 0);
}

#[test]
fn a_silhouette_agrees_with_pytorch3d_beyond_its_blur() {
    let Some(data) = data_dir("silhouette") else { return };
    let mesh = icosphere(5);
    let clip = project(&mesh.points, 1.0);
    let layer = layer(&clip, &mesh.faces);
    let classes: Vec<u32> = (0..mesh.points.len() as u32).collect();
    let edges = indices(&neighbours(&mesh.faces, &classes));
    let ones = table(&vec![[1.0; 4]; mesh.points.len()]);
    let mask = interpolate(&ones, &clip, &indices(&mesh.faces), &layer).unwrap().values;
    let smooth = antialias(&mask, &layer, &clip, &indices(&mesh.faces), &edges).unwrap();
    let found: Vec<f64> = smooth.tensor().to_f64_vec().unwrap().chunks(4).map(|p| p[3]).collect();
    let expected = reference(&data, "test_FoVPerspectiveCameras_silhouette.png");
    // Theirs fades over σ = 10⁻⁴ in squared picture units, which ends 7.8 pixels from the outline.
    let radius = 256.0 / 30f64.to_radians().tan() / (2.7f64 * 2.7 - 1.0).sqrt();
    let (mut compared, mut worst) = (0, 0f64);
    for (i, (a, e)) in found.iter().zip(&expected).enumerate() {
        let at = [(i % SIZE) as f64 - 255.5, (i / SIZE) as f64 - 255.5];
        if (at[0].hypot(at[1]) - radius).abs() > 8.0 {
            compared += 1;
            worst = worst.max((a - e[0]).abs());
        }
    }
    println!("silhouette: {compared} pixels, worst {worst:.4}");
    assert!(compared > SIZE * SIZE * 9 / 10 && worst <= SILHOUETTE_BAR);
    // The whole is less blurred, not smaller or larger: half of theirs lies where our edge is, give or take their faces'
    // overlapping fades.
    let area = PI * radius * radius;
    let sum: f64 = found.iter().sum();
    println!("area {sum:.1}, analytic {area:.1}");
    assert!((sum / area - 1.0).abs() < 2e-3);
}

#[test]
fn a_lit_sphere_agrees_with_pytorch3d() {
    let Some(data) = data_dir("phong") else { return };
    let mesh = icosphere(5);
    let clip = project(&mesh.points, 1.0);
    let layer = layer(&clip, &mesh.faces);
    let at = |rows: &Var| interpolate(rows, &clip, &indices(&mesh.faces), &layer).unwrap().values;
    let white = table(&vec![[1.0; 4]; mesh.points.len()]);
    let one = table(&vec![[1.0]; mesh.points.len()]);
    // Our icosahedron's faces may turn either way: a unit sphere's normals are its points.
    let (p, n) = (at(&table(&mesh.points)), at(&table(&mesh.points)));
    let found = phong(&at(&white), &p, &n, &at(&one), [0.0, 0.0, 2.0], [0.0, 0.0, 2.7]);
    let expected = reference(&data, "test_simple_sphere_light_phong_FoVPerspectiveCameras.png");
    compare("phong sphere", &found, &expected, COLOR_BAR, 0);
}

#[test]
fn a_textured_cow_agrees_with_pytorch3d() {
    let Some(data) = data_dir("textured cow") else { return };
    let folder = data.join("meshes/cow_mesh");
    let mesh = read_obj(&folder.join("cow.obj"));
    let picture = Picture::load(&folder.join("cow_texture.png")).unwrap().into_rgba();
    let (w, h) = (picture.width, picture.height);
    let texture: Var = Tensor::from_slice(&Device::cpu(), &picture.data, &[h, w, 4]).unwrap().into();
    let clip = project(&mesh.points, -1.0);
    let layer = layer(&clip, &mesh.faces);
    let at = |rows: &Var| interpolate(rows, &clip, &indices(&mesh.faces), &layer).unwrap().values;
    let one = table(&vec![[1.0]; mesh.points.len()]);
    let (p, n, mask) = (at(&table(&mesh.points)), at(&table(&normals(&mesh))), at(&one));
    // Corners of faces as vertices, because texture coordinates have their own indices. v points up, and 0 and 1 are the
    // centres of the border texels.
    let corners: Vec<u32> = (0..3 * mesh.faces.len() as u32).collect();
    let own: Vec<[u32; 3]> = corners.chunks(3).map(|c| [c[0], c[1], c[2]]).collect();
    let rows = indices(&mesh.faces).reshape(&[3 * mesh.faces.len()]).unwrap();
    let inset = |x: f32, n: usize| (x * (n - 1) as f32 + 0.5) / n as f32;
    let uv: Vec<[f32; 2]> = mesh
        .texcoord_faces
        .iter()
        .flatten()
        .map(|&t| mesh.texcoords[t as usize])
        .map(|[u, v]| [inset(u, w), inset(1.0 - v, h)])
        .collect();
    let uv = interpolate(&table(&uv), &clip.gather(&rows).unwrap(), &indices(&own), &layer).unwrap().values;
    let sampler = Sampler { wrap_s: Wrap::ClampToEdge, wrap_t: Wrap::ClampToEdge, ..Sampler::default() };
    let color = sample_texture(&texture, &uv, None, &sampler).unwrap();
    let mut found = phong(&color, &p, &n, &mask, [0.0, 0.0, -2.0], [0.0, 0.0, -2.7]);
    let mask = mask.tensor().to_f64_vec().unwrap();
    found.iter_mut().zip(mask).filter(|(_, m)| *m == 0.0).for_each(|(c, _)| *c = [1.0; 3]);
    let expected = reference(&data, "test_texture_map_front_MeshRasterizer.png");
    compare("textured cow", &found, &expected, COLOR_BAR, 0);
}
