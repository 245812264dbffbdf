use crate::{Error, Result, check_indices};
use faer::linalg::solvers::Solve;
use faer::sparse::linalg::solvers::Llt;
use faer::sparse::{SparseColMat, Triplet};
use faer::{Mat, Side};
use std::collections::BTreeSet;

/// (I + λL) for the combinatorial Laplacian L of a mesh, factored once (sparse Cholesky) and solved many times: the
/// preconditioner of "Large Steps in Inverse Rendering of Geometry" (Nicolet et al. 2021).
pub struct LaplacianSolver {
    neighbours: Vec<Vec<u32>>,
    lambda: f64,
    factor: Llt<usize, f64>,
}

impl LaplacianSolver {
    /// Factors the system of `n` vertices. Vertices without triangles stand alone.
    ///
    /// # Errors
    /// A triangle names a vertex beyond `n`; the factorisation runs out of memory.
    pub fn new(n: usize, triangles: &[[u32; 3]], lambda: f64) -> Result<Self> {
        check_indices(n, triangles)?;
        let mut sets = vec![BTreeSet::new(); n];
        for t in triangles {
            for k in 0..3 {
                let (a, b) = (t[k], t[(k + 1) % 3]);
                if a != b {
                    sets[a as usize].insert(b);
                    sets[b as usize].insert(a);
                }
            }
        }
        let neighbours: Vec<Vec<u32>> = sets.into_iter().map(|s| s.into_iter().collect()).collect();
        let mut entries = vec![];
        for (i, list) in neighbours.iter().enumerate() {
            entries.push(Triplet::new(i, i, 1.0 + lambda * list.len() as f64));
            entries.extend(list.iter().map(|&j| Triplet::new(i, j as usize, -lambda)));
        }
        let failed = |e: &dyn std::fmt::Debug| Error::Factor(n, format!("{e:?}"));
        let matrix = SparseColMat::try_new_from_triplets(n, n, &entries).map_err(|e| failed(&e))?;
        let factor = matrix.sp_cholesky(Side::Lower).map_err(|e| failed(&e))?;
        Ok(Self { neighbours, lambda, factor })
    }

    /// (I + λL) x for x [n, C].
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let width = self.width(x);
        let mut out = Vec::with_capacity(x.len());
        for (i, list) in self.neighbours.iter().enumerate() {
            for c in 0..width {
                let own = x[width * i + c] as f64;
                let sum: f64 = list.iter().map(|&j| x[width * j as usize + c] as f64).sum();
                out.push((own + self.lambda * (list.len() as f64 * own - sum)) as f32);
            }
        }
        out
    }

    /// (I + λL)⁻¹ b for b [n, C], in f64 inside.
    pub fn solve(&self, b: &[f32]) -> Vec<f32> {
        let (n, width) = (self.neighbours.len(), self.width(b));
        let right = Mat::from_fn(n, width, |i, c| b[width * i + c] as f64);
        let x = self.factor.solve(&right);
        (0..width * n).map(|k| x[(k / width, k % width)] as f32).collect()
    }

    /// Columns of an array with a row per vertex.
    fn width(&self, x: &[f32]) -> usize {
        x.len() / self.neighbours.len().max(1)
    }
}

#[test]
fn solving_undoes_applying() {
    let triangles = [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]];
    let solver = LaplacianSolver::new(5, &triangles, 19.0).unwrap();
    let x: Vec<f32> = (0..15).map(|i| ((i * 7) % 11) as f32 - 4.0).collect();
    for (a, b) in solver.solve(&solver.apply(&x)).iter().zip(&x) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
    assert!(LaplacianSolver::new(2, &triangles, 1.0).is_err());
}
