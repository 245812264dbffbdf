//! Rigs of cameras that look into one half space.

use super::super::dataset::{Dataset, Shot};
use crate::volume::{Domain, Frustum, Mapping};
use crate::{Error, Result};
use glam::DVec3;
use lumigrad_scene::camera::View;

/// Least cosine between a pixel's ray and the axis of a rig: wider ones hardly get away from its plane.
const LEAST_COSINE: f64 = 0.1;
/// Most that cameras of a plane-like rig lie behind one another, in parts of the largest distance from its middle.
const DEEPEST: f64 = 0.5;
/// Points of a reconstruction that are nearer than what is modelled: noise.
const NOISE: f64 = 1e-3;
/// The near plane, in parts of the least depth that is known, as of LLFF's readers.
const MARGIN: f64 = 0.75;
/// The near plane where no depth is known, in parts of the largest distance of a camera from the middle.
const BLIND: f64 = 0.5;
/// Bounds of the length by which depths are scaled, in parts of the near plane's: how deep the box is beside its width.
const SCALE: [f64; 2] = [0.25, 1.0];

/// Cameras with an axis, along which most of them look.
pub struct Rig<'a> {
    dataset: &'a Dataset,
    /// Of scale 1.
    frustum: Frustum,
    /// Depths of cameras along the axis, least and largest.
    depths: [f64; 2],
    /// Largest distance of a camera from the middle, across the axis.
    radius: f64,
}

impl<'a> Rig<'a> {
    /// The rig of all photographs, which are looked at together.
    pub fn new(dataset: &'a Dataset) -> Self {
        let n = dataset.train.len().max(1) as f64;
        let mean = |f: &dyn Fn(&Shot) -> [f64; 3]| dataset.train.iter().map(|s| DVec3::from(f(s))).sum::<DVec3>() / n;
        let origin = mean(&|s| s.view.centre());
        let forward = mean(&|s| s.view.forward()).try_normalize().unwrap_or(DVec3::Z);
        let down = mean(&|s| [0, 1, 2].map(|k| s.view.viewmat[1][k]));
        let down = (down - forward * forward.dot(down)).try_normalize();
        let down = down.unwrap_or_else(|| forward.any_orthonormal_vector());
        let axes = [down.cross(forward), down, forward].map(|a| a.to_array());
        let frustum = Frustum { origin: origin.to_array(), axes, scale: 1.0 };
        let (mut depths, mut radius) = ([f64::INFINITY, f64::NEG_INFINITY], 0.0f64);
        for shot in &dataset.train {
            let [x, y, d] = frustum.place(shot.view.centre());
            depths = [depths[0].min(d), depths[1].max(d)];
            radius = radius.max(x.hypot(y));
        }
        Self { dataset, frustum, depths, radius }
    }

    /// Whether the cameras look into one half space from different places of a plane-like baseline, and all of them stand in front
    /// of what they see.
    pub fn is_forward(&self) -> bool {
        let [first, last] = self.depths;
        let plane_like = self.radius > 0.0 && last - first <= DEEPEST * self.radius;
        let in_front = || self.near().is_some_and(|near| near > last);
        plane_like && self.dataset.train.iter().all(|s| self.looks_along(&s.view)) && in_front()
    }

    fn looks_along(&self, view: &View) -> bool {
        let axis = DVec3::from(self.frustum.axes[2]);
        corners(view).all(|[_, way]| DVec3::from(way).normalize_or_zero().dot(axis) >= LEAST_COSINE)
    }

    /// Where what is modelled begins, as far as depths are known: 3/4 of the least bound of a camera, or else of the depth of the
    /// points of the reconstruction; or else half of the rig's radius before its foremost camera. `None` of one place.
    fn near(&self) -> Option<f64> {
        let depth = |p: [f64; 3]| self.frustum.place(p)[2];
        let bound = |s: &Shot| depth(s.view.centre()) + s.view.near;
        let bounds = self.dataset.train.iter().filter(|s| s.view.near > 0.0).map(bound).reduce(f64::min);
        let of_points = || {
            let points = self.dataset.points.positions.iter().map(|p| depth(p.map(f64::from)));
            let mut all: Vec<f64> = points.filter(|d| *d > self.depths[1]).collect();
            all.sort_by(f64::total_cmp);
            all.get((NOISE * all.len() as f64) as usize).copied()
        };
        let blind = || (self.radius > 0.0).then(|| self.depths[1].max(0.0) + BLIND * self.radius);
        bounds.or_else(of_points).map(|d| MARGIN * d).or_else(blind)
    }

