//! Points of a step: where the sides are known, and where the field should be smooth.

use super::input::Domain;
use glam::{DVec2, DVec3};
use lumigrad_core::ops::random::{hash, uniform};
use lumigrad_geometry::Slice;
use rayon::prelude::*;
use std::f64::consts::TAU;

/// Random numbers that a point may take.
const DRAWS: u64 = 64;
/// Thickness of the layer beyond the outer box where half of the points around it are.
const LAYER: f64 = 0.04;

/// What is known at a point: 0 inside, 1 outside, ½ on a contour.
pub type Labelled = (DVec3, f32);

pub struct Sampler {
    domain: Domain,
    /// Sum of the slices' weights up to and including each.
    weights: Vec<f64>,
    seed: u64,
}

/// Random numbers of one point.
struct Draw {
    seed: u64,
    next: u64,
}

impl Draw {
    fn unit(&mut self) -> f64 {
        self.next += 1;
        uniform(self.seed, self.next)
    }

    fn signed(&mut self) -> f64 {
        2.0 * self.unit() - 1.0
    }
}

impl Sampler {
    pub fn new(domain: Domain, seed: u64) -> Self {
        let lengths: Vec<f64> = domain.slices.iter().map(|s| s.region.length()).collect();
        let cut = lengths.iter().filter(|&&l| l > 0.0).count().max(1);
        // Small contours, of ends, get more than their share.
        let base = 0.25 * lengths.iter().sum::<f64>() / cut as f64;
        let mut sum = 0.0;
        let weights = lengths.iter().map(|&l| {
            sum += if l > 0.0 { l + base } else { 0.0 };
            sum
        });
        Self { weights: weights.collect(), domain, seed }
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    fn draw(&self, kind: u64, step: u64, k: usize) -> Draw {
        let seed = hash(self.seed, 4 * step + kind);
        Draw { seed, next: k as u64 * DRAWS }
    }

    /// A point of a contour, and its slice.
    fn contour(&self, draw: &mut Draw) -> (&Slice, DVec2) {
        let total = self.weights.last().copied().unwrap_or(0.0);
        let at = draw.unit() * total;
        let k = self.weights.partition_point(|&w| w <= at).min(self.weights.len() - 1);
        let slice = &self.domain.slices[k];
        (slice, slice.region.along(draw.unit()).map_or(DVec2::ZERO, |(p, _)| p))
    }

    /// Points with labels: half of them within about `radius` of a contour on its plane, an eighth on contours, a quarter
    /// anywhere on planes, the rest around the contours' box.
    pub fn labelled(&self, step: u64, n: usize, radius: f64) -> Vec<Labelled> {
        (0..n).into_par_iter().map(|k| self.one(&mut self.draw(0, step, k), k % 16, radius)).collect()
    }

    fn one(&self, draw: &mut Draw, kind: usize, radius: f64) -> Labelled {
        let label = |slice: &Slice, p: DVec2| (slice.plane.point(p), if slice.region.contains(p) { 0.0 } else { 1.0 });
        match kind {
            0..8 => {
                let (slice, p) = self.contour(draw);
                // From a quarter of the radius to four times as much.
                let r = radius * (4f64).powf(draw.signed());
                label(slice, p + DVec2::from_angle(TAU * draw.unit()) * r * draw.unit().sqrt())
            }
            8..10 => {
                let (slice, p) = self.contour(draw);
                (slice.plane.point(p), 0.5)
            }
            10..14 => {
                let slices = &self.domain.slices;
                let slice = &slices[((draw.unit() * slices.len() as f64) as usize).min(slices.len() - 1)];
                let outer = self.domain.outer();
                for _ in 0..12 {
                    let p = DVec2::new(draw.signed(), draw.signed()) * 3f64.sqrt();
                    let x = slice.plane.point(slice.plane.flat(DVec3::ZERO) + p);
                    if x.abs().cmple(outer).all() {
                        return label(slice, slice.plane.flat(x));
                    }
                }
                let (slice, p) = self.contour(draw);
                label(slice, p)
            }
            _ => (self.around(draw), 1.0),
        }
    }

    /// A point outside of the outer box: where the solid comes closest to it, or anywhere up to the cube.
    fn around(&self, draw: &mut Draw) -> DVec3 {
        let outer = self.domain.outer();
        if draw.unit() < 0.5 {
            // Between two points of one plane's contours, pushed out through the nearest face.
            let (slice, p) = self.contour(draw);
            let q = slice.region.along(draw.unit()).map_or(p, |(q, _)| q);
            let mut x = slice.plane.point(p.lerp(q, draw.unit()));
            let left = (outer - x.abs()).to_array();
            let axis = (0..3).min_by(|&a, &b| left[a].total_cmp(&left[b])).expect("there are three");
            x[axis] = (outer[axis] + LAYER * draw.unit().powi(2)).copysign(x[axis]);
            return x;
        }
        let end = (outer + LAYER).max(DVec3::ONE);
        let mut x = DVec3::new(draw.signed(), draw.signed(), draw.signed()) * end;
        if x.abs().cmplt(outer).all() {
            // Along one axis it moves out.
            let axis = ((draw.unit() * 3.0) as usize).min(2);
            x[axis] = (outer[axis] + (end[axis] - outer[axis]) * draw.unit()).copysign(x[axis]);
        }
        x
    }

    /// Points without labels: half of them within `radius` of contours, the rest in the contours' box.
    pub fn free(&self, step: u64, n: usize, radius: f64) -> Vec<DVec3> {
        let one = |k: usize| {
            let draw = &mut self.draw(1, step, k);
            let any = DVec3::new(draw.signed(), draw.signed(), draw.signed());
            if k.is_multiple_of(2) {
                return any * self.domain.outer();
            }
            let (slice, p) = self.contour(draw);
            slice.plane.point(p) + any * radius
        };
        (0..n).into_par_iter().map(one).collect()
    }
}
