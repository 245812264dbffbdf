//! Where space is not empty.

use crate::Result;
use lumigrad_core::{Device, Tensor};

/// A bit for each cell of a grid over the cube [−1, 1]³, and coarser grids above it, whose bits tell whether any of the 4³
/// cells below is set.
#[derive(Clone, Debug)]
pub struct Occupancy {
    resolution: usize,
    /// Bits of all levels, finest first.
    words: Tensor,
    /// Largest densities seen in cells, which fade; x runs fastest.
    densities: Vec<f32>,
}

/// Levels: the finest, and two above it.
pub const LEVELS: usize = 3;
/// Cells of a level along one of the next.
const FACTOR: usize = 4;

impl Occupancy {
    /// Everything may be full. The resolution is rounded up to a multiple of 64.
    ///
    /// # Errors
    /// Memory.
    pub fn full(resolution: usize, device: &Device) -> Result<Self> {
        let resolution = resolution.clamp(1, 512).next_multiple_of(FACTOR.pow(LEVELS as u32));
        let words: usize = (0..LEVELS).map(|level| words_of(resolution, level)).sum();
        let words = Tensor::from_slice(device, &vec![u32::MAX; words], &[words])?;
        Ok(Self { resolution, words, densities: vec![0.0; resolution.pow(3)] })
    }

    /// Cells along a side.
    pub fn resolution(&self) -> usize {
        self.resolution
    }

    /// Bits as the kernels take them.
    pub(crate) fn words(&self) -> &Tensor {
        &self.words
    }

    /// The densities that cells are judged by.
    pub fn densities(&self) -> &[f32] {
        &self.densities
    }

    /// Densities of an earlier state, as [`Self::densities`] gave them, and what is full by them.
    ///
    /// # Errors
    /// Memory.
    pub fn restore(&mut self, densities: &[f32], threshold: f32) -> Result<()> {
        self.densities.copy_from_slice(densities);
        self.set_bits(threshold)
    }

    /// A cell's place: `spot` runs over it from 0 to 1 along each axis.
    pub fn place(&self, cell: usize, spot: [f64; 3]) -> [f32; 3] {
        let n = self.resolution;
        let index = [cell % n, cell / n % n, cell / (n * n)];
        [0, 1, 2].map(|a| (2.0 * (index[a] as f64 + spot[a]) / n as f64 - 1.0) as f32)
    }

    /// Takes densities that were found in some cells: each of them keeps the larger of the new and `fade` times the old one
    /// (Müller et al. 2022). Cells are full from `threshold`, or from the mean of all if that is less.
    ///
    /// # Errors
    /// Memory.
    pub fn update(&mut self, found: impl IntoIterator<Item = (usize, f32)>, fade: f32, threshold: f32) -> Result<()> {
        for (cell, density) in found {
            let old = &mut self.densities[cell];
            // NaN counts as full: nothing is hidden by it.
            *old = if density.is_nan() { f32::MAX } else { density.max(fade * *old) };
        }
        self.set_bits(threshold)
    }

    fn set_bits(&mut self, threshold: f32) -> Result<()> {
        let n = self.densities.len() as f64;
        let mean = self.densities.iter().map(|&d| (d as f64).min(1e6)).sum::<f64>() / n;
        let threshold = threshold.min(mean as f32);
        let full: Vec<bool> = self.densities.iter().map(|&d| d >= threshold && d > 0.0).collect();
        self.words = Tensor::from_slice(self.words.device(), &pyramid(full, self.resolution), &[self.words.len()])?;
        Ok(())
    }

    /// Which cells are full, eight to a byte, x fastest.
    ///
    /// # Errors
    /// The device gives nothing back.
    pub fn to_bits(&self) -> Result<Vec<u8>> {
        let finest = words_of(self.resolution, 0);
        Ok(self.words.to_vec::<u32>()?[..finest].iter().flat_map(|w| w.to_le_bytes()).collect())
    }

