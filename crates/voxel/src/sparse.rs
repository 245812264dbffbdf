//! Lattices of which some corners are kept.

use crate::lattice::resampled;
use crate::{Lattice, Result};
use lumigrad_core::{Device, Tensor, Var};

/// A lattice whose tables have rows for some of its corners only, in their order; the others are 0. Memory follows what is
/// kept, but for one word per corner that tells its row.
#[derive(Clone, Debug)]
pub struct Sparse {
    lattice: Lattice,
    kept: Vec<u32>,
    index: Tensor,
}

impl Sparse {
    /// Keeps corners for which `keep` holds.
    ///
    /// # Errors
    /// Memory.
    pub fn new(lattice: Lattice, keep: impl Fn(usize) -> bool, device: &Device) -> Result<Self> {
        let kept: Vec<u32> = (0..lattice.len()).filter(|&k| keep(k)).map(|k| k as u32).collect();
        let mut index = vec![u32::MAX; lattice.len()];
        kept.iter().enumerate().for_each(|(row, &corner)| index[corner as usize] = row as u32);
        Ok(Self { lattice, kept, index: Tensor::from_slice(device, &index, &[index.len()])? })
    }

    /// Keeps corners around those for which `full` holds: each of these and its 26 neighbours.
    ///
    /// # Errors
    /// Memory.
    pub fn around(lattice: Lattice, full: impl Fn(usize) -> bool, device: &Device) -> Result<Self> {
        let size = lattice.size;
        let mut keep: Vec<bool> = (0..lattice.len()).map(full).collect();
        let mut stride = 1;
        for n in size {
            let before = keep.clone();
            for (k, full) in keep.iter_mut().enumerate() {
                let i = k / stride % n;
                *full |= i > 0 && before[k - stride] || i + 1 < n && before[k + stride];
            }
            stride *= n;
        }
        Self::new(lattice, |k| keep[k], device)
    }

    /// The whole lattice.
    pub fn lattice(&self) -> Lattice {
        self.lattice
    }

    /// Corners that are kept.
    pub fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Rows of all corners: u32 \[corners\], the largest number for those that have none.
    pub(crate) fn index(&self) -> &Tensor {
        &self.index
    }

    /// The rows of a whole lattice's table that are kept.
    ///
    /// # Errors
    /// A table of another size.
    pub fn gather(&self, table: &Tensor) -> Result<Tensor> {
        let rows = Tensor::from_slice(table.device(), &self.kept, &[self.len()])?;
        Ok(Var::from(table.clone()).gather(&rows)?.tensor().clone())
    }

    /// A table's values at the corners of another lattice, as [`Lattice::resample`].
    ///
    /// # Errors
    /// A table of another size; memory.
    pub fn resample(&self, table: &Tensor, other: &Lattice, to_here: impl Fn([f64; 3]) -> [f64; 3]) -> Result<Tensor> {
        resampled(table, other, to_here, |points, table| self.sample(points, table))
    }

    /// Which corners are kept, eight to a byte.
    pub fn to_bits(&self) -> Vec<u8> {
        let mut bits = vec![0u8; self.lattice.len().div_ceil(8)];
        self.kept.iter().for_each(|&k| bits[k as usize / 8] |= 1 << (k % 8));
        bits
    }

    /// A lattice of which [`Self::to_bits`] told; `None` where these are not as many bits as it has corners.
    ///
    /// # Errors
    /// Memory.
    pub fn from_bits(lattice: Lattice, bits: &[u8], device: &Device) -> Result<Option<Self>> {
        if bits.len() != lattice.len().div_ceil(8) {
            return Ok(None);
        }
        Self::new(lattice, |k| bits[k / 8] >> (k % 8) & 1 == 1, device).map(Some)
    }
}
