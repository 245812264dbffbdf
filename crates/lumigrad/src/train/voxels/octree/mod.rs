//! Sparse voxels: leaves of an octree that follow the surface, with densities and colours at corners, and what colours change with
//! the direction in each leaf.
//!
//! **Source**: Sun, Choe, Loop, Ma & Wang, "Sparse Voxels Rasterization", 2025. Rays walk through the tree instead of splatting
//! sorted leaves on tiles: the order is the same, lenses may be any, and nothing is sorted. Leaves are split where the pictures are
//! missed instead of where gradients are long; the part of colours that does not depend on the direction is interpolated too, for
//! leaves of one colour each learn their pictures by heart where these are small; and colours are logits.

mod grow;
mod tally;

pub use grow::train;

use super::super::radiance::Medium;
use crate::volume::{March, Occupancy, Octree, Rays, Samples, Walk};
use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use lumigrad_core::{CallParams, Device, Map, Tensor, Var};
use lumigrad_field::{Derivatives, Description, Encoding};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// Name of the method.
pub const NAME: &str = "octree";
/// Names of the arrays.
const ARRAYS: [&str; 3] = ["density", "colour", "harmonics"];
/// Factor of harmonics beside the constant: colours learn first what is the same from all sides.
const SHY: f64 = 0.2;
/// Degrees of the harmonics.
pub const MOST_DEGREE: usize = 3;
/// Where the activation of densities becomes linear.
const KNEE: f64 = 1.1;
/// What points in no leaf have before the activation.
const OUTSIDE: f64 = -100.0;

/// Numbers at the corners of a tree and in its leaves.
///
/// σ = scale · explin(d) of the d that is interpolated between the corners of a leaf, with explin(d) = d from 1.1 on and
/// exp(d/1.1 − 1 + ln 1.1) below. Colours are the logistic function of numbers that are interpolated, too, with those of the
/// harmonics of the direction that the leaf has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leaves {
    /// The tree's form in base64.
    tree: String,
    /// Corners and leaves of it.
    rows: [usize; 2],
    /// The same, ready for use.
    #[serde(skip)]
    octree: OnceLock<Octree>,
    /// Degree of the harmonics.
    degree: usize,
    /// Factor of the density, per unit of the cube.
    scale: f64,
    /// Samples of less weight are not looked at.
    least_weight: f64,
    /// Rays of a pixel, whose mean it is.
    rays: usize,
}

impl Leaves {
    /// Of a tree.
    pub fn new(octree: Octree, degree: usize, scale: f64, (least_weight, rays): (f64, usize)) -> Self {
        let (tree, rows) = (BASE64.encode(octree.to_bits()), [octree.n_corners(), octree.len()]);
        Self { tree, rows, octree: octree.into(), degree, scale, least_weight, rays }
    }

    /// The same of another tree.
    pub fn with_tree(&self, octree: Octree) -> Self {
        Self::new(octree, self.degree, self.scale, (self.least_weight, self.rays))
    }

    /// The tree.
    ///
    /// # Errors
    /// Memory.
    pub fn octree(&self, device: &Device) -> Result<&Octree> {
        if self.octree.get().is_none() {
            let _ = self.octree.set(read(&self.tree, device)?);
        }
        self.octree.get().ok_or_else(|| Error::job("the octree of the voxels cannot be read"))
    }

    /// Numbers at a corner, and in a leaf.
    fn widths(&self) -> [usize; 3] {
        [1, 3, 3 * ((self.degree + 1).pow(2) - 1)]
    }

    /// What gives a density before its activation.
    pub fn raw(&self, density: f64) -> f64 {
        let part = density / self.scale;
        if part > KNEE { part } else { KNEE * (part.ln() + 1.0 - KNEE.ln()) }
    }

    fn activate(&self, raw: &Var) -> Result<Var> {
        let map = Map::cached("octree/density", |m| {
            let ([d], scale) = (m.item("raw"), m.param());
            let low = (d.min(KNEE) * (1.0 / KNEE) + (KNEE.ln() - 1.0)).exp();
            m.output("density", &[d.less(KNEE).select(low, d) * scale]);
        });
        Ok(map.apply_with(&[raw], CallParams { items: 0, real: vec![self.scale], int: vec![] })?.remove(0))
    }

    /// Leaves and densities of points.
    fn at(&self, parameters: &[Var], points: &Var) -> Result<(Tensor, Var)> {
        let octree = self.octree(points.device())?;
        let leaves = octree.locate(points.tensor())?;
        let raw = octree.sample(points, &leaves, &parameters[0], OUTSIDE)?;
        Ok((leaves, self.activate(&raw)?))
    }

