//! Space in leaves of an octree.
//!
//! Leaves are cubes whose sides are 2/2ˡ at level l; what no leaf covers is empty. Numbers live at corners, which neighbours of one
//! size share, or belong to whole leaves. Rays meet leaves front to back: octants do not interleave, so that the order in which a
//! ray walks through the tree is the one that sorting by octants' Morton codes gives (Sun, Choe, Loop, Ma & Wang 2025, "Sparse
//! Voxels Rasterization", §3.1).

mod adapt;
mod bits;
mod sample;
mod walk;

pub use adapt::{Adapted, Fate};
pub use walk::Walk;

use crate::kernels::octree::{EMPTY, LEAF};
use crate::{Error, Result};
use lumigrad_core::{Device, Tensor};
use rayon::prelude::*;

/// Level of the smallest leaves: rays tell their faces apart in single precision.
pub const DEEPEST: u32 = 14;
/// Leaves at most.
const MOST: usize = 1 << 27;

/// A cube.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its side is 2/2^level; 1 at least.
    pub level: u32,
    /// Which it is of those of its level along each axis, from 0.
    pub place: [u32; 3],
}

impl Leaf {
    /// Length of its sides in the cube [−1, 1]³.
    pub fn side(&self) -> f64 {
        2.0 / f64::from(1u32 << self.level)
    }

    /// Where it begins.
    pub fn low(&self) -> [f64; 3] {
        self.place.map(|i| f64::from(i) * self.side() - 1.0)
    }

    /// Its first corner in cells of the deepest level.
    fn finest(&self) -> [u32; 3] {
        self.place.map(|i| i << (DEEPEST - self.level))
    }

    /// Its place along the curve that visits octants in order.
    fn code(&self) -> u64 {
        let [x, y, z] = self.finest();
        (0..DEEPEST).fold(0, |code, bit| {
            let octant = (x >> bit & 1) | (y >> bit & 1) << 1 | (z >> bit & 1) << 2;
            code | u64::from(octant) << (3 * bit)
        })
    }
}

/// An octree over the cube [−1, 1]³.
#[derive(Clone, Debug)]
pub struct Octree {
    leaves: Vec<Leaf>,
    /// Eight words of each inner node: which node a child is, which leaf, or that it is empty.
    nodes: Tensor,
    /// Where leaves begin, and their sides: \[leaves, 4\].
    frames: Tensor,
    /// Rows of leaves' corners, u32 \[leaves, 8\]; bit a of a corner's number tells its side along axis a.
    corners: Tensor,
    /// The same here.
    rows: Vec<[u32; 8]>,
    /// Corners in all.
    n_corners: usize,
}

impl Octree {
    /// Of these leaves.
    ///
    /// # Errors
    /// None, or too many; leaves that overlap, lie outside of the cube, or are of a level that there is none of; memory.
    pub fn new(mut leaves: Vec<Leaf>, device: &Device) -> Result<Self> {
        let wrong = |what: String| Err(Error::Domain(format!("an octree: {what}")));
        if leaves.is_empty() || leaves.len() > MOST {
            return wrong(format!("{} leaves, expected 1 to {MOST}", leaves.len()));
        }
        let fits = |l: &Leaf| (1..=DEEPEST).contains(&l.level) && l.place.iter().all(|&i| i < 1 << l.level);
        if let Some(leaf) = leaves.iter().find(|l| !fits(l)) {
            return wrong(format!("{leaf:?} is not in the cube, or not of level 1 to {DEEPEST}"));
        }
        leaves.par_sort_unstable_by_key(Leaf::code);
        let codes: Vec<u64> = leaves.iter().map(Leaf::code).collect();
        let mut nodes = vec![];
        if let Err(leaf) = build(&leaves, &codes, 0..leaves.len(), 0, &mut nodes) {
            return wrong(format!("{leaf:?} overlaps another leaf"));
        }
        let n = leaves.len();
        let frames: Vec<f32> = leaves
            .iter()
            .flat_map(|l| {
                let [x, y, z] = l.low().map(|x| x as f32);
                [x, y, z, l.side() as f32]
            })
            .collect();
        let (rows, n_corners) = rows(&leaves);
        Ok(Self {
            nodes: Tensor::from_slice(device, &nodes, &[nodes.len()])?,
            frames: Tensor::from_slice(device, &frames, &[n, 4])?,
            corners: Tensor::from_slice(device, rows.as_flattened(), &[n, 8])?,
            leaves,
            rows,
            n_corners,
        })
    }

