//! How many cameras see each corner of a lattice.

use super::super::dataset::Dataset;
use crate::volume::{Domain, Leaf};
use lumigrad_voxel::Lattice;
use rayon::prelude::*;

/// Corners that so few cameras see are kept empty: one picture can be explained by anything right in front of it.
const FEWEST: usize = 2;

/// Rates of corners, from 0 to 1: in parts of the most cameras that see one; 0 where too few do (Sun et al. 2022, §4.2).
pub fn rates(dataset: &Dataset, domain: &Domain, lattice: &Lattice) -> Vec<f32> {
    let fewest = fewest(dataset);
    let count = |corner| count(dataset, domain.world(lattice.place(corner)));
    let counts: Vec<usize> = (0..lattice.len()).into_par_iter().with_min_len(1 << 10).map(count).collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    counts.into_iter().map(|n| if n <= fewest { 0.0 } else { n as f32 / most as f32 }).collect()
}

/// Whether more than the fewest cameras see the middle of a leaf or one of its corners.
pub fn enough<'a>(dataset: &'a Dataset, domain: &'a Domain) -> impl Fn(&Leaf) -> bool + 'a {
    let fewest = fewest(dataset);
    move |leaf| {
        let spot = |k: usize| match k {
            8 => [0.5; 3],
            _ => [0, 1, 2].map(|a| (k >> a & 1) as f64),
        };
        let place = |k: usize| {
            let spot = spot(k);
            domain.world([0, 1, 2].map(|a| leaf.low()[a] + spot[a] * leaf.side()))
        };
        (0..9).any(|k| count(dataset, place(k)) > fewest)
    }
}

fn fewest(dataset: &Dataset) -> usize {
    FEWEST.min(dataset.train.len() / 4)
}

/// Cameras that see a point.
fn count(dataset: &Dataset, world: [f64; 3]) -> usize {
    dataset.train.iter().filter(|shot| sees(&shot.view, world)).count()
}

fn sees(view: &lumigrad_scene::camera::View, world: [f64; 3]) -> bool {
    let row = |k: usize| {
        let m = view.viewmat[k];
        m[0] * world[0] + m[1] * world[1] + m[2] * world[2] + m[3]
    };
    let depth = row(2);
    if depth <= 0.0 {
        return false;
    }
    let [fx, fy, cx, cy] = view.intrinsics;
    let (x, y) = (fx * row(0) / depth + cx, fy * row(1) / depth + cy);
    (0.0..view.width as f64).contains(&x) && (0.0..view.height as f64).contains(&y)
}
