//! Makes the prior over patches of materials in `assets/`:
//! `cargo run --release -p lumigrad --example make_materials assets`.
//!
//! Three materials are drawn as functions of the plane; patches of them at random places, turned at random, are grouped by
//! likeness (k-means), and each group becomes a Gaussian of the mixture.

use lumigrad_core::ops::random::{hash, uniform};
use lumigrad_guidance::analytic::{Basis, Component, Covariance, Mixture, Pictures, Precision, Samples};
use lumigrad_scene::picture::{Picture, Transfer};
use std::f64::consts::TAU;
use std::path::Path;

/// Rows and columns of a patch.
const SIDE: usize = 8;
/// Patches of a material, and groups of them.
const PATCHES: usize = 6000;
const GROUPS: usize = 64;
/// Directions in which a group's patches vary.
const RANK: usize = 4;
/// Part of the variance along all other directions that is kept: samples have less noise than groups are wide.
const KEPT: f64 = 0.1;
/// Rounds of grouping.
const ROUNDS: usize = 30;
/// Columns and rows of pictures of the materials themselves.
const SHOWN: usize = 128;

type Colour = [f64; 3];

/// A material: a display-encoded colour at each place, in pixels.
struct MaterialClass {
    name: &'static str,
    at: fn(f64, f64) -> Colour,
}

const MATERIALS: [MaterialClass; 3] = [
    MaterialClass { name: "hide", at: hide },
    MaterialClass { name: "lava", at: lava },
    MaterialClass { name: "leopard", at: leopard },
];

/// Smooth noise, about −1 to 1, that changes over `scale` pixels.
fn noise(x: f64, y: f64, scale: f64, seed: u64) -> f64 {
    let (x, y) = (x / scale, y / scale);
    let (i, j) = (x.floor(), y.floor());
    let value = |di: f64, dj: f64| 2.0 * uniform(seed, cell(i + di, j + dj)) - 1.0;
    let ease = |t: f64| t * t * t * (t * (6.0 * t - 15.0) + 10.0);
    let (s, t) = (ease(x - i), ease(y - j));
    let mix = |a: f64, b: f64, t: f64| a + (b - a) * t;
    mix(mix(value(0.0, 0.0), value(1.0, 0.0), s), mix(value(0.0, 1.0), value(1.0, 1.0), s), t)
}

fn cell(i: f64, j: f64) -> u64 {
    hash(i as i64 as u64, j as i64 as u64)
}

fn blend(a: Colour, b: Colour, t: f64) -> Colour {
    std::array::from_fn(|k| a[k] + (b[k] - a[k]) * t.clamp(0.0, 1.0))
}

/// Brown blotches on cream.
fn hide(x: f64, y: f64) -> Colour {
    let n = noise(x, y, 11.0, 1) + 0.35 * noise(x, y, 6.0, 2);
    blend([0.94, 0.90, 0.80], [0.30, 0.17, 0.09], 0.5 + 4.0 * (n - 0.05))
}

/// Glowing veins in dark rock.
fn lava(x: f64, y: f64) -> Colour {
    let n = noise(x, y, 13.0, 3) + 0.3 * noise(x, y, 7.0, 4);
    let glow = 1.0 - (n.abs() / 0.2).powi(2);
    blend([0.13, 0.11, 0.12], [0.98, 0.50, 0.10], glow)
}

/// Dark spots on tan.
fn leopard(x: f64, y: f64) -> Colour {
    const SPACING: f64 = 9.0;
    let (i, j) = ((x / SPACING).floor(), (y / SPACING).floor());
    let mut nearest = f64::INFINITY;
    for (di, dj) in (-1..=1).flat_map(|a| (-1..=1).map(move |b| (a as f64, b as f64))) {
        let key = cell(i + di, j + dj);
        let centre = |k: u64, n: f64| (n + 0.25 + 0.5 * uniform(5, 2 * (key % (1 << 40)) + k)) * SPACING;
        nearest = nearest.min((x - centre(0, i + di)).hypot(y - centre(1, j + dj)));
    }
    blend([0.86, 0.62, 0.28], [0.16, 0.10, 0.07], 0.5 + 0.55 * (3.0 - nearest))
}