    /// A grid of which [`Self::to_bits`] told. `None` where these are not as many bits as it has cells.
    ///
    /// # Errors
    /// Memory.
    pub fn from_bits(resolution: usize, bits: &[u8], device: &Device) -> Result<Option<Self>> {
        let mut grid = Self::full(resolution, device)?;
        if grid.resolution != resolution || bits.len() != 4 * words_of(resolution, 0) {
            return Ok(None);
        }
        let place = |[x, y, z]: [usize; 3]| (z * resolution + y) * resolution + x;
        grid.set(|cell| bits[place(cell) / 8] >> (place(cell) % 8) & 1 == 1)?;
        Ok(Some(grid))
    }

    /// What is full is given cell by cell.
    ///
    /// # Errors
    /// Memory.
    pub fn set(&mut self, full: impl Fn([usize; 3]) -> bool) -> Result<()> {
        let n = self.resolution;
        let bits = (0..n * n * n).map(|c| full([c % n, c / n % n, c / (n * n)])).collect();
        self.words = Tensor::from_slice(self.words.device(), &pyramid(bits, n), &[self.words.len()])?;
        Ok(())
    }
}

/// Words of a level's bits.
pub fn words_of(resolution: usize, level: usize) -> usize {
    (resolution / FACTOR.pow(level as u32)).pow(3).div_ceil(32)
}

fn pyramid(mut bits: Vec<bool>, mut side: usize) -> Vec<u32> {
    let mut words = vec![];
    for level in 0..LEVELS {
        words.extend(bits.chunks(32).map(|c| c.iter().enumerate().fold(0u32, |w, (k, &b)| w | (b as u32) << k)));
        if level + 1 == LEVELS {
            break;
        }
        let above = side / FACTOR;
        let mut coarse = vec![false; above.pow(3)];
        for (cell, _) in bits.iter().enumerate().filter(|(_, b)| **b) {
            let [x, y, z] = [cell % side, cell / side % side, cell / (side * side)].map(|i| i / FACTOR);
            coarse[(z * above + y) * above + x] = true;
        }
        (bits, side) = (coarse, above);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_bits_tell_of_cells_below() {
        let mut grid = Occupancy::full(30, &Device::cpu()).unwrap();
        assert_eq!(grid.resolution(), 64);
        grid.set(|c| c == [5, 17, 30]).unwrap();
        let words = grid.words().to_vec::<u32>().unwrap();
        let bit = |offset: usize, side: usize, [x, y, z]: [usize; 3]| {
            let at = (z * side + y) * side + x;
            words[offset + at / 32] >> (at % 32) & 1 == 1
        };
        assert!(bit(0, 64, [5, 17, 30]) && !bit(0, 64, [5, 17, 31]));
        let first = words_of(64, 0);
        assert!(bit(first, 16, [1, 4, 7]) && !bit(first, 16, [1, 4, 6]));
        assert!(bit(first + words_of(64, 1), 4, [0, 1, 1]));
        assert_eq!(words.iter().map(|w| w.count_ones()).sum::<u32>(), 3);
        let bits = grid.to_bits().unwrap();
        let again = Occupancy::from_bits(64, &bits, &Device::cpu()).unwrap().unwrap();
        assert_eq!(again.words().to_vec::<u32>().unwrap(), words);
        assert!(Occupancy::from_bits(64, &bits[1..], &Device::cpu()).unwrap().is_none());
        assert!(Occupancy::from_bits(63, &bits, &Device::cpu()).unwrap().is_none());
    }

    #[test]
    fn updates_fade_and_nothing_hides_in_nan() {
        let mut grid = Occupancy::full(16, &Device::cpu()).unwrap();
        grid.update([(7, 2.0), (9, f32::NAN)], 0.95, 0.01).unwrap();
        assert!(grid.densities()[9] > 1e30 && grid.densities()[7] == 2.0);
        grid.update([(7, 0.0)], 0.95, 0.01).unwrap();
        assert_eq!(grid.densities()[7], 1.9);
        let p = grid.place(0, [0.5; 3]);
        assert!(p.iter().all(|x| (x + 1.0 - 1.0 / 64.0).abs() < 1e-6));
    }
}
