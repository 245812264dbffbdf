//! Trees that follow what is found in them.

use super::{DEEPEST, Leaf, Octree};
use crate::Result;
use lumigrad_core::{Error, Tensor};
use rayon::prelude::*;

/// What becomes of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is empty from now on.
    Drop,
    /// It stays.
    Keep,
    /// Eight of half its side take its place; those of the deepest level stay.
    Split,
}

/// A tree made of another.
#[derive(Debug)]
pub struct Adapted {
    /// The tree.
    pub octree: Octree,
    /// Leaves of the other that its leaves lie in.
    pub parents: Vec<u32>,
}

impl Octree {
    /// Another tree by the fates of this one's leaves.
    ///
    /// # Errors
    /// No leaf stays, or too many are made; memory.
    pub fn adapt(&self, fate: impl Fn(usize) -> Fate) -> Result<Adapted> {
        let mut leaves = Vec::with_capacity(self.len());
        for (k, leaf) in self.leaves().iter().enumerate() {
            match fate(k) {
                Fate::Drop => {}
                Fate::Split if leaf.level < DEEPEST => leaves.extend((0..8).map(|c| Leaf {
                    level: leaf.level + 1,
                    place: [0, 1, 2].map(|a| 2 * leaf.place[a] + (c >> a & 1)),
                })),
                _ => leaves.push(*leaf),
            }
        }
        let octree = Octree::new(leaves, self.nodes.device())?;
        // Both are in the order of codes, and a leaf begins where its parent does, or behind.
        let mut parent = 0;
        let parents = octree.leaves().iter().map(|leaf| {
            while parent + 1 < self.len() && self.leaves()[parent + 1].code() <= leaf.code() {
                parent += 1;
            }
            parent as u32
        });
        Ok(Adapted { parents: parents.collect(), octree })
    }
}

impl Adapted {
    /// Rows of whole leaves: those of their parents.
    ///
    /// # Errors
    /// Another number of rows; memory.
    pub fn leaves_of(&self, table: &Tensor) -> Result<Tensor> {
        let width: usize = table.shape()[1..].iter().product();
        let all = table.to_vec::<f32>()?;
        let rows: Vec<f32> =
            self.parents.par_iter().flat_map_iter(|&p| all[p as usize * width..][..width].iter().copied()).collect();
        Ok(Tensor::from_slice(table.device(), &rows, &[&[self.parents.len()], &table.shape()[1..]].concat())?)
    }

    /// Numbers at corners, [corners, C]: trilinear in `before`, the mean of what the parents of a corner's leaves say.
    ///
    /// # Errors
    /// Another number of rows; memory.
    pub fn corners_of(&self, before: &Octree, table: &Tensor) -> Result<Tensor> {
        let &[corners, width] = table.shape() else {
            return Err(Error::shape("an octree's table", table.shape(), "[corners, C]").into());
        };
        if corners != before.n_corners() {
            let expected = format!("[{}, C], a row per corner", before.n_corners());
            return Err(Error::shape("an octree's table", table.shape(), expected).into());
        }
        let old = table.to_vec::<f32>()?;
        let n = self.octree.n_corners();
        let (mut sums, mut counts) = (vec![0f64; n * width], vec![0u32; n]);
        for (k, (leaf, &parent)) in self.octree.leaves().iter().zip(&self.parents).enumerate() {
            let (around, rows) = (before.leaves()[parent as usize], before.rows[parent as usize]);
            let (low, start) = (leaf.low(), around.low());
            for (corner, &row) in self.octree.rows[k].iter().enumerate() {
                let u = [0, 1, 2].map(|a| {
                    let x = low[a] + if corner >> a & 1 == 1 { leaf.side() } else { 0.0 };
                    (x - start[a]) / around.side()
                });
                let weight =
                    |c: usize| -> f64 { (0..3).map(|a| if c >> a & 1 == 1 { u[a] } else { 1.0 - u[a] }).product() };
                for c in 0..8 {
                    let (weight, from) = (weight(c), &old[rows[c] as usize * width..][..width]);
                    let sums = sums[row as usize * width..][..width].iter_mut();
                    sums.zip(from).for_each(|(sum, x)| *sum += weight * f64::from(*x));
                }
                counts[row as usize] += 1;
            }
        }
        let means: Vec<f32> =
            sums.iter().enumerate().map(|(i, sum)| (sum / f64::from(counts[i / width])) as f32).collect();
        Ok(Tensor::from_slice(table.device(), &means, &[n, width])?)
    }
}
