//! Makes the files in `assets/`: `cargo run --release -p lumigrad --example make_assets assets`.

use lumigrad_scene::{Error, Image, Light, LightKind, Material, MeshData, Node, Scene, Transform};
use std::f32::consts::{PI, TAU};
use std::path::Path;

/// A surface of revolution or torus as a grid of (u, v) with seams kept, so that textures wrap.
fn grid(nu: usize, nv: usize, at: impl Fn(f32, f32) -> [f32; 3]) -> MeshData {
    let mut mesh = MeshData { normals: Some(vec![]), texcoords: Some(vec![]), ..MeshData::default() };
    for j in 0..=nv {
        for i in 0..=nu {
            let (u, v) = (i as f32 / nu as f32, j as f32 / nv as f32);
            mesh.positions.push(at(u, v));
            mesh.texcoords.as_mut().expect("set above").push([u, v]);
            // Central differences; poles step inwards.
            let (e, w) = (1e-3, v.clamp(2e-3, 1.0 - 2e-3));
            let d = |a: [f32; 3], b: [f32; 3]| std::array::from_fn::<f32, 3, _>(|k| a[k] - b[k]);
            let (du, dv) = (d(at(u + e, w), at(u - e, w)), d(at(u, w + e), at(u, w - e)));
            let n: [f32; 3] = std::array::from_fn(|k| {
                let (a, b) = ((k + 1) % 3, (k + 2) % 3);
                dv[a] * du[b] - dv[b] * du[a]
            });
            let length = n.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            mesh.normals.as_mut().expect("set above").push(n.map(|x| x / length));
        }
    }
    let index = |i: usize, j: usize| (j * (nu + 1) + i) as u32;
    for j in 0..nv {
        for i in 0..nu {
            let (a, b, c, d) = (index(i, j), index(i + 1, j), index(i + 1, j + 1), index(i, j + 1));
            mesh.triangles.extend([[a, d, b], [b, d, c]]);
        }
    }
    let p = &mesh.positions;
    mesh.triangles.retain(|t| {
        let distinct = |a: u32, b: u32| p[a as usize].iter().zip(&p[b as usize]).any(|(x, y)| (x - y).abs() > 1e-6);
        distinct(t[0], t[1]) && distinct(t[1], t[2]) && distinct(t[2], t[0])
    });
    mesh
}

fn sphere(n: usize, radius: f32) -> MeshData {
    grid(2 * n, n, |u, v| {
        let (a, b) = (TAU * u, PI * v);
        // The poles are exact, so that their copies weld.
        let s = if v <= 0.0 || v >= 1.0 { 0.0 } else { b.sin() };
        let a = if u >= 1.0 { 0.0 } else { a };
        [radius * s * a.cos(), radius * b.cos(), -radius * s * a.sin()]
    })
}

fn torus(nu: usize, nv: usize, big: f32, small: f32) -> MeshData {
    grid(nu, nv, |u, v| {
        let (a, b) = (TAU * (u % 1.0), TAU * (v % 1.0));
        let r = big - small * b.cos();
        [r * a.cos(), small * b.sin(), -r * a.sin()]
    })
}

/// Smooth noise in [0, 1]: periodic in u.
fn noise(u: f32, v: f32, cells: i32, seed: i32) -> f32 {
    let hash = |x: i32, y: i32| {
        let mut h = (x.rem_euclid(cells)) as u32
            ^ (y as u32).wrapping_mul(0x9e37_79b9)
            ^ (seed as u32).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        ((h ^ (h >> 15)) & 0xffff) as f32 / 65535.0
    };
    let (x, y) = (u * cells as f32, v * cells as f32);
    let (i, j) = (x.floor() as i32, y.floor() as i32);
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (s, t) = (ease(x - i as f32), ease(y - j as f32));
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    mix(mix(hash(i, j), hash(i + 1, j), s), mix(hash(i, j + 1), hash(i + 1, j + 1), s), t)
}

fn fbm(u: f32, v: f32, seed: i32) -> f32 {
    (0..5).map(|k| noise(u, v, 4 << k, seed + k) / (1 << (k + 1)) as f32).sum::<f32>() / (31.0 / 32.0)
}

fn image(name: &str, n: u32, color: impl Fn(f32, f32) -> [f32; 3]) -> Image {
    let mut rgba8 = vec![];
    for y in 0..n {
        for x in 0..n {
            let c = color((x as f32 + 0.5) / n as f32, (y as f32 + 0.5) / n as f32);
            rgba8.extend(c.map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8));
            rgba8.push(255);
        }
    }
    Image { name: name.into(), width: n, height: n, rgba8 }
}

fn blend(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|k| a[k] + (b[k] - a[k]) * t.clamp(0.0, 1.0))
}

/// A painted planet: seas, coasts, forests, snow and a grid of meridians.
fn planet(u: f32, v: f32) -> [f32; 3] {
    let h = fbm(u, v, 7);
    let snow = ((v - 0.5).abs() * 2.0 - 0.72 + 0.3 * (fbm(u, v, 90) - 0.5)) * 14.0;
    let sea = blend([0.02, 0.09, 0.30], [0.10, 0.42, 0.62], (h - 0.3) * 5.0);
    let land = blend([0.80, 0.68, 0.38], [0.16, 0.40, 0.14], (h - 0.53) * 9.0);
    let land = blend(land, [0.42, 0.31, 0.22], (h - 0.64) * 9.0);
    let ground = blend(sea, land, (h - 0.51) * 60.0);
    let line = |x: f32| ((x.fract() - 0.5).abs() * 2.0 - 0.94) * 20.0;
    let marked = blend(ground, [0.95, 0.55, 0.12], line(u * 12.0).max(line(v * 6.0)).clamp(0.0, 0.8));
    blend(marked, [0.96, 0.97, 0.99], snow)
}