    /// All leaves of a level for which `keep` holds.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn uniform(level: u32, keep: impl Fn(&Leaf) -> bool, device: &Device) -> Result<Self> {
        let n = 1u32 << level.clamp(1, 9);
        let place = |k: u32| [k % n, k / n % n, k / (n * n)];
        let leaves = (0..n.pow(3)).map(|k| Leaf { level, place: place(k) }).filter(keep).collect();
        Self::new(leaves, device)
    }

    /// Leaves in their order, which is that of tables.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Leaves.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Never: there is one at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Corners: rows of tables over these.
    pub fn n_corners(&self) -> usize {
        self.n_corners
    }

    /// Places of the corners in the cube.
    pub fn corner_places(&self) -> Vec<[f64; 3]> {
        let mut places = vec![[0.0; 3]; self.n_corners];
        for (leaf, rows) in self.leaves.iter().zip(&self.rows) {
            for (corner, &row) in rows.iter().enumerate() {
                let far = |a: usize| if corner >> a & 1 == 1 { leaf.side() } else { 0.0 };
                places[row as usize] = [0, 1, 2].map(|a| leaf.low()[a] + far(a));
            }
        }
        places
    }

    /// Side of the smallest leaf.
    pub fn finest(&self) -> f64 {
        self.leaves.iter().map(Leaf::side).fold(2.0, f64::min)
    }
}

/// Nodes below one: its eight words, which are appended with those of all inner nodes under it. Gives the first leaf that overlaps
/// another.
fn build(
    leaves: &[Leaf],
    codes: &[u64],
    range: std::ops::Range<usize>,
    level: u32,
    nodes: &mut Vec<u32>,
) -> std::result::Result<(), Leaf> {
    let node = nodes.len();
    nodes.resize(node + 8, EMPTY);
    let shift = 3 * (DEEPEST - level - 1);
    let mut start = range.start;
    for octant in 0..8 {
        let own = codes[start..range.end].partition_point(|code| code >> shift & 7 <= octant);
        let below = start..start + own;
        start = below.end;
        if below.is_empty() {
            continue;
        }
        let first = leaves[below.start];
        nodes[node + octant as usize] = match below.clone().find(|&k| leaves[k].level <= level + 1) {
            Some(leaf) if below.len() == 1 => LEAF | leaf as u32,
            Some(_) => return Err(first),
            None => {
                let word = (nodes.len() / 8) as u32;
                build(leaves, codes, below, level + 1, nodes)?;
                word
            }
        };
    }
    Ok(())
}

/// Rows of leaves' corners, and how many there are.
fn rows(leaves: &[Leaf]) -> (Vec<[u32; 8]>, usize) {
    let key = |leaf: &Leaf, corner: usize| {
        let side = 1 << (DEEPEST - leaf.level);
        let finest = leaf.finest();
        (0..3).fold(0u64, |key, a| {
            key << (DEEPEST + 1) | u64::from(finest[2 - a] + if corner >> (2 - a) & 1 == 1 { side } else { 0 })
        })
    };
    let mut all: Vec<u64> = leaves.par_iter().flat_map_iter(|l| (0..8).map(move |c| key(l, c))).collect();
    all.par_sort_unstable();
    all.dedup();
    let row = |leaf: &Leaf| std::array::from_fn(|c| all.partition_point(|&k| k < key(leaf, c)) as u32);
    (leaves.par_iter().map(row).collect(), all.len())
}