    /// The box of all that its cameras see from a depth on, or from where that is known to begin.
    ///
    /// # Errors
    /// Cameras that look aside or stand behind the depth; a depth that is not known.
    pub fn domain(&self, near: Option<f64>) -> Result<Domain> {
        if let Some(shot) = self.dataset.train.iter().find(|s| !self.looks_along(&s.view)) {
            let message = format!("forward-facing, and {} looks aside of where the others look", shot.view.name);
            return Err(Error::usage("--scene-type", message, "choose unbounded or bounded"));
        }
        if near.is_some_and(|near| !(near > 0.0 && near.is_finite())) {
            let message = format!("is {}", near.unwrap_or(f64::NAN));
            return Err(Error::usage("--near", message, "a depth above 0, in units of the cameras' places"));
        }
        let near = near.or_else(|| self.near()).ok_or_else(|| {
            let message = "where the scene begins is not known: cameras at one place, no points, no bounds";
            Error::usage("--near", message, "give its least depth in front of the cameras, in units of their places")
        })?;
        if !(near > self.depths[1]) {
            let message = format!("is {near}, and a camera stands at depth {} along the cameras' axis", self.depths[1]);
            return Err(Error::usage("--near", message, "give a larger one, or choose --scene-type unbounded"));
        }
        let scale = self.radius.clamp(SCALE[0] * near, SCALE[1] * near);
        let frustum = Frustum { scale, ..self.frustum };
        let (mut lo, mut hi) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        let shots = self.dataset.train.iter().chain(&self.dataset.test);
        for [from, way] in shots.flat_map(|s| corners(&s.view)) {
            let Some([start, step]) = frustum.ray(from, way, near) else { continue };
            // Straight lines: what is between the near face and infinity is between these.
            let end = [0, 1].map(|a| start[a] - start[2] * step[a]);
            for (a, x) in [(0, start[0]), (0, end[0]), (1, start[1]), (1, end[1])] {
                (lo[a], hi[a]) = (lo[a].min(x), hi[a].max(x));
            }
        }
        let depth = 0.5 * scale / near;
        let centre = [0.5 * (lo[0] + hi[0]), 0.5 * (lo[1] + hi[1]), -depth];
        Ok(Domain::new(centre, [0.5 * (hi[0] - lo[0]), 0.5 * (hi[1] - lo[1]), depth], Mapping::Forward(frustum))?)
    }
}