fn tiles(u: f32, v: f32) -> [f32; 3] {
    let (x, y) = (u * 6.0, v * 6.0);
    let odd = (x.floor() as i32 + y.floor() as i32) % 2 == 0;
    let worn = 0.75 + 0.35 * fbm(u, v, 31);
    let tile = if odd { [0.62, 0.22, 0.16] } else { [0.86, 0.80, 0.68] };
    let edge = [x, y].iter().any(|t| (t.fract() - 0.5).abs() > 0.46);
    if edge { [0.30, 0.28, 0.26] } else { tile.map(|c| c * worn) }
}

fn plain(name: &str, color: [f32; 3], metallic: f32, roughness: f32) -> Material {
    let [r, g, b] = color;
    let base_color_factor = [r, g, b, 1.0];
    Material {
        name: name.into(),
        base_color_factor,
        metallic_factor: metallic,
        roughness_factor: roughness,
        ..Default::default()
    }
}

fn place(scene: &mut Scene, name: &str, mesh: usize, at: [f32; 3]) -> Result<(), Error> {
    let transform = Transform::Trs { translation: at, rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };
    scene.add_node(&Node { name: name.into(), mesh: Some(mesh), transform, ..Node::default() })?;
    Ok(())
}

fn light(scene: &mut Scene, name: &str, color: [f32; 3], intensity: f32, at: [f32; 3]) -> Result<(), Error> {
    let light = scene.add_light(&Light { name: name.into(), color, intensity, range: None, kind: LightKind::Point })?;
    let transform = Transform::Trs { translation: at, rotation: [1.0, 0.0, 0.0, 0.0], scale: [1.0; 3] };
    scene.add_node(&Node { name: name.into(), light: Some(light), transform, ..Node::default() })?;
    Ok(())
}

fn still_life() -> Result<Scene, Error> {
    let mut scene = Scene::new("still life");
    let planet_material = scene.add_material(&plain("planet", [1.0; 3], 0.0, 0.45))?;
    let floor_material = scene.add_material(&plain("floor", [1.0; 3], 0.0, 0.6))?;
    let gold = scene.add_material(&plain("gold", [1.0, 0.72, 0.28], 1.0, 0.35))?;
    let jade = scene.add_material(&plain("jade", [0.16, 0.55, 0.38], 0.0, 0.25))?;
    let ground = grid(12, 12, |u, v| [4.0 * (u - 0.5), 0.0, 4.0 * (v - 0.5)]);
    for (name, mesh, material, at) in [
        ("floor", ground, floor_material, [0.0, 0.0, 0.0]),
        ("planet", sphere(32, 0.75), planet_material, [-0.45, 0.75, -0.2]),
        ("ring", torus(64, 24, 0.42, 0.16), gold, [0.85, 0.16, 0.5]),
        ("ball", sphere(24, 0.34), jade, [0.85, 0.34, -0.75]),
    ] {
        let index = scene.add_mesh(name, &[(mesh, Some(material))])?;
        place(&mut scene, name, index, at)?;
    }
    let texture = |scene: &mut Scene, m: usize, picture: &Image| {
        let slot = format!("/materials/{m}/pbrMetallicRoughness/baseColorTexture");
        scene.create_texture(&slot, picture.width, picture.height, &picture.to_f32(true))
    };
    texture(&mut scene, planet_material, &image("planet", 256, planet))?;
    texture(&mut scene, floor_material, &image("tiles", 128, tiles))?;
    light(&mut scene, "warm", [1.0, 0.82, 0.6], 14.0, [1.8, 2.6, 1.6])?;
    light(&mut scene, "cool", [0.55, 0.7, 1.0], 9.0, [-2.2, 1.8, 1.2])?;
    Ok(scene)
}

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "assets".into());
    let folder = Path::new(&folder);
    // As surfaces without a material of their own are read, so that only shape differs.
    let plaster = plain("plaster", [1.0; 3], 0.0, 1.0);
    Scene::from_mesh("sphere", &sphere(35, 1.0), &plaster, None)?.save(folder.join("sphere.glb"))?;
    let globe = plain("globe", [1.0; 3], 0.0, 0.5);
    Scene::from_mesh("globe", &sphere(40, 1.0), &globe, Some(&image("planet", 512, planet)))?
        .save(folder.join("globe.glb"))?;
    // A smooth lobed body that a sphere can be deformed into.
    let body = |u: f32, v: f32| {
        let p = sphere_point(u, v);
        let lobes = 0.22 * (3.0 * p[0]).sin() * (3.0 * p[1] + 0.5).cos() + 0.16 * (4.0 * p[2] + 1.0).sin();
        p.map(|x| x * (1.0 + lobes))
    };
    Scene::from_mesh("pebble", &grid(128, 64, body), &plaster, None)?.save(folder.join("pebble.glb"))?;
    still_life()?.save(folder.join("still_life.glb"))
}

fn sphere_point(u: f32, v: f32) -> [f32; 3] {
    let (a, b) = (TAU * (u % 1.0), PI * v);
    let s = if v <= 0.0 || v >= 1.0 { 0.0 } else { b.sin() };
    [s * a.cos(), b.cos(), -s * a.sin()]
}
