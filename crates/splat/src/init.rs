//! Gaussians to start training from.

use crate::{Gaussians, Kernel, MAX_SH_DEGREE};
use rayon::prelude::*;

/// Value of the constant basis function.
const C0: f32 = 0.282_094_8;

impl Gaussians {
    /// Round Gaussians of opacity 0.1 at points: as large as the root mean square distance to the three nearest others, of the
    /// points' display-encoded colours (grey where there is none). Points that are not finite are left out.
    ///
    /// **Source**: Kerbl et al. 2023. **Cost**: a sweep along x, O(N²) where all points share their x.
    pub fn from_points(points: &[[f32; 3]], colours: &[[f32; 3]], sh_degree: usize, kernel: Kernel) -> Self {
        let finite = (0..points.len()).filter(|&i| points[i].iter().all(|x| x.is_finite()));
        let mut sorted: Vec<usize> = finite.collect();
        sorted.sort_by(|&a, &b| points[a][0].total_cmp(&points[b][0]));
        let scale = |place: usize| {
            let p = points[sorted[place]];
            let mut nearest = [f32::INFINITY; 3];
            let mut visit = |other: usize| {
                let q = points[sorted[other]];
                let d2: f32 = (0..3).map(|k| (p[k] - q[k]).powi(2)).sum();
                if d2 < nearest[2] {
                    nearest[2] = d2;
                    nearest.sort_by(f32::total_cmp);
                }
                (p[0] - q[0]).powi(2) < nearest[2]
            };
            (place + 1..sorted.len()).take_while(|&k| visit(k)).for_each(drop);
            (0..place).rev().take_while(|&k| visit(k)).for_each(drop);
            let found: Vec<f32> = nearest.into_iter().filter(|d| d.is_finite()).collect();
            let mean = if found.is_empty() { 1.0 } else { found.iter().sum::<f32>() / found.len() as f32 };
            mean.max(1e-7).sqrt().ln()
        };
        let sh_degree = sh_degree.min(MAX_SH_DEGREE);
        let mut out = Self { sh_degree, kernel, ..Default::default() };
        out.log_scales = (0..sorted.len()).into_par_iter().map(|place| [scale(place); 3]).collect();
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
