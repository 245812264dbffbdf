//! Poses of the job's views: each one is its last estimate times a small motion on the Lie algebra.

use crate::Result;
use lumigrad_core::map::{Expr, Map, vector};
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Device, Tensor, Var};
use lumigrad_scene::camera::View;

/// Poses that are optimised.
pub struct Poses {
    /// Last estimates, world → camera, f64.
    pub base: Vec<[[f64; 4]; 4]>,
    /// Camera distance from the scene's centre: the unit of translations.
    pub unit: f64,
}

/// R and t of exp(ξ): ξ = (ω, v), R by Rodrigues' formula, t = v (a retraction; first order equal to the exponential).
fn motion(xi: [Expr; 6]) -> ([Expr; 9], [Expr; 3]) {
    let w = [xi[0], xi[1], xi[2]];
    let theta2 = vector::dot(w, w);
    let small = theta2.less(1e-8);
    let safe = small.select(1.0, theta2);
    let theta = safe.sqrt();
    // Series where sin θ / θ and (1 − cos θ) / θ² would divide by zero.
    let a = small.select(1.0 - theta2 * (1.0 / 6.0), theta.sin() / theta);
    let b = small.select(0.5 - theta2 * (1.0 / 24.0), (1.0 - theta.cos()) / safe);
    let zero: Expr = 0.0.into();
    let k = [zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero];
    let r = std::array::from_fn(|i| {
        let (row, col) = (i / 3, i % 3);
        let k2: Expr = (0..3).map(|j| k[3 * row + j] * k[3 * j + col]).sum();
        let identity: Expr = if row == col { 1.0.into() } else { 0.0.into() };
        identity + a * k[i] + b * k2
    });
    (r, [xi[3], xi[4], xi[5]])
}

impl Poses {
    /// Poses that start at the views' own.
    pub fn new(views: &[&View], unit: f64) -> Self {
        Self { base: views.iter().map(|v| v.viewmat).collect(), unit }
    }

    /// Turns each pose by `degrees` about a random axis and moves it by `percent` of the unit in a random direction.
    pub fn perturb(&mut self, degrees: f64, percent: f64, seed: u64) {
        for (k, pose) in self.base.iter_mut().enumerate() {
            let direction = |stream: u64| {
                let n = std::array::from_fn::<f64, 3, _>(|i| random::normal(seed ^ stream, (3 * k + i) as u64));
                let length = n.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                n.map(|x| x / length)
            };
            let w = direction(0x5eed).map(|x| x * degrees.to_radians());
            let v = direction(0xcafe).map(|x| x * percent / 100.0 * self.unit);
            *pose = compose(&[w[0], w[1], w[2], v[0], v[1], v[2]], pose);
        }
    }

    /// Pose `k` moved by row `k` of ξ [n, 6] (rotation in radians, translation in units): [3, 4].
    pub fn viewmat(&self, k: usize, xi: &Var) -> Result<Var> {
        let map = Map::cached("optimize/pose", |m| {
            let xi = m.item::<6>("motion");
            let base = m.item::<12>("base");
            let unit = m.param();
            let (r, t) = motion(xi);
            let out: Vec<Expr> = (0..12)
                .map(|i| {
                    let (row, col) = (i / 4, i % 4);
                    let sum: Expr = (0..3).map(|j| r[3 * row + j] * base[4 * j + col]).sum();
                    if col == 3 { sum + t[row] * unit } else { sum }
                })
                .collect();
            m.output("viewmat", &out);
        });
        let rows: Vec<f64> = self.base[k][..3].iter().flatten().copied().collect();
        let base = Tensor::from_slice(&Device::cpu(), &rows, &[1, 12])?.cast(xi.dtype())?.to_device(xi.device())?;
        let row = xi.slice(0, k, k + 1)?;
        let call = lumigrad_core::CallParams { items: 1, real: vec![self.unit], int: vec![] };
        Ok(map.apply_with(&[&row, &base.into()], call)?.remove(0).reshape(&[3, 4])?)
    }

    /// Takes the motions ξ [n, 6] into the base poses, so that the next ones start at zero.
    pub fn absorb(&mut self, xi: &Tensor) -> Result<()> {
        let values = xi.cast(DType::F64)?.to_vec::<f64>()?;
        for (pose, x) in self.base.iter_mut().zip(values.chunks_exact(6)) {
            let scaled = [x[0], x[1], x[2], x[3] * self.unit, x[4] * self.unit, x[5] * self.unit];
            *pose = compose(&scaled, pose);
        }
        Ok(())
    }

    /// Mean rotation error in degrees and mean distance of camera centres in % of the unit, against true views.
    pub fn errors(&self, truth: &[&View]) -> (f64, f64) {
        let (mut rotation, mut translation) = (0.0, 0.0);
        for (pose, view) in self.base.iter().zip(truth) {
            let trace: f64 = (0..3).map(|i| (0..3).map(|j| pose[i][j] * view.viewmat[i][j]).sum::<f64>()).sum();
            // From the Frobenius distance: accurate for small angles, where the trace's cosine is not.
            let gap: f64 = (0..3).map(|i| (0..3).map(|j| (pose[i][j] - view.viewmat[i][j]).powi(2)).sum::<f64>()).sum();
            let angle = 2.0 * ((gap / 8.0).sqrt().min(1.0)).asin();
            debug_assert!(trace.is_finite());
            rotation += angle.to_degrees();
            let centre = View { viewmat: *pose, ..(*view).clone() }.centre();
            let true_centre = view.centre();
            translation += (0..3).map(|k| (centre[k] - true_centre[k]).powi(2)).sum::<f64>().sqrt() / self.unit * 100.0;
        }
        let n = self.base.len().max(1) as f64;
        (rotation / n, translation / n)
    }
}

/// exp-like motion in f64, left of a pose; rows stay orthonormal by Gram–Schmidt.
fn compose(x: &[f64; 6], pose: &[[f64; 4]; 4]) -> [[f64; 4]; 4] {
    let w = glam::DVec3::new(x[0], x[1], x[2]);
    let r = glam::DMat3::from_quat(glam::DQuat::from_scaled_axis(w));
    let rows = |i: usize| glam::DVec3::new(r.col(0)[i], r.col(1)[i], r.col(2)[i]);
    let column = |c: usize| glam::DVec3::new(pose[0][c], pose[1][c], pose[2][c]);
    let mut out = *pose;
    for i in 0..3 {
        for c in 0..4 {
            out[i][c] = rows(i).dot(column(c)) + if c == 3 { x[3 + i] } else { 0.0 };
        }
    }
    let (a, b) = (glam::DVec3::from_slice(&out[0][..3]).normalize(), glam::DVec3::from_slice(&out[1][..3]));
    let b = (b - a * a.dot(b)).normalize();
    for (row, v) in out.iter_mut().zip([a, b, a.cross(b)]) {
        row[..3].copy_from_slice(&v.to_array());
    }
    out
}
