//! The part of a grid that may change.

use super::EditVoxelsJob;
use super::model::Model;
use crate::files::load_scene;
use crate::run::flatten;
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use lumigrad_geometry::SignedDistance;
use lumigrad_voxel::{Lattice, Split};

/// Winding number above which a point is inside of a mesh.
const INSIDE: f32 = 0.5;
/// Cells on either side of a region's border in which its refined border may lie.
const BAND: usize = 3;
/// Cost of telling neighbours of one colour apart, and the difference of colours (and of opacities) at which it is e times
/// less (Vox-E, §3.3).
const EDGE: f64 = 5.0;
const COLOUR: f64 = 0.1;
/// Cost of leaving a corner of the band on the other side than the region has it.
const PULL: f64 = 0.5;

/// Which rows of a model's tables may change.
pub struct Region {
    /// For each row.
    pub rows: Vec<bool>,
}

impl Region {
    /// What a job says: a box, a mask, both (what is in both), or everything.
    ///
    /// # Errors
    /// Boxes that are none, meshes that cannot be read, regions that hold no corner of the grid.
    pub fn new(job: &EditVoxelsJob, model: &Model, device: &Device) -> Result<Self> {
        let corners = model.corners(device)?;
        let mut rows = vec![true; corners.len()];
        if let Some([x0, y0, z0, x1, y1, z1]) = job.region {
            let (lo, hi) = ([x0, y0, z0], [x1, y1, z1]);
            if (0..3).any(|a| !(lo[a] < hi[a])) {
                let message = format!("from {lo:?} to {hi:?} is no box");
                return Err(Error::usage("--region", message, "least x, y, z, then largest x, y, z"));
            }
            for (row, &corner) in rows.iter_mut().zip(&corners) {
                let p = model.world(corner as usize);
                *row = (0..3).all(|a| lo[a] <= p[a] && p[a] <= hi[a]);
            }
        }
        if let Some(path) = &job.mask {
            let (mesh, _) = flatten(&load_scene(path)?)?;
            if mesh.triangles.is_empty() {
                return Err(Error::file(path.display(), "a mask without triangles", "give a closed mesh"));
            }
            let inside = SignedDistance::new(&mesh.positions, &mesh.triangles)?;
            let points: Vec<[f32; 3]> = corners.iter().map(|&c| model.world(c as usize).map(|x| x as f32)).collect();
            rows.iter_mut().zip(inside.winding_numbers(&points)).for_each(|(row, n)| *row &= n > INSIDE);
        }
        if job.refine && (job.region.is_some() || job.mask.is_some()) {
            rows = refined(&rows, &corners, model)?;
        }
        if !rows.iter().any(|r| *r) {
            let d = model.domain;
            let (lo, hi) = ([0, 1, 2].map(|a| d.centre[a] - d.half[a]), [0, 1, 2].map(|a| d.centre[a] + d.half[a]));
            let flag = if job.region.is_some() { "--region" } else { "--mask" };
            let message = format!("no corner of the grid is in it; the grid goes from {lo:?} to {hi:?}");
            return Err(Error::usage(flag, message, "choose a region that overlaps the model"));
        }
        Ok(Self { rows })
    }

    /// Numbers of the rows that may change.
    pub fn numbers(&self) -> Vec<u32> {
        self.rows.iter().enumerate().filter(|(_, r)| **r).map(|(k, _)| k as u32).collect()
    }
}

/// A region whose border is moved, by at most [`BAND`] cells, to where colours and opacities change most: a minimum cut.
fn refined(rows: &[bool], corners: &[u32], model: &Model) -> Result<Vec<bool>> {
    let lattice = model.grids.lattice;
    let mut inside = vec![false; lattice.len()];
    corners.iter().zip(rows).for_each(|(&c, r)| inside[c as usize] = *r);
    let (deep, near) = (spread(&inside, &lattice, false), spread(&inside, &lattice, true));
    let cost = |wanted: bool, certain: bool| {
        if certain {
            f64::INFINITY
        } else if wanted {
            PULL
        } else {
            0.0
        }
    };
    let split = Split {
        lattice,
        outside: (0..lattice.len()).map(|k| cost(inside[k], deep[k])).collect(),
        inside: (0..lattice.len()).map(|k| cost(!inside[k], !near[k])).collect(),
        links: links(corners, model, &model.values)?,
    };
    let found = split.cheapest()?;
    Ok(corners.iter().map(|&c| found[c as usize]).collect())
}

/// Corners within [`BAND`] of one that is inside (`grow`), or not within it of one that is outside.
fn spread(inside: &[bool], lattice: &Lattice, grow: bool) -> Vec<bool> {
    let mut set = inside.to_vec();
    for _ in 0..BAND {
        let mut stride = 1;
        for n in lattice.size {
            let before = set.clone();
            for (k, in_set) in set.iter_mut().enumerate() {
                let i = k / stride % n;
                // Beyond the lattice there is nothing that could differ.
                let sides = [i > 0 && before[k - stride] == grow, i + 1 < n && before[k + stride] == grow];
                if sides.contains(&true) {
                    *in_set = grow;
                }
            }
            stride *= n;
        }
    }
    set
}

/// Costs of telling neighbours apart: small where colours or opacities change.
///
/// # Errors
/// Memory.
pub fn links(corners: &[u32], model: &Model, values: &[Tensor]) -> Result<Vec<[f64; 3]>> {
    let looks = looks(corners, model, values)?;
    let [nx, ny, _] = model.grids.lattice.size;
    let strides = [1, nx, nx * ny];
    let link = |k: usize, a: usize| {
        let Some(other) = looks.get(k + strides[a]) else { return 0.0 };
        let difference: f64 = (0..4).map(|c| (looks[k][c] - other[c]).powi(2)).sum();
        EDGE * (-difference.sqrt() / COLOUR).exp()
    };
    Ok((0..looks.len()).map(|k| [0, 1, 2].map(|a| link(k, a))).collect())
}

/// Colour and opacity of a cell's length at each corner, colours as far as there is anything to be seen.
fn looks(corners: &[u32], model: &Model, values: &[Tensor]) -> Result<Vec<[f64; 4]>> {
    let density = model.grids.activate(&Var::from(values[0].clone()))?.tensor().to_vec::<f32>()?;
    let features = values[1].to_vec::<f32>()?;
    let (width, cell) = (model.grids.features, model.grids.lattice.spacing()[0]);
    let mut looks = vec![[0.0; 4]; model.grids.lattice.len()];
    for (row, &corner) in corners.iter().enumerate() {
        let opacity = 1.0 - (-(density[row] as f64) * cell).exp();
        let colour = [0, 1, 2].map(|c| 1.0 / (1.0 + (-(features[row * width + c] as f64)).exp()));
        looks[corner as usize] = [colour[0] * opacity, colour[1] * opacity, colour[2] * opacity, opacity];
    }
    Ok(looks)
}