/// Rays through the corners of a picture: where from, and to depth 1.
fn corners(view: &View) -> impl Iterator<Item = [[f64; 3]; 2]> {
    let (w, h) = (view.width as f64, view.height as f64);
    [[0.0, 0.0], [w, 0.0], [0.0, h], [w, h]].into_iter().filter_map(|place| view.ray(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumigrad_scene::views::Points;

    /// Cameras of 48 x 36 pixels, 60 degrees wide, at places that look at others.
    fn rig(cameras: &[([f64; 3], [f64; 3])]) -> Dataset {
        let shot = |(k, (eye, to)): (usize, &([f64; 3], [f64; 3]))| {
            let view = View::look_at(&format!("view {k}"), *eye, *to, [0.0, 1.0, 0.0], 0.8, (48, 36)).unwrap();
            let (colour, readout) = (vec![[0.5; 3]; 48 * 36], None);
            Shot { view, colour, alpha: vec![], mask: vec![], depth: vec![], normals: vec![], readout }
        };
        Dataset { train: cameras.iter().enumerate().map(shot).collect(), test: vec![], points: Points::default() }
    }

    /// As hand-held photographs of one side of something: four rows of five, neither quite in a plane nor quite parallel.
    fn fern_like() -> Vec<([f64; 3], [f64; 3])> {
        let number = |k: usize| (k as f64 * 0.618_034).fract() - 0.5;
        let place = |k: usize| [0.25 * (k % 5) as f64 - 0.5, 0.2 * (k / 5) as f64 - 0.3, 0.1 * number(k)];
        (0..20).map(|k| (place(k), [place(k)[0] * 0.5 + 0.3 * number(k + 7), 0.2 * number(3 * k), -4.0])).collect()
    }

    fn circle(n: usize, part: f64, radius: f64) -> Vec<([f64; 3], [f64; 3])> {
        let place = |k: usize| {
            let (sin, cos) = (std::f64::consts::TAU * part * k as f64 / n as f64).sin_cos();
            [radius * sin, 0.1 * radius, radius * cos]
        };
        (0..n).map(|k| (place(k), [0.0; 3])).collect()
    }

    #[test]
    fn only_rigs_that_look_one_way_from_different_places_are_forward_facing() {
        let is_forward = |cameras: &[([f64; 3], [f64; 3])]| Rig::new(&rig(cameras)).is_forward();
        assert!(is_forward(&fern_like()));
        for part in [0.35, 0.5, 1.0] {
            assert!(!is_forward(&circle(24, part, 3.0)), "{part} of an orbit");
        }
        // A look around from one place, a walk along the axis, one camera, and one place twice.
        let around: Vec<_> = circle(12, 1.0, 1.0).into_iter().map(|(p, c)| (c, p)).collect();
        let walk: Vec<_> = (0..12).map(|k| ([0.0, 0.01 * k as f64, -k as f64], [0.0, 0.0, -90.0])).collect();
        assert!(!is_forward(&around) && !is_forward(&walk));
        assert!(!is_forward(&fern_like()[..1]) && !is_forward(&[fern_like()[0]; 2]));
        // Cameras behind what they see, as its points tell.
        let mut dataset = rig(&fern_like());
        dataset.points.positions = (0..50).map(|k| [0.02 * k as f32 - 0.5, 0.0, -2.0 - 0.1 * k as f32]).collect();
        let found = Rig::new(&dataset).domain(None).unwrap().near();
        assert!(Rig::new(&dataset).is_forward() && (found - 1.5).abs() < 0.05, "{found}");
        // The bounds of cameras, where they have some, are preferred.
        dataset.train.iter_mut().for_each(|s| s.view.near = 1.6);
        let found = Rig::new(&dataset).domain(None).unwrap().near();
        assert!((found - 1.2).abs() < 0.06, "{found}");
    }

    #[test]
    fn the_box_holds_what_cameras_see_behind_the_near_plane() {
        let dataset = rig(&fern_like());
        let domain = Rig::new(&dataset).domain(Some(1.0)).unwrap();
        let mut widest = 0.0f64;
        for shot in &dataset.train {
            for (pixel, depth) in [([0.0, 0.0], 1.3), ([48.0, 36.0], 3.0), ([24.0, 0.0], 50.0), ([0.0, 36.0], 1e7)] {
                let x = domain.inside(shot.view.unproject(pixel, depth).unwrap());
                assert!(x.iter().all(|x| x.abs() < 1.0 + 1e-6), "{x:?}");
                widest = widest.max(x[0].abs()).max(x[1].abs());
            }
        }
        assert!(widest > 0.8, "{widest} of the box is seen");
    }

    #[test]
    fn rigs_that_do_not_suit_are_refused_with_the_flag() {
        let refused = |cameras: &[([f64; 3], [f64; 3])], near: Option<f64>, said: &str| {
            let found = Rig::new(&rig(cameras)).domain(near).unwrap_err();
            let found = format!("{found:?}");
            assert!(found.contains(said), "{found}");
        };
        refused(&circle(12, 1.0, 3.0), Some(1.0), "--scene-type");
        refused(&fern_like()[..1], None, "--near");
        refused(&fern_like(), Some(0.01), "--near");
        for near in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            refused(&fern_like(), Some(near), "--near");
        }
        let one = Rig::new(&rig(&fern_like()[..1])).domain(Some(1.0)).unwrap();
        assert!((one.near() - 1.0).abs() < 1e-9);
    }
}
