//! Regular grids of samples, and where their edges are crossed.

use super::signs::Signs;
use crate::{Error, Result};

/// Parts of a spacing that vertices keep from the samples at the ends of their edges, so that no two meet.
const MARGIN: f64 = 1.0 / 1024.0;

/// A regular grid of samples, x fastest: sample (i, j, k) is number i + nx (j + ny k), at `origin + spacing * (i, j, k)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleGrid {
    /// Samples along x, y and z.
    pub size: [usize; 3],
    /// Where the first sample is.
    pub origin: [f64; 3],
    /// Distances of neighbouring samples.
    pub spacing: [f64; 3],
}

/// What becomes of a surface where the grid ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// It has a border there.
    Open,
    /// Everything beyond counts as outside: the surface is closed along the outermost samples.
    Closed,
}

impl SampleGrid {
    /// A grid of `size` samples over a box, samples on its faces.
    pub fn over(lo: [f64; 3], hi: [f64; 3], size: [usize; 3]) -> Self {
        let spacing = std::array::from_fn(|c| (hi[c] - lo[c]) / size[c].saturating_sub(1).max(1) as f64);
        Self { size, origin: lo, spacing }
    }

    /// Samples in all.
    pub fn n_samples(&self) -> usize {
        self.size.iter().product()
    }

    /// Where sample number `sample` is.
    pub fn point(&self, sample: usize) -> [f64; 3] {
        let [nx, ny, _] = self.size.map(|n| n.max(1));
        let at = [sample % nx, sample / nx % ny, sample / nx / ny];
        std::array::from_fn(|c| self.origin[c] + self.spacing[c] * at[c] as f64)
    }

    /// Refuses grids without place or extent, and another number of samples.
    pub(crate) fn check(&self, samples: usize) -> Result<()> {
        if self.size.iter().try_fold(1usize, |n, &k| n.checked_mul(k)) != Some(samples) {
            return Err(Error::Samples { found: samples, size: self.size });
        }
        if !self.spacing.iter().all(|&s| s > 0.0 && s.is_finite()) || !self.origin.iter().all(|x| x.is_finite()) {
            return Err(Error::Spacing { origin: self.origin, spacing: self.spacing });
        }
        Ok(())
    }
}

/// Samples with their signs, layers of outside around them where the border is closed.
pub(super) struct Field<'a> {
    pub samples: &'a [f32],
    pub grid: &'a SampleGrid,
    iso: f64,
    pub signs: Signs,
}

impl<'a> Field<'a> {
    /// `None` where there are no samples.
    ///
    /// # Errors
    /// A grid without place or extent, another number of samples.
    pub fn new(samples: &'a [f32], grid: &'a SampleGrid, iso: f32, border: Border) -> Result<Option<Self>> {
        grid.check(samples.len())?;
        let signs = || Signs::new(samples, grid.size, iso, (border == Border::Closed) as usize);
        Ok((!samples.is_empty()).then(|| Self { samples, grid, iso: iso as f64, signs: signs() }))
    }

    /// The field less `iso`; infinite outside of the grid and where it is NaN.
    fn value(&self, at: [usize; 3]) -> f64 {
        let size = self.grid.size;
        let [i, j, k] = at.map(|x| x.wrapping_sub(self.signs.pad));
        if i >= size[0] || j >= size[1] || k >= size[2] {
            return f64::INFINITY;
        }
        let value = self.samples[(k * size[1] + j) * size[0] + i] as f64 - self.iso;
        if value.is_nan() { f64::INFINITY } else { value }
    }

    /// Whether a sample, counted with those around the grid, is one of the grid's.
    pub fn is_within(&self, at: [usize; 3]) -> bool {
        (0..3).all(|c| at[c].wrapping_sub(self.signs.pad) < self.grid.size[c])
    }

    /// Where the field is `iso` on an edge with a sign at each end, which begins at a sample and goes along the axes whose
    /// bits are in `direction`.
    pub fn crossing(&self, from: [usize; 3], direction: usize) -> [f64; 3] {
        let step: [usize; 3] = std::array::from_fn(|c| direction >> c & 1);
        let to = std::array::from_fn(|c| from[c] + step[c]);
        let t = crossing(self.value(from), self.value(to));
        std::array::from_fn(|c| {
            let at = from[c] as f64 - self.signs.pad as f64 + if step[c] == 1 { t } else { 0.0 };
            self.grid.origin[c] + self.grid.spacing[c] * at
        })
    }
}

/// Where between two values of different sides the field is 0.
fn crossing(a: f64, b: f64) -> f64 {
    // In f64 the difference of two f32 on different sides is not 0; what is infinite pulls the vertex to the other end.
    let t = match (a.is_finite(), b.is_finite()) {
        (true, true) => a / (a - b),
        (true, false) => 0.0,
        (false, true) => 1.0,
        (false, false) => 0.5,
    };
    t.clamp(MARGIN, 1.0 - MARGIN)
}

/// Pieces of these lengths, one after the other.
pub(super) fn split<T>(mut all: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut out = vec![];
    for n in lengths {
        let (piece, rest) = std::mem::take(&mut all).split_at_mut(n);
        out.push(piece);
        all = rest;
    }
    out
}
