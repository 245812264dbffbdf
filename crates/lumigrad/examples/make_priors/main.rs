//! Makes the priors in `assets/guidance`, and the classifier that judges what they create:
//! `cargo run --release -p lumigrad --example make_priors assets/guidance`.
//!
//! Classes of shapes are made by rule with random proportions and colours, rendered by lumigrad itself, and described by a
//! Gaussian for each class and direction: one prior knows their colours, another their normals. The classifier sees other shapes
//! of the classes, in grey, and clouds of Gaussians that are none of them.
//!
//! With a second folder, what the priors are made of is written there too: the means of their Gaussians to look at, the shapes as
//! glTF, and pictures and normals of them in folders that `lumigrad prior train` takes.

mod judge;
mod shapes;

use judge::{SEEN, judge, lesson};
use lumigrad::core::ops::random;
use lumigrad::create::ring;
use lumigrad::guidance::View as Direction;
use lumigrad::guidance::analytic::{Basis, Mixture, Pictures, Precision, Samples};
use lumigrad::scene::picture::{Picture, Transfer};
use shapes::{CLASSES, ELEVATION, SECTORS, Seen, pictures, scene, within};
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Side of the prior's pictures, and how many times larger they are rendered.
const SIDE: usize = 24;
const FINER: usize = 4;
/// Principal directions of each Gaussian.
const RANK: usize = 2;
/// Shapes of a class, and views of each in a sector.
const SHAPES: u64 = 12;
const VIEWS: u64 = 2;

/// A Gaussian for each class and direction, over pictures of what is seen.
fn prior(seen: Seen) -> Result<Mixture> {
    let mut sets = vec![];
    for (label, class) in CLASSES.iter().enumerate() {
        let first = sets.len();
        let middle = 0.5 * (ELEVATION[0] + ELEVATION[1]).to_radians();
        for view in ring(SECTORS, middle, 0.0) {
            sets.push(Samples { pictures: vec![], label: Some(label), view: Some(view) });
        }
        for s in 0..SHAPES {
            let seed = seed(label, s);
            let key = |sector: usize, v: u64| random::hash(seed, 100 * sector as u64 + v);
            let from: Vec<Direction> = (0..SECTORS)
                .flat_map(|sector| (0..VIEWS).map(move |v| (sector, v)))
                .map(|(sector, v)| within(sector, key(sector, v), 0.7))
                .collect();
            for (k, picture) in pictures(class, seed, &from, seen)?.into_iter().enumerate() {
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

/// The seed of a shape that priors are made of.
fn seed(label: usize, shape: u64) -> u64 {
    1000 * label as u64 + shape
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

/// Writes what a prior is made of: shapes, and pictures of them in a folder for each class.
fn write_shapes(folder: &Path) -> Result<()> {
    for (label, class) in CLASSES.iter().enumerate() {
        for (seen, name) in [(Seen::Colours, "pictures"), (Seen::Normals, "normals")] {
            std::fs::create_dir_all(folder.join(name).join(class))?;
            for s in 0..SHAPES {
                let from = ring(SECTORS, 0.5 * (ELEVATION[0] + ELEVATION[1]).to_radians(), 0.0);
                for (k, picture) in pictures(class, seed(label, s), &from, seen)?.into_iter().enumerate() {
                    let file = folder.join(name).join(class).join(format!("{s:02}_{k:02}.png"));
                    sheet(&[picture], 1).save_png(&file)?;
                }
            }
        }
        std::fs::create_dir_all(folder.join("shapes"))?;
        for s in 0..SHAPES {
            scene(class, seed(label, s))?.save(folder.join("shapes").join(format!("{class}_{s:02}.glb")))?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "assets/guidance".into());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let beside = std::env::args().nth(2);
    if let Some(place) = &beside {
        write_shapes(Path::new(place))?;
    }
    for (seen, name) in [(Seen::Colours, "shapes"), (Seen::Normals, "normals")] {
        let prior = prior(seen)?;
        std::fs::write(folder.join(format!("{name}.safetensors")), prior.to_bytes(Precision::Half)?)?;
        let means: Vec<Vec<f32>> =
            (prior.components().iter()).map(|c| c.mean.iter().map(|x| (0.5 + 0.5 * x) as f32).collect()).collect();
        println!("{name}: {} components of {} numbers", means.len(), prior.dimensions());
        if let Some(place) = &beside {
            sheet(&means, SECTORS).save_png(&Path::new(place).join(format!("{name}.png")))?;
        }
    }
    let judge = judge()?;
    std::fs::write(folder.join("judge.safetensors"), judge.to_bytes()?)?;
    // Shapes that neither of them saw.
    let (x, y) = lesson(500, 3)?;
    let right = (x.chunks(SEEN * SEEN).zip(&y)).filter(|(x, y)| judge.class_of(x) == **y).count();
    println!("judge: {right} of {} held-out pictures", y.len());
    Ok(())
}
