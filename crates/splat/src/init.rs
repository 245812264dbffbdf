//! Gaussians to start training from.

use crate::formats::{FLAT, bounds};
use crate::{Gaussians, Kernel, MAX_SH_DEGREE};
use rayon::prelude::*;

/// Value of the constant basis function.
pub const C0: f32 = 0.282_094_8;

impl Gaussians {
    /// Round Gaussians (surfels: discs) of opacity 0.1 at points: as large as the root mean square distance to the three nearest others, of the
    /// points' display-encoded colours (grey where there is none). Points that are not finite are left out.
    ///
    /// **Source**: Kerbl et al. 2023. **Cost**: O(N) for points that are spread evenly; many times more where nearly all of
    /// them are in one place.
    pub fn from_points(points: &[[f32; 3]], colours: &[[f32; 3]], sh_degree: usize, kernel: Kernel) -> Self {
        let finite = (0..points.len()).filter(|&i| points[i].iter().all(|x| x.is_finite()));
        let sorted: Vec<usize> = finite.collect();
        let grid = Grid::new(sorted.iter().map(|&i| points[i]).collect());
        let scale = |place: usize| {
            let found: Vec<f32> = grid.nearest(place).into_iter().filter(|d| d.is_finite()).collect();
            let mean = if found.is_empty() { 1.0 } else { found.iter().sum::<f32>() / found.len() as f32 };
            mean.max(1e-7).sqrt().ln()
        };
        let sh_degree = sh_degree.min(MAX_SH_DEGREE);
        let mut out = Self { sh_degree, kernel, ..Default::default() };
        out.log_scales = (0..sorted.len()).into_par_iter().map(|place| [scale(place); 3]).collect();
        if kernel == Kernel::Surfel {
            out.log_scales.iter_mut().for_each(|s| s[2] = FLAT);
        }
        out.means = sorted.iter().map(|&i| points[i]).collect();
        out.rotations = vec![[1.0, 0.0, 0.0, 0.0]; sorted.len()];
        out.opacity_logits = vec![(0.1f32 / 0.9).ln(); sorted.len()];
        out.sh = vec![[0.0; 3]; sorted.len() * out.n_basis()];
        for (place, &i) in sorted.iter().enumerate() {
            let colour = colours.get(i).copied().unwrap_or([0.5; 3]);
            out.sh[place * (sh_degree + 1).pow(2)] = colour.map(|c| (c - 0.5) / C0);
        }
        out
    }
}

/// Points in cells of a grid, two of them in a cell on average.
struct Grid {
    points: Vec<[f32; 3]>,
    low: [f32; 3],
    size: f32,
    counts: [usize; 3],
    /// First place of each cell in `order`, and the number of points.
    starts: Vec<usize>,
    order: Vec<usize>,
}

impl Grid {
    fn new(points: Vec<[f32; 3]>) -> Self {
        let (low, high) = bounds(points.iter().copied());
        let extent: [f32; 3] = std::array::from_fn(|k| (high[k] - low[k]).max(1e-12));
        let longest = extent.iter().copied().fold(0.0, f32::max);
        // Flat clouds have flat grids: cells are cubes, no more of them than points.
        let volume: f32 = extent.iter().map(|e| e.max(1e-3 * longest)).product();
        let size = (2.0 * volume / points.len().max(1) as f32).cbrt().max(longest / 1000.0);
        let counts = extent.map(|e| ((e / size) as usize + 1).min(1001));
        let mut grid = Self { points, low, size, counts, starts: vec![], order: vec![] };
        let cells: Vec<usize> = grid.points.iter().map(|p| grid.number(grid.cell(p))).collect();
        grid.starts = vec![0; counts.iter().product::<usize>() + 1];
        cells.iter().for_each(|&c| grid.starts[c + 1] += 1);
        (1..grid.starts.len()).for_each(|c| grid.starts[c] += grid.starts[c - 1]);
        let mut next = grid.starts.clone();
        grid.order = vec![0; cells.len()];
        for (i, &c) in cells.iter().enumerate() {
            grid.order[next[c]] = i;
            next[c] += 1;
        }
        grid
    }

    fn cell(&self, p: &[f32; 3]) -> [usize; 3] {
        std::array::from_fn(|k| (((p[k] - self.low[k]) / self.size) as usize).min(self.counts[k] - 1))
    }

    fn number(&self, [x, y, z]: [usize; 3]) -> usize {
        (z * self.counts[1] + y) * self.counts[0] + x
    }

    /// Squared distances to the three nearest other points, infinite where there are fewer.
    fn nearest(&self, i: usize) -> [f32; 3] {
        let (p, cell) = (self.points[i], self.cell(&self.points[i]));
        let mut found = [f32::INFINITY; 3];
        let most = self.counts.iter().copied().fold(0, usize::max);
        for ring in 0..=most {
            // What is beyond a ring of cells is as far as the ring is wide.
            if ring > 0 && found[2] <= ((ring - 1) as f32 * self.size).powi(2) {
                break;
            }
            let range = |k: usize| cell[k].saturating_sub(ring)..=(cell[k] + ring).min(self.counts[k] - 1);
            for z in range(2) {
                for y in range(1) {
                    for x in range(0) {
                        let far = [x, y, z].iter().zip(&cell).map(|(a, b)| a.abs_diff(*b)).fold(0, usize::max);
                        if far != ring {
                            continue;
                        }
                        let c = self.number([x, y, z]);
                        for &j in self.order[self.starts[c]..self.starts[c + 1]].iter().filter(|&&j| j != i) {
                            let d: f32 = (0..3).map(|k| (p[k] - self.points[j][k]).powi(2)).sum();
                            if d < found[2] {
                                found[2] = d;
                                found.sort_by(f32::total_cmp);
                            }
                        }
                    }
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_distances_to_the_three_nearest() {
        let points: Vec<[f32; 3]> = (0..60u32)
            .map(|i| std::array::from_fn(|k| ((i * 7919 + k as u32 * 104729 + i * i * 31) % 997) as f32 / 997.0))
            .collect();
        let out = Gaussians::from_points(&points, &[], 1, Kernel::Classic);
        for (p, s) in out.means.iter().zip(&out.log_scales) {
            let mut d: Vec<f32> = points.iter().map(|q| (0..3).map(|k| (p[k] - q[k]).powi(2)).sum()).collect();
            d.sort_by(f32::total_cmp);
            assert!((s[0].exp() - ((d[1] + d[2] + d[3]) / 3.0).sqrt()).abs() < 1e-5);
        }
        assert_eq!(Gaussians::from_points(&[[f32::NAN; 3], [0.0; 3]], &[], 0, Kernel::Mip).len(), 1);
    }
}
