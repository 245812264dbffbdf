//! Conjugate gradients for the step of least squares.

use super::vectors::{dot, each, sum};
use super::{INNER, LmTrainer, Looks};
use crate::Error;
use crate::rows::Rows;

/// A step, and by how much the model of the loss falls along it.
pub(super) struct Found {
    pub step: Rows<f32>,
    pub decrease: f64,
}

impl LmTrainer {
    /// (JᵀHJ + λD) Δ = −g, by conjugate gradients (Hestenes & Stiefel 1952) preconditioned by D.
    pub(super) fn solve(&mut self, looks: &Looks, gradient: &Rows<f32>, diagonal: &Rows<f32>) -> Result<Found, Error> {
        let (n, width, lambda) = (gradient.n, gradient.width, self.lambda as f32);
        let mut step = Rows::zeros(n, width);
        let (mut r, mut p, mut image) = (Rows::zeros(n, width), Rows::zeros(n, width), Rows::zeros(n, width));
        each(&mut r, [gradient], |r, [g]| *r = -g);
        each(&mut p, [&r, diagonal], |p, [r, d]| *p = r / d);
        let against = |r: &Rows<f32>| {
            sum([r, diagonal], |[r, d]| r.iter().zip(d).map(|(r, d)| f64::from(r / d) * f64::from(*r)).sum())
        };
        let (mut rz, mut decrease) = (against(&r), 0.0);
        for _ in 0..INNER {
            self.curve(looks, &p, &mut image)?;
            each(&mut image, [diagonal, &p], |x, [d, p]| *x += lambda * d * p);
            let curvature = dot(&p, &image);
            // Also what is not a number ends it.
            if !(curvature > 0.0 && rz > 0.0) {
                break;
            }
            let length = (rz / curvature) as f32;
            decrease += 0.5 * rz * rz / curvature;
            each(&mut step, [&p], |x, [p]| *x += length * p);
            each(&mut r, [&image], |r, [q]| *r -= length * q);
            let next = against(&r);
            let back = (next / rz) as f32;
            each(&mut p, [&r, diagonal], |p, [r, d]| *p = r / d + back * *p);
            rz = next;
        }
        Ok(Found { step, decrease })
    }
}
