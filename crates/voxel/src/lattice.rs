//! Lattices of corners.

use crate::{Error, Result};
use lumigrad_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

/// Corners of a lattice over the cube [−1, 1]³, the outermost of which lie on its faces. Tables over it have a row per
/// corner, x fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lattice {
    /// Corners along x, y and z.
    pub size: [usize; 3],
}

/// Corners at most.
const MOST: usize = 1 << 30;

impl Lattice {
    /// A lattice of so many corners.
    ///
    /// # Errors
    /// Fewer than two along an axis, or too many.
    pub fn new(size: [usize; 3]) -> Result<Self> {
        let corners = size.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).unwrap_or(usize::MAX);
        if size.iter().any(|n| *n < 2) || corners > MOST {
            let message =
                format!("a lattice of {size:?} corners: expected 2 or more along each axis, {MOST} in all at most");
            return Err(Error::Lattice(message));
        }
        Ok(Self { size })
    }

    /// The lattice of about so many corners whose cells are cubes in a box of these half sides.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_box(half: [f64; 3], corners: usize) -> Result<Self> {
        let volume: f64 = half.iter().product();
        let spacing = (volume / corners.max(8) as f64).cbrt();
        Self::new(half.map(|h| ((h / spacing).round() as usize).max(2)))
    }

    /// Corners.
    pub fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// Never: there are eight at least.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Length of a cell along each axis, in the cube.
    pub fn spacing(&self) -> [f64; 3] {
        self.size.map(|n| 2.0 / (n - 1) as f64)
    }

    /// A corner's place in the cube.
    pub fn place(&self, corner: usize) -> [f64; 3] {
        let [nx, ny, _] = self.size;
        let index = [corner % nx, corner / nx % ny, corner / (nx * ny)];
        let spacing = self.spacing();
        [0, 1, 2].map(|a| -1.0 + index[a] as f64 * spacing[a])
    }

    /// A table's values at the corners of another lattice, whose cube lies in this one's by `to_here`; outside of it, those of
    /// its border.
    ///
    /// # Errors
    /// A table of another size; memory.
    pub fn resample(&self, table: &Tensor, other: &Lattice, to_here: impl Fn([f64; 3]) -> [f64; 3]) -> Result<Tensor> {
        resampled(table, other, to_here, |points, table| self.sample(points, table))
    }

    /// Total variation at some corners: the mean over corners, axes and channels of the squared difference to the next one.
    ///
    /// **Shapes**: table [corners, C]; result scalar. **Gradients**: to the table.
    ///
    /// # Errors
    /// A table of another size.
    pub fn roughness(&self, table: &Var, corners: &[usize]) -> Result<Var> {
        let device: &Device = table.device();
        let [nx, ny, nz] = self.size;
        let steps = [1, nx, nx * ny];
        let (mut here, mut there) = (vec![], vec![]);
        for &corner in corners {
            let index = [corner % nx, corner / nx % ny, corner / (nx * ny)];
            for a in 0..3 {
                if index[a] + 1 < [nx, ny, nz][a] {
                    here.push(corner as u32);
                    there.push((corner + steps[a]) as u32);
                }
            }
        }
        let rows =
            |list: &[u32]| -> Result<Var> { Ok(table.gather(&Tensor::from_slice(device, list, &[list.len()])?)?) };
        Ok(rows(&there)?.sub(&rows(&here)?)?.square()?.mean()?)
    }
}

/// A table over a lattice of what `sample` finds at its corners' places.
pub(crate) fn resampled(
    table: &Tensor,
    other: &Lattice,
    to_here: impl Fn([f64; 3]) -> [f64; 3],
    sample: impl Fn(&Var, &Var) -> Result<Var>,
) -> Result<Tensor> {
    let channels = table.shape().get(1).copied().unwrap_or(1);
    let mut found = Vec::with_capacity(other.len() * channels);
    let corners: Vec<usize> = (0..other.len()).collect();
    for chunk in corners.chunks(CHUNK) {
        let points: Vec<f32> = chunk.iter().flat_map(|&k| to_here(other.place(k)).map(|x| x as f32)).collect();
        let points = Tensor::from_slice(table.device(), &points, &[chunk.len(), 3])?;
        found.extend(sample(&points.into(), &Var::from(table.clone()))?.tensor().to_vec::<f32>()?);
    }
    Ok(Tensor::from_slice(table.device(), &found, &[other.len(), channels])?)
}

/// Corners that are resampled at a time.
const CHUNK: usize = 1 << 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lattices_of_boxes_have_cubic_cells() {
        let lattice = Lattice::of_box([1.0, 2.0, 0.5], 64_000).unwrap();
        let cells = [0, 1, 2].map(|a| [1.0, 2.0, 0.5][a] * lattice.spacing()[a]);
        assert!(cells.iter().all(|c| (c / cells[0] - 1.0).abs() < 0.05), "{cells:?}");
        assert!((50_000..80_000).contains(&lattice.len()), "{:?}", lattice.size);
        assert_eq!(lattice.place(0), [-1.0; 3]);
        assert!(lattice.place(lattice.len() - 1).iter().all(|x| (x - 1.0).abs() < 1e-12));
        assert!(Lattice::new([1, 5, 5]).is_err() && Lattice::new([usize::MAX, 5, 5]).is_err());
    }
}