/// A patch around a random place, turned at random, in [−1, 1].
fn patch(material: &MaterialClass, seed: u64, k: u64) -> Vec<f32> {
    let u = |i: u64| uniform(seed, 8 * k + i);
    let (x, y, (sin, cos)) = (4000.0 * u(0), 4000.0 * u(1), (TAU * u(2)).sin_cos());
    let at = |i: usize| {
        let (a, b) = ((i % SIDE) as f64 - 0.5 * SIDE as f64, (i / SIDE) as f64 - 0.5 * SIDE as f64);
        (material.at)(x + cos * a - sin * b, y + sin * a + cos * b)
    };
    (0..SIDE * SIDE).flat_map(|i| at(i).map(|c| (2.0 * c - 1.0) as f32)).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Patches in groups of those that are alike (Lloyd 1982).
fn grouped(patches: &[Vec<f32>], seed: u64) -> Vec<Vec<Vec<f32>>> {
    let mut centres: Vec<Vec<f32>> =
        (0..GROUPS as u64).map(|k| patches[(hash(seed, k) % patches.len() as u64) as usize].clone()).collect();
    let mut groups = vec![];
    for _ in 0..ROUNDS {
        groups = vec![vec![]; GROUPS];
        for patch in patches {
            let near = |k: &usize| distance(patch, &centres[*k]);
            let nearest = (0..GROUPS).min_by(|a, b| near(a).total_cmp(&near(b))).unwrap_or(0);
            groups[nearest].push(patch.clone());
        }
        for (centre, group) in centres.iter_mut().zip(&groups).filter(|(_, g)| !g.is_empty()) {
            for (i, c) in centre.iter_mut().enumerate() {
                *c = group.iter().map(|p| p[i]).sum::<f32>() / group.len() as f32;
            }
        }
    }
    groups.retain(|g| g.len() > 1);
    groups
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "assets".into());
    let folder = Path::new(&folder);
    let mut sets = vec![];
    for (label, material) in MATERIALS.iter().enumerate() {
        let patches: Vec<Vec<f32>> = (0..PATCHES as u64).map(|k| patch(material, 77 + label as u64, k)).collect();
        let groups = grouped(&patches, label as u64);
        let set = |pictures| Samples { pictures, label: Some(label), view: None };
        sets.extend(groups.into_iter().map(set));
        if let Some(show) = std::env::args().nth(2) {
            let at = |k: usize| (material.at)((k % SHOWN) as f64, (k / SHOWN) as f64).map(|c| c as f32);
            let data = (0..SHOWN * SHOWN).flat_map(at).collect();
            let (width, height, transfer) = (SHOWN, SHOWN, Transfer::Srgb);
            let picture = Picture { width, height, channels: 3, data, transfer, premultiplied: false };
            picture.save_png(&Path::new(&show).join(format!("{}.png", material.name)))?;
        }
    }
    let labels = MATERIALS.iter().map(|m| m.name.to_owned()).collect();
    let pictures = Pictures { labels, ..Pictures::new("materials", [SIDE; 2], 3) };
    let estimated = Mixture::estimate(pictures.clone(), Basis::Principal(RANK), &sets)?;
    let narrowed = |c: &Component| match c.covariance.clone() {
        Covariance::Principal { directions, variances, residual } => Component {
            covariance: Covariance::Principal { directions, variances, residual: KEPT * residual },
            ..c.clone()
        },
        Covariance::Cosine { .. } => c.clone(),
    };
    let components = estimated.components().iter().map(narrowed).collect();
    let mixture = Mixture::new(pictures, components)?;
    let bytes = mixture.to_bytes(Precision::Half)?;
    std::fs::write(folder.join("materials.safetensors"), &bytes)?;
    let residuals = estimated.components().iter().map(|c| match &c.covariance {
        Covariance::Principal { residual, .. } => *residual,
        Covariance::Cosine { .. } => 0.0,
    });
    let mean = residuals.sum::<f64>() / sets.len() as f64;
    println!("{} groups, {} bytes; variance along other directions {mean:.4}", sets.len(), bytes.len());
    Ok(())
}
