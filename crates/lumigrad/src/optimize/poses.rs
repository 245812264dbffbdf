//! Poses of the job's views: each one is its last estimate, moved by a small motion.

use crate::Result;
use lumigrad_core::ops::random;
use lumigrad_core::{DType, Tensor, Var};
use lumigrad_optim::pose::{Chart, poses, retract};
use lumigrad_scene::camera::View;

/// Angle between the rotations of two poses, radians.
pub fn angle(a: &[[f64; 4]; 4], b: &[[f64; 4]; 4]) -> f64 {
    // From the Frobenius distance: accurate for small angles, where the trace's cosine is not.
    let gap: f64 = (0..3).map(|i| (0..3).map(|k| (a[i][k] - b[i][k]).powi(2)).sum::<f64>()).sum();
    2.0 * (gap / 8.0).sqrt().min(1.0).asin()
}

/// Poses that are optimised.
pub struct Poses {
    /// Last estimates, world → camera, f64.
    pub base: Vec<[[f64; 4]; 4]>,
    /// Motions turn about the scene's centre, in units of the first camera's distance to it.
    chart: Chart,
}

impl Poses {
    /// Poses that start at the views' own.
    pub fn new(views: &[&View], centre: [f64; 3]) -> Self {
        let eye = views.first().map_or([0.0; 3], |v| v.centre());
        let unit = (0..3).map(|k| (eye[k] - centre[k]).powi(2)).sum::<f64>().sqrt();
        Self { base: views.iter().map(|v| v.viewmat).collect(), chart: Chart { unit, pivot: centre } }
    }

    /// Turns each camera by `degrees` about a random axis and moves it by `percent` of its distance in a random direction.
    pub fn perturb(&mut self, views: &[&View], degrees: f64, percent: f64, seed: u64) -> Result<()> {
        for (k, (pose, view)) in self.base.iter_mut().zip(views).enumerate() {
            let direction = |stream: u64| {
                let n = std::array::from_fn::<f64, 3, _>(|i| random::normal(seed ^ stream, (3 * k + i) as u64));
                let length = n.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                n.map(|x| x / length)
            };
            let w = direction(0x5eed).map(|x| x * degrees.to_radians());
            let v = direction(0xcafe).map(|x| x * percent / 100.0 * self.chart.unit);
            let own = Chart { unit: 1.0, pivot: view.centre() };
            let turned = retract(&[*pose], &[w, [0.0; 3]].concat(), own)?;
            *pose = retract(&turned, &[[0.0; 3], v].concat(), own)?[0];
        }
        Ok(())
    }

    /// All poses moved by ξ [n, 6]: [n, 3, 4].
    pub fn viewmats(&self, xi: &Var) -> Result<Var> {
        Ok(poses(xi, &self.base, self.chart)?)
    }

    /// Takes the motions ξ [n, 6] into the base poses, so that the next ones start at zero.
    pub fn absorb(&mut self, xi: &Tensor) -> Result<()> {
        self.base = retract(&self.base, &xi.cast(DType::F64)?.to_vec::<f64>()?, self.chart)?;
        Ok(())
    }

    /// Mean rotation error in degrees and mean distance of camera centres in % of the unit, against true views.
    pub fn errors(&self, truth: &[&View]) -> (f64, f64) {
        let (mut rotation, mut translation) = (0.0, 0.0);
        for (pose, view) in self.base.iter().zip(truth) {
            rotation += angle(pose, &view.viewmat).to_degrees();
            let centre = View { viewmat: *pose, ..(*view).clone() }.centre();
            let true_centre = view.centre();
            translation +=
                (0..3).map(|k| (centre[k] - true_centre[k]).powi(2)).sum::<f64>().sqrt() / self.chart.unit * 100.0;
        }
        let n = self.base.len().max(1) as f64;
        (rotation / n, translation / n)
    }
}
