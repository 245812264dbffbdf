//! Rigid motions on the Lie algebra se(3), for poses that are optimised.
//!
//! A pose is its last estimate B (world → camera, f64 on the host) and a small motion ξ (the optimised tensor):
//! exp(ξ)·B. After each step the motion is taken into the estimate ([`retract`]) and starts again at zero, so that
//! there is no singular rotation and nothing to normalise.

use crate::Result;
use lumigrad_core::map::{Expr, vector};
use lumigrad_core::{CallParams, Device, Map, Tensor, Var};

/// Terms of the series below; for θ² < 1 what is left out is below 1e-14.
const TERMS: i32 = 8;

/// Σₖ (−θ²)ᵏ / (2k + first)! for θ² < 1: sin θ/θ, (1 − cos θ)/θ², (θ − sin θ)/θ³ for first = 1, 2, 3.
fn series(theta2: Expr, first: i32) -> Expr {
    let coefficient = |k: i32| (1..=2 * k + first).map(f64::from).product::<f64>().recip();
    (0..TERMS).rev().fold(0.0.into(), |sum: Expr, k| coefficient(k) - theta2 * sum)
}

/// exp(ξ) as the rows of [R | t] for ξ = (ω, v), rotation vector in radians and velocity: R by Rodrigues' formula,
/// t = (I + (1 − cos θ)/θ² K + (θ − sin θ)/θ³ K²)·v with K the cross-product matrix of ω.
///
/// **Gradients**: exact everywhere, ξ = 0 included (small angles by series, without cancellation).
pub fn se3_exp(xi: [Expr; 6]) -> [[Expr; 4]; 3] {
    let [w, v]: [[Expr; 3]; 2] = [[xi[0], xi[1], xi[2]], [xi[3], xi[4], xi[5]]];
    let theta2 = vector::dot(w, w);
    let small = theta2.less(1.0);
    let large2 = small.select(1.0, theta2);
    let theta = large2.sqrt();
    let near = small.select(theta2, 0.0);
    let a = small.select(series(near, 1), theta.sin() / theta);
    let b = small.select(series(near, 2), (1.0 - theta.cos()) / large2);
    let c = small.select(series(near, 3), (theta - theta.sin()) / (large2 * theta));
    let zero: Expr = 0.0.into();
    let k = [[zero, -w[2], w[1]], [w[2], zero, -w[0]], [-w[1], w[0], zero]];
    let wv = vector::cross(w, v);
    let wwv = vector::cross(w, wv);
    std::array::from_fn(|i| {
        std::array::from_fn(|j| match j {
            3 => v[i] + b * wv[i] + c * wwv[i],
            _ => {
                // K² = ωωᵀ − θ²I.
                let square = if i == j { w[i] * w[j] - theta2 } else { w[i] * w[j] };
                let identity = if i == j { 1.0 } else { 0.0 };
                identity + (a * k[i][j] + b * square)
            }
        })
    })
}

/// How motions ξ = (ω, v) act on poses: pose B becomes T(p) exp(ω, unit · v) T(−p) B, p the pivot as B's camera sees it.
///
/// With the pivot amid the scene, rotations turn the scene in place and translations shift it; about the camera's own
/// centre both look nearly alike in a picture of something far away, and first-order methods crawl.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chart {
    /// Length of one unit of translation, metres.
    pub unit: f64,
    /// World point about which rotations turn.
    pub pivot: [f64; 3],
}

impl Chart {
    /// The pivot in the camera's space.
    fn seen_from(&self, base: &[[f64; 4]; 4]) -> [f64; 3] {
        std::array::from_fn(|i| (0..3).map(|k| base[i][k] * self.pivot[k]).sum::<f64>() + base[i][3])
    }
}

/// Poses moved by ξ [n, 6] from n estimates, world → camera: [n, 3, 4].
///
/// # Errors
/// When ξ has not one row per estimate.
pub fn poses(xi: &Var, base: &[[[f64; 4]; 4]], chart: Chart) -> Result<Var> {
    let map = Map::cached("optim/poses", |m| {
        let (xi, base, pivot) = (m.item::<6>("motion"), m.item::<12>("base"), m.item::<3>("pivot"));
        let unit = m.param();
        let motion = se3_exp(std::array::from_fn(|k| if k < 3 { xi[k] } else { xi[k] * unit }));
        let element = |i: usize| {
            let (row, column) = (i / 4, i % 4);
            let at = |j: usize| if column == 3 { base[4 * j + 3] - pivot[j] } else { base[4 * j + column] };
            let sum: Expr = (0..3).map(|j| motion[row][j] * at(j)).sum();
            if column == 3 { sum + motion[row][3] + pivot[row] } else { sum }
        };
        m.output("poses", &(0..12).map(element).collect::<Vec<_>>());
    });
    let table = |rows: Vec<f64>, width: usize| -> Result<Var> {
        let rows = Tensor::from_slice(&Device::cpu(), &rows, &[base.len(), width])?;
        Ok(rows.cast(xi.dtype())?.to_device(xi.device())?.into())
    };
    let rows = table(base.iter().flat_map(|b| b[..3].iter().flatten().copied()).collect(), 12)?;
    let pivots = table(base.iter().flat_map(|b| chart.seen_from(b)).collect(), 3)?;
    let call = CallParams { items: base.len(), real: vec![chart.unit], int: vec![] };
    Ok(map.apply_with(&[xi, &rows, &pivots], call)?.remove(0).reshape(&[base.len(), 3, 4])?)
}

/// Poses moved by ξ, n rows of 6, in f64, with the rotations made orthonormal again.
///
/// # Errors
/// When ξ has not one row per estimate.
pub fn retract(base: &[[[f64; 4]; 4]], xi: &[f64], chart: Chart) -> Result<Vec<[[f64; 4]; 4]>> {
    let xi = Tensor::from_slice(&Device::cpu(), xi, &[base.len(), 6])?;
    let moved = poses(&xi.into(), base, chart)?.tensor().to_vec::<f64>()?;
    let pose = |rows: &[f64]| {
        let mut out = [[0.0, 0.0, 0.0, 1.0]; 4];
        out.as_flattened_mut()[..12].copy_from_slice(rows);
        orthonormalise(&mut out);
        out
    };
    Ok(moved.chunks_exact(12).map(pose).collect())
}

/// Gram–Schmidt on the rows of the rotation.
fn orthonormalise(pose: &mut [[f64; 4]; 4]) {
    let dot = |a: &[f64], b: &[f64]| (0..3).map(|k| a[k] * b[k]).sum::<f64>();
    for i in 0..3 {
        for j in 0..i {
            let (done, row) = pose.split_at_mut(i);
            let along = dot(&done[j], &row[0]);
            (0..3).for_each(|k| row[0][k] -= along * done[j][k]);
        }
        let length = dot(&pose[i], &pose[i]).sqrt();
        pose[i][..3].iter_mut().for_each(|x| *x /= length);
    }
}
