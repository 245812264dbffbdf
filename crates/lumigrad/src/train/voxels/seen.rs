//! How many cameras see each corner of a lattice.

use super::super::dataset::Dataset;
use crate::volume::Domain;
use lumigrad_voxel::Lattice;
use rayon::prelude::*;

/// Corners that so few cameras see are kept empty: one picture can be explained by anything right in front of it.
const FEWEST: usize = 2;

/// Rates of corners, from 0 to 1: in parts of the most cameras that see one; 0 where too few do (Sun et al. 2022, §4.2).
pub fn rates(dataset: &Dataset, domain: &Domain, lattice: &Lattice) -> Vec<f32> {
    let fewest = FEWEST.min(dataset.train.len() / 4);
    let counts: Vec<usize> = (0..lattice.len())
        .into_par_iter()
        .with_min_len(1 << 10)
        .map(|corner| {
            let world = domain.world(lattice.place(corner));
            dataset.train.iter().filter(|shot| sees(&shot.view, world)).count()
        })
        .collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    counts.into_iter().map(|n| if n <= fewest { 0.0 } else { n as f32 / most as f32 }).collect()
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