    /// Colours of points in leaves, whose part that does not depend on the direction is `plain`, seen from encoded directions.
    fn colours(&self, parameters: &[Var], leaves: &Tensor, (plain, directions): (&Var, &Var)) -> Result<Var> {
        match self.degree {
            0 => Ok(plain.sigmoid()?),
            1 => colours::<9>(&parameters[2], leaves, plain, directions),
            2 => colours::<24>(&parameters[2], leaves, plain, directions),
            _ => colours::<45>(&parameters[2], leaves, plain, directions),
        }
    }
}

fn read(tree: &str, device: &Device) -> Result<Octree> {
    let bits = BASE64.decode(tree).unwrap_or_default();
    Octree::from_bits(&bits, device)?.ok_or_else(|| Error::job("the octree of the voxels cannot be read"))
}

/// With N/3 harmonics beside the constant.
fn colours<const N: usize>(table: &Var, leaves: &Tensor, plain: &Var, directions: &Var) -> Result<Var> {
    let map = Map::cached(&format!("octree/colour {N}"), |m| {
        let [leaf] = m.item_int("leaves");
        let mut sums = m.item::<3>("plain");
        let basis = m.item_row("directions", N / 3 + 1);
        for (k, value) in m.table::<N>("harmonics").fetch(leaf).into_iter().enumerate() {
            sums[k % 3] = sums[k % 3] + value * (SHY * basis[k / 3 + 1]);
        }
        m.output("colours", &sums.map(|x| 1.0 / (1.0 + (-x).exp())));
    });
    let inputs = [&leaves.clone().into(), plain, directions, table];
    let call = CallParams { items: leaves.len(), ..CallParams::default() };
    Ok(map.apply_with(&inputs, call)?.remove(0))
}

impl Medium for Leaves {
    fn densities(&self, parameters: &[Var], points: &Var) -> Result<Var> {
        Ok(self.at(parameters, points)?.1)
    }

    fn encode_directions(&self, directions: &Var) -> Result<Var> {
        let harmonics = Encoding::SphericalHarmonics { degree: self.degree };
        Ok(harmonics.encode(directions, &[], &Arc::new(Derivatives::none()))?.value().clone())
    }

    fn evaluate(&self, parameters: &[Var], points: &Var, directions: &Var) -> Result<(Var, Var)> {
        let (leaves, densities) = self.at(parameters, points)?;
        let plain = self.octree(points.device())?.sample(points, &leaves, &parameters[1], 0.0)?;
        Ok((densities, self.colours(parameters, &leaves, (&plain, directions))?))
    }

    /// One where a ray crosses a leaf.
    fn samples(&self, rays: &Rays, _: &Tensor, _: &Occupancy, how: &March) -> Result<Samples> {
        let March { range, most, total, .. } = *how;
        Ok(self.octree(rays.origins.device())?.walk(rays, &Walk { per_leaf: 1, range, most, total })?)
    }

    fn least_weight(&self) -> f64 {
        self.least_weight
    }

    fn rays_per_pixel(&self) -> usize {
        self.rays
    }
}

impl Description for Leaves {
    const KEY: &'static str = "lumigrad.octree";

    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let [corners, leaves] = self.rows;
        let sizes = [corners, corners, leaves].into_iter().zip(self.widths()).filter(|(_, width)| *width > 0);
        ARRAYS.iter().zip(sizes).map(|(name, (rows, width))| ((*name).to_owned(), vec![rows, width])).collect()
    }

    fn check(&self) -> lumigrad_field::Result<()> {
        let fails = |what: String| Err(lumigrad_field::Error::Description(what));
        match read(&self.tree, &Device::cpu()) {
            Err(e) => return fails(e.to_string()),
            Ok(tree) if [tree.n_corners(), tree.len()] != self.rows => {
                return fails(format!("the octree has {} corners and {} leaves", tree.n_corners(), tree.len()));
            }
            Ok(_) => {}
        }
        let numbers = self.scale.is_finite() && self.scale > 0.0 && self.least_weight.is_finite();
        match numbers && self.degree <= MOST_DEGREE && (1..=super::grids::MOST_RAYS).contains(&self.rays) {
            true => Ok(()),
            false => fails(format!("{self:?}: harmonics of degree {}, scale {}", self.degree, self.scale)),
        }
    }
}
